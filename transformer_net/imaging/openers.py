"""What opens a picture file: its size and what it says of its colours; its pixels where they are asked for.

Pillow opens most. libvips (https://www.libvips.org) reads sound files that Pillow refuses or gets wrong.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import IO, Any, Final, cast

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, TiffImagePlugin

from transformer_net.errors import UnreadableImageError, UnsupportedImageError
from transformer_net.imaging.cicp import Cicp, boxes, of_avif, of_nclx, of_png
from transformer_net.imaging.pixel_layouts import from_16_bits, from_floats
from transformer_net.imaging.profiles import managed_colours

Check = Callable[[tuple[int, int]], None]
Opener = Callable[[IO[bytes], Check], Image.Image]
"""Takes a file, and what is to be called with width and height before any pixel is decoded."""

_NEW_SUBFILE_TYPE, _BITS, _PHOTOMETRIC, _SAMPLES, _SUB_IFDS = 254, 258, 262, 277, 330
_DNG_VERSION = 50706
"""Tags of TIFF."""

_FIELDS: Final = {"icc-profile-data": "icc_profile", "exif-data": "exif"}
"""What libvips calls what is `Image.info` for Pillow."""

_WHITE_IS_ZERO, _SEPARATED, _COLOUR_FILTER_ARRAY, _LINEAR_RAW = 0, 5, 32803, 34892
"""Values of its tag PhotometricInterpretation."""


def open_by_pillow(name: str, stream: IO[bytes], check: Check) -> Image.Image:
    """A picture in a format of Pillow's."""
    return cast("Image.Image", cast("Any", Image.OPEN[name][0])(stream, ""))


def export_first(what: str) -> UnsupportedImageError:
    """The refusal of a file that is `what`, as "a Photoshop"."""
    return UnsupportedImageError(f"This is {what} file; export it as JPEG or PNG first.")


def _open_png(stream: IO[bytes], check: Check) -> Image.Image:
    cicp = of_png(stream)
    return _described(open_by_pillow("PNG", stream, check), cicp)


def _open_heic(stream: IO[bytes], check: Check) -> Image.Image:
    """HEIF with HEVC inside. Of thumbnails, depth pictures and the other pictures nothing is looked at."""
    from pillow_heif import HeifImageFile  # 30 ms, and most pictures are no HEIC

    data = stream.read()
    stream.seek(0)
    found = list(boxes(data, 0, len(data)))
    if {kind for kind, _, _ in found} & {b"moov", b"meta"} == {b"moov"}:
        raise UnsupportedImageError(
            "This is a HEIC sequence without a still picture; export a picture of it as JPEG or PNG first."
        )
    brands = found[0][2] if found else 0
    if b"msf1" in data[:brands]:  # a still beside a sequence: libheif would open the sequence alone
        stream = io.BytesIO(data[:brands].replace(b"msf1", b"mif1") + data[brands:])
    image = cast("Image.Image", cast("Any", HeifImageFile)(stream, ""))
    if nclx := image.info.get("nclx_profile"):
        peak = image.info.get("content_light_level", {}).get("max_content_light_level") or None
        return _described(image, of_nclx(nclx["color_primaries"], nclx["transfer_characteristics"], peak))
    return image


def _open_avif(stream: IO[bytes], check: Check) -> Image.Image:
    cicp = of_avif(stream.read())
    stream.seek(0)
    try:
        return _described(open_by_pillow("AVIF", stream, check), cicp)
    except (SyntaxError, ValueError, OSError):  # of older encoders: alpha without a size of its own, say
        stream.seek(0)
        return _described(_by_vips("heifload_buffer", stream, check), cicp)


def _open_tiff(stream: IO[bytes], check: Check) -> Image.Image:
    """TIFF, but no camera raw: what Pillow reads of those is a thumbnail, or samples without colours."""
    header = stream.read(8)
    stream.seek(0)
    if header.startswith(b"MM\0+"):  # BigTIFF in that byte order
        return _by_vips("tiffload_buffer", stream, check)
    tags = TiffImagePlugin.ImageFileDirectory_v2(header if header[2] != 43 else stream.read(16))
    stream.seek(tags.next)
    tags.load(stream)
    stream.seek(0)
    kind, samples = tags.get(_PHOTOMETRIC), tags.get(_SAMPLES, 1)
    is_thumbnail = bool(int(tags.get(_NEW_SUBFILE_TYPE, 0)) & 1) and _SUB_IFDS in tags
    if is_thumbnail or _DNG_VERSION in tags or kind in (_COLOUR_FILTER_ARRAY, _LINEAR_RAW):
        raise export_first("a camera raw")
    bits = max(tags.get(_BITS, (1,)))
    if bits > 32:
        raise UnreadableImageError(f"Samples of {bits} bits cannot be read; save the picture with 16 bits.")
    # What Pillow scrambles, turns to a negative, or does not know.
    if (bits > 8 and (samples > 1 or kind == _WHITE_IS_ZERO)) or (kind == _SEPARATED and samples > 4):
        return _by_vips("tiffload_buffer", stream, check)
    return open_by_pillow("TIFF", stream, check)


def _open_jxl(stream: IO[bytes], check: Check) -> Image.Image:
    """JPEG XL, upright. Its plugin decodes at once, so that the size is read from the header here."""
    from pillow_jxl.JpegXLImagePlugin import JXLImageFile

    check(_jxl_size(stream.read()))
    stream.seek(0)
    image = JXLImageFile(stream, "")
    if not image.jpeg:  # one that was made of a JPEG comes as that JPEG
        image.getexif()[ExifTags.Base.Orientation] = 1
    return cast("Image.Image", image)


def _jxl_size(data: bytes) -> tuple[int, int]:
    """Width and height of a codestream, perhaps in a container (ISO/IEC 18181-1, D.2; 18181-2).

    Raises:
        IndexError, ValueError: It is cut short, or there is none.
    """
    if not data.startswith(b"\xff\x0a"):
        kind, start, end = next(box for box in boxes(data, 0, len(data)) if box[0] in (b"jxlc", b"jxlp"))
        data = data[start + 4 * (kind == b"jxlp") : end]
    bits = int.from_bytes(data[2:14], "little")  # the least significant bit first

    def take(count: int) -> int:
        nonlocal bits
        value = bits & ((1 << count) - 1)
        bits >>= count
        return value

    is_small = take(1)

    def side() -> int:
        return 8 * (take(5) + 1) if is_small else take((9, 13, 18, 30)[take(2)]) + 1

    height = side()
    over, under = ((0, 0), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[take(3)]
    return (height * over // under if under else side()), height


def _described(image: Image.Image, cicp: Cicp | None) -> Image.Image:
    if cicp is not None:
        image.info["cicp"] = cicp
    return image


def _by_vips(loader: str, stream: IO[bytes], check: Check) -> Image.Image:
    """By a loader of libvips; AVIF comes upright, and TIFF as it lies, with its orientation."""
    import pyvips

    pyvips.cache_set_max(0)  # or it would keep the last pictures
    found = getattr(pyvips.Image, loader)(stream.read(), fail_on="error")
    check((found.width, found.height))
    samples = np.atleast_3d(found.numpy())
    if samples.dtype.kind == "f":
        samples = from_floats(samples)
    elif samples.dtype == np.uint16:
        samples = from_16_bits(samples)
    elif samples.dtype != np.uint8:
        raise UnreadableImageError(
            f"Samples of {samples.dtype} cannot be read; save the picture with 16 bits."
        )
    info = {key: found.get(field) for field, key in _FIELDS.items() if found.get_typeof(field)}
    image = _of_bands(samples, found.interpretation == "cmyk", info)
    image.info.update(info)
    return image


def _of_bands(samples: npt.NDArray[np.uint8], is_cmyk: bool, info: dict[str, Any]) -> Image.Image:
    """A picture of mode L, LA, RGB, RGBA or CMYK; bands beyond those are left out."""
    if is_cmyk:
        size = samples.shape[1], samples.shape[0]
        image = Image.frombytes("CMYK", size, np.ascontiguousarray(samples[..., :4]).tobytes())
        if samples.shape[2] > 4:  # for which Pillow has no mode
            image = managed_colours(image, info) or image.convert("RGB")
            info.pop("icc_profile", None)
            image.putalpha(Image.fromarray(np.ascontiguousarray(samples[..., 4])))
        return image
    bands = min(samples.shape[2], 4)
    return Image.fromarray(
        np.ascontiguousarray(np.squeeze(samples[..., :bands], 2) if bands == 1 else samples[..., :bands])
    )


OPENERS: Final[dict[str, Opener]] = {
    "PNG": _open_png,
    "HEIC": _open_heic,
    "AVIF": _open_avif,
    "TIFF": _open_tiff,
    "JPEG XL": _open_jxl,
    "PNM": partial(open_by_pillow, "PPM"),
}
"""What opens a format that needs more than `open_by_pillow`."""
