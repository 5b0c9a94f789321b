"""What files say of their colours: code points, profiles, gamma, and high dynamic range."""

import io
import struct

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from tests.conftest import make_picture
from tests.imaging.test_heic import heic
from tests.imaging.test_images import TestProfile, chunk, first_pixel, near, saved
from transformer_net.imaging.decode import decode

SIZE = (32, 24)
SRGB_CURVE = 13

P3, BT2020, PQ, HLG, LINEAR = 12, 9, 16, 18, 8

SRGB = chunk(b"sRGB", b"\0")
GAMMA_1 = chunk(b"gAMA", struct.pack(">I", 100_000))
SWAPPED = chunk(b"cHRM", struct.pack(">8I", 31270, 32900, 30000, 60000, 64000, 33000, 15000, 6000))
"""Red and green the other way round."""


def cicp(primaries, transfer):
    return chunk(b"cICP", bytes([primaries, transfer, 0, 1]))


def png_with(extra, colour=(200, 50, 10), profile=None):
    options = {"icc_profile": profile} if profile else {}
    data = saved(Image.new("RGB", SIZE, colour), "PNG", **options)
    at = 8 + 25  # after IHDR
    return data[:at] + extra + data[at:]


@pytest.mark.parametrize(
    ("extra", "profile", "wanted"),
    [
        (cicp(1, SRGB_CURVE), True, (200, 50, 10)),
        (b"", True, (50, 200, 10)),
        (SRGB + GAMMA_1, True, (50, 200, 10)),
        (SRGB + GAMMA_1 + SWAPPED, False, (200, 50, 10)),
        (GAMMA_1, False, (228, 122, 56)),  # the levels of sRGB for linear light
        (chunk(b"gAMA", struct.pack(">I", 45455)), False, (200, 50, 10)),
        (chunk(b"gAMA", struct.pack(">I", 45455)) + SWAPPED, False, (46, 201, 3)),
        (SWAPPED, False, (200, 50, 10)),
        (cicp(P3, SRGB_CURVE), False, (218, 24, 0)),  # as color(display-p3 …) in a browser
        (cicp(1, LINEAR) + SRGB, False, (228, 122, 56)),
        (cicp(200, 200), False, (200, 50, 10)),
    ],
)
def test_the_order_of_png(extra, profile, wanted):
    """Third edition, 4.3: cICP, iCCP, sRGB, gAMA and cHRM; Chromium gives these colours, too."""
    data = png_with(extra, profile=TestProfile.swapped() if profile else None)
    assert near(first_pixel(decode(data)), wanted, by=3)


@pytest.mark.parametrize(
    ("transfer", "signal", "wanted"), [(PQ, 128, 132), (PQ, 176, 237), (HLG, 192, 189), (PQ, 200, 255)]
)
def test_hdr_of_png_as_chromium_shows_it(transfer, signal, wanted):
    """Chromium's levels: the reference white operator of SMPTE ST 2094-50."""
    assert near(first_pixel(decode(png_with(cicp(BT2020, transfer), (signal,) * 3))), (wanted,) * 3, by=2)
    brighter = cicp(BT2020, transfer) + chunk(b"cLLI", struct.pack(">II", 4000 * 10_000, 400 * 10_000))
    tells_more = first_pixel(decode(png_with(brighter, (signal,) * 3)))[0] < wanted - 1
    assert tells_more == (transfer == PQ and signal > 150)


@pytest.mark.parametrize(
    ("primaries", "transfer", "wanted"),
    [
        (P3, SRGB_CURVE, (218, 24, 0)),
        (1, SRGB_CURVE, (200, 50, 10)),
        (1, 1, (200, 50, 10)),
        (2, 2, (200, 50, 10)),
    ],
)
def test_code_points_of_heic_and_avif(primaries, transfer, wanted):
    image = Image.new("RGB", SIZE, (200, 50, 10))
    data = heic(image, color_primaries=primaries, transfer_characteristics=transfer, nclx_profile=None)
    assert near(first_pixel(decode(data)), wanted, by=4)
    buffer = io.BytesIO()
    image.save(buffer, "AVIF", quality=100, subsampling="4:4:4")
    avif = bytearray(buffer.getvalue())
    at = avif.index(b"nclx") + 4
    avif[at : at + 4] = struct.pack(">HH", primaries, transfer)
    assert near(first_pixel(decode(bytes(avif))), wanted, by=4)


def test_hdr_of_phones():
    """10 bits of HLG in BT.2020: its white, 75 %, is no grey, and no white either."""
    samples = np.full((*SIZE[::-1], 3), round(0.753 * 65535), "<u2")
    buffer = io.BytesIO()
    pillow_heif.from_bytes("RGB;16", SIZE, samples.tobytes()).save(
        buffer,
        quality=-1,
        chroma=444,
        color_primaries=BT2020,
        transfer_characteristics=HLG,
        matrix_coefficients=9,
    )
    assert near(first_pixel(decode(buffer.getvalue())), (189, 189, 189), by=4)


def test_xmp_turns_nothing():
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><tiff:Orientation>6</tiff:Orientation></x:xmpmeta>'
    text = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
    assert decode(png_with(text)).size == SIZE
    assert decode(saved(make_picture(*SIZE), "JPEG", xmp=xmp)).size == SIZE
