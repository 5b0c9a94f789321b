"""Some hundred kinds of pictures, made by independent encoders, against independent decoders.

libvips reads what Pillow reads for us, and ffmpeg what pillow-heif does. Where libvips is our own second
decoder (some TIFF), the picture that was written is the measure.
"""

import io
import itertools
import struct

import av
import numpy as np
import pillow_heif
import pytest
import pyvips
import tifffile
from PIL import Image, ImageCms, ImageFilter

from tests.conftest import make_picture
from transformer_net.errors import UnreadableImageError
from transformer_net.imaging.decode import decode

SIZE = (48, 32)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
MOST, MOST_DEEP = 1.0, 1.5
"""Mean difference in levels of 255; where 10 or 12 bits become 8, decoders round in different places."""

TURNS = range(1, 9)


def with_curve(profile, gamma):
    """A profile with the power `gamma` in place of its curves, and with its name."""
    data = bytearray(profile)
    for index in range(struct.unpack_from(">I", data, 128)[0]):
        at = 132 + 12 * index
        if data[at + 1 : at + 4] == b"TRC":
            struct.pack_into(">II", data, at + 4, len(profile), 14)
    data += b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    struct.pack_into(">I", data, 0, len(data))
    return bytes(data)


PROFILES = {
    "none": None,
    "srgb": SRGB,
    "p3": bytes(pyvips.Operation.call("profile_load", "p3")),
    "linear called sRGB": with_curve(SRGB, 1.0),
    "gamma 1.8 called sRGB": with_curve(SRGB, 1.8),
}


def photo(alpha=False, grey=False, soft=False):
    """A small picture; without edges where decoders may differ in how they enlarge halved colours."""
    image = make_picture(*(6 * SIZE[0], 6 * SIZE[1]) if soft else SIZE)
    if soft:
        image = image.filter(ImageFilter.GaussianBlur(24))
    image = image.convert("L") if grey else image
    if alpha:
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


def written(image, suffix, profile=None, turn=1, bits=8, cmyk=False, **options):
    """The file that libvips makes of a picture."""
    made = pyvips.Image.new_from_array(np.asarray(image))
    grey = image.mode in ("L", "LA")
    made = made.copy(interpretation="b-w" if grey else "srgb")
    if cmyk:
        made = made.icc_transform("cmyk", input_profile="srgb")
    if bits == 16:
        made = (made * 257).cast("ushort").copy(interpretation="grey16" if grey else "rgb16")
    made = made.copy()
    if profile:
        made.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    if turn > 1:
        made.set_type(pyvips.GValue.gint_type, "orientation", turn)
    return made.write_to_buffer(suffix, **options)


def by_vips(data):
    """Upright, in sRGB, over white."""
    made = pyvips.Image.new_from_buffer(data, "").autorot()
    most = 65535 if made.format == "ushort" else 255
    if made.get_typeof("icc-profile-data"):
        made = made.icc_transform("srgb", embedded=True, intent="perceptual", depth=8)
        most = 255
    pixels = made.numpy().astype(float) * (255 / most)
    pixels = np.atleast_3d(pixels)
    if pixels.shape[2] in (2, 4):
        alpha = pixels[..., -1:] / 255
        pixels = pixels[..., :-1] * alpha + 255 * (1 - alpha)
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3))


def by_ffmpeg(data):
    with av.open(io.BytesIO(data)) as container:
        frame = next(container.decode(video=0))
        return frame.to_ndarray(format="rgb24", dst_color_range=2, interpolation="BICUBIC").astype(float)


def difference(data, wanted):
    found = np.asarray(decode(data).rgb, float)
    assert found.shape == wanted.shape
    return np.abs(found - wanted).mean()


KINDS = [
    *((".jpg", {"Q": 95, "subsample_mode": mode}, 8, False) for mode in ("on", "off")),
    (".jpg", {"Q": 90, "interlace": True}, 8, False),
    *(
        (".png", {"interlace": interlace}, bits, alpha)
        for interlace in (False, True)
        for bits in (8, 16)
        for alpha in (False, True)
    ),
    *((".webp", {"lossless": True}, 8, alpha) for alpha in (False, True)),
    (".webp", {"Q": 90}, 8, False),
    *(
        (".tif", {"compression": how}, 8, alpha)
        for how in ("none", "lzw", "deflate")
        for alpha in (False, True)
    ),
    (".tif", {"compression": "deflate", "tile": True}, 8, False),
    (".tif", {"compression": "jpeg"}, 8, False),
    (".tif", {"bigtiff": True}, 8, False),
]
VARIANTS = [
    *itertools.product(KINDS, PROFILES, (1,), (False,)),
    *itertools.product(KINDS, ("none",), (1,), (True,)),
    *((kind, "none", turn, False) for kind in KINDS if kind[0] in (".jpg", ".tif") for turn in TURNS),
]


def name_of(value):
    return value[0] if isinstance(value, tuple) else str(value)


@pytest.mark.parametrize(("kind", "profile", "turn", "grey"), VARIANTS, ids=name_of)
def test_what_libvips_writes_and_reads(kind, profile, turn, grey):
    suffix, options, bits, alpha = kind
    icc = None if grey else PROFILES[profile]
    data = written(photo(alpha, grey), suffix, icc, turn, bits, **options)
    assert difference(data, by_vips(data)) <= MOST


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_cmyk(suffix, turn):
    data = written(photo(), suffix, turn=turn, cmyk=True, **({"Q": 95} if suffix == ".jpg" else {}))
    assert difference(data, by_vips(data)) <= MOST


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("subsampling", ["on", "off"])
@pytest.mark.parametrize("profile", PROFILES)
def test_avif_of_libheif(alpha, bits, subsampling, profile):
    options = {"compression": "av1", "bitdepth": bits, "subsample_mode": subsampling, "Q": 90, "effort": 0}
    data = written(photo(alpha, soft=True), ".avif", PROFILES[profile], bits=16 if bits > 8 else 8, **options)
    assert difference(data, by_vips(data)) <= (MOST if bits == 8 else MOST_DEEP)


@pytest.mark.parametrize("chroma", [420, 422, 444])
@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("matrix", [1, 6])
def test_heic_by_ffmpeg(chroma, bits, matrix, monkeypatch):
    monkeypatch.setattr(pillow_heif.options, "SAVE_HDR_TO_12_BIT", bits == 12)
    image = photo(soft=True)
    mode, samples = (
        ("RGB", np.asarray(image)) if bits == 8 else ("RGB;16", np.asarray(image).astype("<u2") * 257)
    )
    buffer = io.BytesIO()
    options = {"matrix_coefficients": matrix, "chroma": chroma}
    pillow_heif.from_bytes(mode, image.size, samples.tobytes()).save(buffer, quality=95, **options)
    assert difference(buffer.getvalue(), by_ffmpeg(buffer.getvalue())) <= (MOST if bits == 8 else MOST_DEEP)


TIFF_KINDS = [
    *itertools.product(("contig", "separate"), ("uint8", "uint16"), ("rgb", "rgba"), "<>", (False, True)),
    *itertools.product(("contig",), ("uint8", "uint16"), ("minisblack", "miniswhite"), "<>", (False, True)),
    *itertools.product(("contig", "separate"), ("float32",), ("rgb",), "<>", (False,)),
    *itertools.product(("contig",), ("float32",), ("minisblack",), "<>", (False,)),
]


@pytest.mark.parametrize(("planar", "dtype", "kind", "order", "big"), TIFF_KINDS)
def test_layouts_of_tiff(planar, dtype, kind, order, big):
    image = photo(alpha=kind == "rgba", grey=kind.startswith("minis"))
    wanted = np.asarray(decode(image).rgb, float)
    samples = np.asarray(image)
    if kind == "miniswhite":
        samples = 255 - samples
    samples = {"uint8": samples, "uint16": samples.astype("u2") * 257, "float32": samples.astype("f4") / 255}[
        dtype
    ]
    if planar == "separate":
        samples = np.moveaxis(samples, 2, 0)
    options = {"extrasamples": ["unassalpha"]} if kind == "rgba" else {}
    if kind.startswith("rgb"):
        options["planarconfig"] = planar
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        samples,
        photometric=kind[:3] if kind == "rgba" else kind,
        byteorder=order,
        bigtiff=big,
        **options,
    )
    assert difference(buffer.getvalue(), wanted) <= MOST


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("profile", [None, bytes(pyvips.Operation.call("profile_load", "cmyk"))])
def test_cmyk_with_alpha(dtype, profile):
    inks = pyvips.Image.new_from_array(np.asarray(photo())).copy(interpretation="srgb")
    inks = inks.icc_transform("cmyk", input_profile="srgb").numpy()
    options = {"icc_profile": profile} if profile else {}
    plain = io.BytesIO()
    Image.frombytes("CMYK", SIZE, inks.tobytes()).save(plain, "TIFF", **options)
    opaque = np.asarray(decode(plain.getvalue()).rgb, float)
    samples = np.dstack([inks, np.full(inks.shape[:2], 51, "u1")])
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        samples if dtype == "uint8" else samples.astype("u2") * 257,
        photometric="separated",
        extrasamples=["unassalpha"],
        iccprofile=profile,
    )
    assert decode(buffer.getvalue()).alpha.getextrema() == (51, 51)
    assert difference(buffer.getvalue(), opaque * 0.2 + 255 * 0.8) <= MOST


@pytest.mark.parametrize(
    ("dtype", "what"), [("uint32", "uint32"), ("int16", "int16"), ("float64", "64 bits")]
)
def test_samples_that_are_not_read_are_told(dtype, what):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.ones((32, 48, 3), dtype), photometric="rgb")
    with pytest.raises(
        UnreadableImageError, match=f"Samples of {what} cannot be read; save the picture with 16"
    ):
        decode(buffer.getvalue())


def test_the_corpus_is_large():
    avif, heic, cmyk = 2 * 3 * 2 * len(PROFILES), 3 * 3 * 2, 2 * 8
    assert len(VARIANTS) + len(TIFF_KINDS) + avif + heic + cmyk > 300
