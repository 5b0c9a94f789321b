"""What is told from the first bytes of a file: JPEG XL and PNM, and what is refused by its name."""

import io
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.conftest import make_picture
from tests.imaging.test_images import saved
from transformer_net.errors import ImageSizeError, UnreadableImageError, UnsupportedImageError
from transformer_net.imaging import formats
from transformer_net.imaging.decode import Limits, decode


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "I;16"])
def test_pnm(mode):
    image = (
        make_picture(40, 30).convert("L").convert(mode)
        if mode == "I;16"
        else make_picture(40, 30).convert(mode)
    )
    assert decode(saved(image, "PPM")).rgb.tobytes() == decode(image).rgb.tobytes()
    with pytest.raises(UnsupportedImageError):
        decode(b"P3\n16 16\n255\n" + b"1 2 3\n" * 256)  # numbers as text


class TestJpegXl:
    @pytest.fixture(autouse=True)
    def _plugin(self):
        pytest.importorskip("pillow_jxl")

    @pytest.mark.parametrize("container", [False, True])
    @pytest.mark.parametrize("size", [(64, 48), (40, 30), (123, 77), (1600, 900), (3000, 17)])
    def test_reads(self, size, container):
        image = make_picture(*size)
        data = saved(image, "JXL", lossless=True, effort=1, use_container=container)
        assert decode(data).rgb.tobytes() == image.tobytes()
        with pytest.raises(ImageSizeError, match=f"{size[0]} x {size[1]}"):  # known before it is decoded
            decode(data[: data.index(b"\xff\x0a") + 30], Limits(max_pixels=size[0] * size[1] - 1))

    def test_alpha(self):
        image = make_picture(40, 30)
        image.putalpha(51)
        photo = decode(saved(image, "JXL", lossless=True))
        assert photo.alpha is not None
        assert photo.alpha.getextrema() == (51, 51)

    def test_is_upright_by_its_own_header(self):
        exif = Image.Exif()
        exif[0x0112] = 6
        assert decode(saved(make_picture(40, 30), "JXL", exif=exif.tobytes(), use_container=True)).size == (
            40,
            30,
        )

    def test_damage_is_told(self):
        data = saved(make_picture(200, 100), "JXL", lossless=True)
        for keep in (12, len(data) // 2):
            with pytest.raises(UnreadableImageError, match="JPEG XL picture is damaged"):
                decode(data[:keep])

    def test_without_the_plugin(self, monkeypatch):
        data = saved(make_picture(40, 30), "JXL")
        monkeypatch.setattr(formats, "_HAS_JXL", False)
        with pytest.raises(
            UnsupportedImageError, match="This is a JPEG XL file; export it as JPEG or PNG first"
        ):
            decode(data)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"8BPS\0\1" + bytes(99), "a Photoshop"),
        (b"<svg/>", "an SVG"),
        (b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- drawn -->\n<svg xmlns="x"/>', "an SVG"),
        (b"%PDF-1.7\n", "a PDF"),
        (b"FUJIFILMCCD-RAW " + bytes(99), "a camera raw"),
        (b"\0\0\0\x18ftypcrx " + bytes(99), "a camera raw"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(99), "a camera raw"),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(99), "a JPEG 2000"),
    ],
)
def test_refused_by_name(data, what):
    with pytest.raises(UnsupportedImageError) as caught:
        decode(data)
    assert str(caught.value) == f"This is {what} file; export it as JPEG or PNG first."


@pytest.mark.parametrize("how", ["thumbnail first", "DNG", "colour filter array"])
def test_no_thumbnail_of_a_camera_raw_is_painted(how):
    pixels, buffer = np.zeros((24, 32, 3), np.uint8), io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        if how == "thumbnail first":
            writer.write(pixels, photometric="rgb", subfiletype=1, subifds=1)
            writer.write(np.zeros((240, 320), np.uint16), photometric="minisblack")
        elif how == "DNG":
            writer.write(pixels, photometric="rgb", extratags=[(50706, 1, 4, b"\1\4\0\0", True)])
        else:
            writer.write(pixels[..., 0], photometric="cfa")
    with pytest.raises(UnsupportedImageError, match="camera raw"):
        decode(buffer.getvalue())


def test_a_smaller_copy_beside_it_makes_no_camera_raw():
    """Pyramids of scanners: the first picture is the large one."""
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(np.full((48, 64, 3), 90, np.uint8), photometric="rgb", subifds=1)
        writer.write(np.zeros((24, 32, 3), np.uint8), photometric="rgb", subfiletype=1)
    assert decode(buffer.getvalue()).rgb.getextrema() == ((90, 90),) * 3
    assert struct.unpack("<H", buffer.getvalue()[2:4])[0] in (42, 43)
