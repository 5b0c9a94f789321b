"""Our colours beside those of a browser, which decodes by itself."""

import base64
import io
import struct

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser

from tests.conftest import make_picture
from tests.imaging.test_colours import SRGB_CURVE, SWAPPED, cicp
from tests.imaging.test_corpus import PROFILES
from tests.imaging.test_images import chunk
from transformer_net.imaging.decode import decode

SIZE = (96, 64)

PIXELS = """async ([data, kind]) => {
    const image = new Image();
    image.src = `data:image/${kind};base64,${data}`;
    await image.decode();
    const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight).getContext("2d");
    canvas.drawImage(image, 0, 0);
    return [...canvas.getImageData(0, 0, image.naturalWidth, image.naturalHeight).data];
}"""


@pytest.fixture(scope="module")
def shown(browser: Browser):
    """What the browser makes of a file: RGB pixels."""
    page = browser.new_page()
    page.goto("about:blank")

    def pixels(data, kind):
        found = page.evaluate(PIXELS, [base64.b64encode(data).decode(), kind])
        return np.array(found).reshape(SIZE[1], SIZE[0], 4)[..., :3]

    yield pixels
    page.close()


def saved(kind, **options):
    buffer = io.BytesIO()
    make_picture(*SIZE).save(buffer, kind, **options)
    return buffer.getvalue()


def difference(data, kind, shown):
    return np.abs(np.asarray(decode(data).rgb, int) - shown(data, kind)).mean()


GAMMA_18 = chunk(b"gAMA", struct.pack(">I", 55_556))
LIGHT = chunk(b"cLLI", struct.pack(">II", 4_000 * 10_000, 400 * 10_000))


@pytest.mark.parametrize(
    ("extra", "most"),
    [
        (b"", 0.1),
        (GAMMA_18, 1),
        (chunk(b"gAMA", struct.pack(">I", 45_455)), 1),
        (GAMMA_18 + SWAPPED, 1),
        (chunk(b"sRGB", b"\0") + GAMMA_18, 0.1),
        *(
            (cicp(primaries, transfer), 1)
            for primaries in (1, 9, 12)
            for transfer in (1, 4, 8, SRGB_CURVE, 14)
        ),
        *((cicp(9, 16) + extra, 1) for extra in (b"", LIGHT)),
        (cicp(9, 18), 1),
        *((cicp(primaries, transfer), 6) for primaries in (1, 12) for transfer in (16, 18)),
    ],
)
def test_png(extra, most, shown):
    data = saved("PNG")
    assert difference(data[:33] + extra + data[33:], "png", shown) <= most


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF"])
def test_profiles(kind, profile, shown):
    exact = {"JPEG": {"quality": 95}, "WEBP": {"lossless": True}, "AVIF": {"subsampling": "4:4:4"}}.get(
        kind, {}
    )
    assert difference(saved(kind, icc_profile=profile, **exact), kind.lower(), shown) <= 1


@pytest.mark.parametrize("primaries", [1, 9, 12])
@pytest.mark.parametrize("transfer", [1, 2, SRGB_CURVE, 16, 18])
def test_avif(primaries, transfer, shown):
    data = bytearray(saved("AVIF", quality=100, subsampling="4:4:4"))
    at = data.index(b"nclx") + 4
    data[at : at + 4] = struct.pack(">HH", primaries, transfer)
    assert difference(bytes(data), "avif", shown) <= (6 if transfer in (16, 18) else 1)


def test_a_file_opened_by_pillow_has_the_same_colours():
    data = saved("PNG")
    data = data[:33] + GAMMA_18 + data[33:]
    with Image.open(io.BytesIO(data)) as image:
        assert decode(image).rgb.tobytes() == decode(data).rgb.tobytes()
