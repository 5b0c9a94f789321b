"""The picture formats that are read: how their files begin, what they are called, and what opens them."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, Any, Final, cast

from PIL import Image, TiffImagePlugin

from transformer_net.errors import UnsupportedImageError

INPUT_FORMATS: Final[tuple[str, ...]] = ("JPEG", "PNG", "WEBP", "AVIF", "HEIC", "GIF", "BMP", "TIFF")
"""What `decode` opens. Everything else that Pillow knows is refused: codecs are attack surface."""

SUFFIXES: Final = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".avif", ".heic", ".heif", ".hif"),
        *(".gif", ".bmp", ".dib", ".tif", ".tiff"),
    }
)
"""What files of these formats are called: a picture in a folder is known by it. `decode` ignores names."""

_CAMERA_RAW: Final = frozenset(
    {
        *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".mef"),
        *(".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf"),
        *(".srw", ".x3f"),
    }
)

REFUSED_SUFFIXES: Final = _CAMERA_RAW | {
    *(".psd", ".psb", ".svg", ".svgz", ".xcf", ".kra", ".ai", ".eps", ".ico", ".jp2", ".j2k", ".jpf", ".jpx"),
    *(
        ".jxl",
        ".exr",
        ".hdr",
        ".dds",
        ".tga",
        ".pcx",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".bpg",
        ".flif",
        ".wmf",
    ),
    *(".emf", ".heics", ".heifs", ".avifs", ".jng", ".mng", ".jxr", ".wdp", ".djvu", ".qoi", ".cur", ".icns"),
}
"""What pictures are called that are not read: in a folder they fail, and are not passed over."""

PREFIX: Final = 1024
"""Bytes at the beginning of a file that tell its format."""

_REFUSED: Final = (
    (0, b"8BPS", "a Photoshop"),
    (0, b"FUJIFILMCCD-RAW", "a camera raw"),
    (8, b"CR\x02", "a camera raw"),  # Canon, which is a TIFF otherwise
    (6, b"HEAPCCDR", "a camera raw"),
    (4, b"ftypcrx ", "a camera raw"),
    (0, b"IIRO", "a camera raw"),  # Olympus
    (0, b"IIRS", "a camera raw"),
    (0, b"MMOR", "a camera raw"),
    (0, b"IIU\0", "a camera raw"),  # Panasonic
    (0, b"FOVb", "a camera raw"),
    (0, b"\0MRM", "a camera raw"),
    (0, b"gimp xcf", "a GIMP"),
    (0, b"\xff\x0a", "a JPEG XL"),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000"),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR"),
    (0, b"\0\0\x01\0", "an icon"),
    (0, b"%PDF-", "a PDF"),
    (0, b"%!PS", "a PostScript"),
)
"""Where in a file which bytes tell a format that is named when it is refused."""

_RAW_TAGS: Final = (330, 50706)
"""Of a TIFF whose first picture is a thumbnail: further pictures within (SubIFDs), or Adobe's DNG."""

_NEW_SUBFILE_TYPE, _PHOTOMETRIC = 254, 262
_COLOUR_FILTER_ARRAY, _LINEAR_RAW = 32803, 34892

Check = Callable[[tuple[int, int]], None]
Opener = Callable[[IO[bytes], Check], Image.Image]
"""Takes a file, and what is to be called with width and height before any pixel is decoded."""

_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_HEIF_BRANDS: Final = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2", b"msf1"}
)


def identify(prefix: bytes) -> tuple[str, Opener]:
    """The format of a file that begins with these bytes, and what opens it: its size, not its pixels yet.

    The openers are called directly, not through `Image.open`: that would warn about large pictures (a
    warnings filter is shared by all threads) and refuse them by a limit of its own.

    Args:
        prefix: `PREFIX` bytes, or the whole of a smaller file.

    Raises:
        UnsupportedImageError: It is none of `INPUT_FORMATS`.
    """
    Image.init()
    known = [name for name in INPUT_FORMATS if name in Image.OPEN or name == "HEIC"]
    name = _container(prefix) or next((name for name in known if _accepts(name, prefix)), None)
    if refused := _refused(prefix):
        raise _export_first(refused)
    if name not in known:  # Pillow may be built without a codec
        *most, last = known
        raise UnsupportedImageError(
            f"This is not a picture in a format that can be read ({', '.join(most)} or {last})."
        )
    special = {"HEIC": _open_heic, "AVIF": _open_avif, "TIFF": _open_tiff}
    return name, special.get(name, _pillow(name))


def _refused(prefix: bytes) -> str | None:
    """What a file is that is no picture for us but has a name, as "a Photoshop"."""
    start = prefix.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"<svg") or (start.startswith((b"<?xml", b"<!")) and b"<svg" in start):
        return "an SVG"
    return next((what for at, magic, what in _REFUSED if prefix.startswith(magic, at)), None)


def _export_first(what: str) -> UnsupportedImageError:
    return UnsupportedImageError(f"This is {what} file; export it as JPEG or PNG first.")


def _container(prefix: bytes) -> str | None:
    """HEIC or AVIF, by the brands of a file of the ISO base media format (ISO/IEC 14496-12, 4.3).

    Both are named by `mif1` first in some files, so that what else they call themselves decides.
    """
    if prefix[4:8] != b"ftyp":
        return None
    length = min(int.from_bytes(prefix[:4], "big"), len(prefix))
    brands = {prefix[8:12], *(prefix[at : at + 4] for at in range(16, length - 3, 4))}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIC" if brands & _HEIF_BRANDS else None


def _accepts(name: str, prefix: bytes) -> bool:
    if name in ("AVIF", "HEIC"):
        return False  # `_container` knows them
    accepts = Image.OPEN[name][1]
    return accepts is not None and accepts(prefix) is True


def _pillow(name: str) -> Opener:
    return lambda stream, check: _opened(Image.OPEN[name][0], stream)


def _opened(opener: Callable[..., Any], stream: IO[bytes]) -> Image.Image:
    return cast("Image.Image", opener(stream, ""))


def _open_avif(stream: IO[bytes], check: Check) -> Image.Image:
    try:
        return _opened(Image.OPEN["AVIF"][0], stream)
    except (SyntaxError, ValueError, OSError):  # of older encoders: alpha without a size of its own, say
        from transformer_net.imaging.second_decoder import open_avif

        stream.seek(0)
        return open_avif(stream.read(), check)


def _open_tiff(stream: IO[bytes], check: Check) -> Image.Image:
    """TIFF, but no camera raw: what Pillow reads of those is a thumbnail, or samples without colours."""
    tags = _tiff_tags(stream)
    is_thumbnail = bool(int(tags.get(_NEW_SUBFILE_TYPE, 0)) & 1) and any(tag in tags for tag in _RAW_TAGS)
    if is_thumbnail or _RAW_TAGS[1] in tags or tags.get(_PHOTOMETRIC) in (_COLOUR_FILTER_ARRAY, _LINEAR_RAW):
        raise _export_first("a camera raw")
    return _opened(Image.OPEN["TIFF"][0], stream)


def _tiff_tags(stream: IO[bytes]) -> TiffImagePlugin.ImageFileDirectory_v2:
    """Of the first picture, the stream being at its beginning again."""
    header = stream.read(8)
    if header[2] == 43 or header[3] == 43:  # BigTIFF, either byte order
        header += stream.read(8)
    tags = TiffImagePlugin.ImageFileDirectory_v2(header)
    stream.seek(tags.next)
    tags.load(stream)
    stream.seek(0)
    return tags


def _open_heic(stream: IO[bytes], check: Check) -> Image.Image:
    """HEIF with HEVC inside. Of thumbnails, depth pictures and the other pictures nothing is looked at."""
    from pillow_heif import HeifImageFile  # 30 ms, and most pictures are no HEIC

    return _opened(HeifImageFile, stream)
