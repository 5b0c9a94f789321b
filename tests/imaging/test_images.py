"""Decoding of all sorts of pictures, sound and broken; encoding; arrays."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFilter, ImageOps, features

from tests.conftest import make_picture
from transformer_net.errors import (
    ImageSizeError,
    SettingError,
    StylizerError,
    UnreadableImageError,
    UnsupportedImageError,
)
from transformer_net.imaging.arrays import fit, from_array, to_array
from transformer_net.imaging.decode import Limits, Photo, Source, decode
from transformer_net.imaging.encode import MEDIA_TYPES, encode, output_format
from transformer_net.imaging.formats import INPUT_FORMATS

SIZE = (24, 20)
RED = (200, 50, 10)


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    if format == "HEIC":
        pillow_heif.from_pillow(image).save(buffer, **options)
    else:
        image.save(buffer, {"PNM": "PPM"}.get(format, format), **options)
    return buffer.getvalue()


def noise(size: tuple[int, int] = (64, 48)) -> Image.Image:
    levels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(levels)


def chunk(kind: bytes, data: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + checksum


def png(width: int, height: int, depth: int, colour: int, rows: bytes, extra: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + extra + data + chunk(b"IEND", b"")


def first_pixel(photo: Photo) -> tuple[int, int, int]:
    pixel = photo.rgb.getpixel((0, 0))
    assert isinstance(pixel, tuple)
    return pixel[0], pixel[1], pixel[2]


def near(pixel: tuple[int, ...], wanted: tuple[int, ...], by: int = 3) -> bool:
    return max(abs(a - b) for a, b in zip(pixel, wanted, strict=True)) <= by


class TestFormats:
    @pytest.mark.parametrize("format", INPUT_FORMATS)
    def test_reads(self, format: str) -> None:
        if format == "AVIF" and not features.check("avif"):
            pytest.skip("Pillow without AVIF")
        photo = decode(saved(Image.new("RGB", SIZE, RED), format))
        assert photo.rgb.mode == "RGB"
        assert photo.size == SIZE
        assert photo.alpha is None
        assert near(first_pixel(photo), RED)

    @pytest.mark.parametrize("format", ["TGA", "ICO", "PCX", "JPEG2000", "PDF", "EPS"])
    def test_other_formats_of_pillow_stay_shut(self, format: str) -> None:
        try:
            data = saved(Image.new("RGB", SIZE, RED), format)
        except (KeyError, OSError):
            pytest.skip(f"Pillow does not write {format}")
        with pytest.raises(UnsupportedImageError):
            decode(data)

    @pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
    def test_buffers(self, wrap: Any) -> None:
        photo = decode(wrap(saved(noise(), "PNG")))
        assert photo.rgb.tobytes() == noise().tobytes()

    @pytest.mark.parametrize("as_text", [True, False])
    def test_paths(self, tmp_path: Path, as_text: bool) -> None:
        path = tmp_path / "photo.dat"  # the content decides, not the suffix
        path.write_bytes(saved(noise(), "PNG"))
        photo = decode(str(path) if as_text else path)
        assert photo.rgb.tobytes() == noise().tobytes()

    @pytest.mark.parametrize("absent", [True, False])
    def test_pillow_without_a_codec(self, monkeypatch: pytest.MonkeyPatch, absent: bool) -> None:
        data = saved(Image.new("RGB", SIZE, RED), "WEBP")
        Image.init()
        if absent:
            monkeypatch.delitem(Image.OPEN, "WEBP")
            expected = "(JPEG, PNG, AVIF" if "AVIF" in Image.OPEN else "(JPEG, PNG, GIF"
        else:  # the plugin is there, but says that it lacks its library
            opener, _ = Image.OPEN["WEBP"]
            monkeypatch.setitem(Image.OPEN, "WEBP", (opener, lambda _: "no library"))
            expected = "(JPEG, PNG, WEBP"
        with pytest.raises(UnsupportedImageError) as caught:
            decode(data)
        assert expected in str(caught.value)

    def test_first_frame_of_an_animation(self) -> None:
        frames = [Image.new("RGB", SIZE, colour) for colour in ("red", "blue", "lime")]
        for format in ("GIF", "WEBP", "TIFF", "PNG"):
            data = saved(frames[0], format, save_all=True, append_images=frames[1:])
            assert near(first_pixel(decode(data)), (255, 0, 0), by=5), format

    def test_picture_of_several_as_phones_write_it(self) -> None:
        data = saved(Image.new("RGB", SIZE, RED), "MPO", save_all=True, append_images=[noise(SIZE)])
        assert near(first_pixel(decode(data)), RED)

    def test_pillow_image_is_left_alone(self) -> None:
        image = noise()
        photo = decode(image)
        photo.rgb.putpixel((0, 0), (1, 2, 3))
        assert image.tobytes() == noise().tobytes()

    def test_anything_else_is_a_programming_error(self) -> None:
        with pytest.raises(TypeError, match="float"):
            decode(1.5)  # type: ignore[arg-type]


class TestModes:
    @pytest.mark.parametrize(
        ("mode", "colour", "wanted"),
        [
            ("1", 1, (255, 255, 255)),
            ("L", 100, (100, 100, 100)),
            ("RGB", RED, RED),
            ("RGBX", (*RED, 0), RED),
            ("CMYK", (0, 255, 255, 0), (255, 0, 0)),
            ("YCbCr", (76, 85, 255), (254, 0, 0)),
            ("HSV", (0, 255, 255), (255, 0, 0)),
            ("LAB", (136, 208, 195), (250, 3, 11)),
            ("I;16", 32896, (128, 128, 128)),
            ("I;16B", 32896, (128, 128, 128)),
            ("I", 65535, (255, 255, 255)),
            ("F", 0.5, (128, 128, 128)),
        ],
    )
    def test_opaque(self, mode: str, colour: Any, wanted: tuple[int, int, int]) -> None:
        image = Image.new(mode, SIZE, colour)
        photo = decode(image)
        assert photo.alpha is None
        assert near(first_pixel(photo), wanted)
        if mode not in (
            "RGBX",
            "HSV",
            "YCbCr",
        ):  # a TIFF holds the others; Pillow 12 cannot read its own YCbCr
            data = saved(image, "TIFF")
            assert near(first_pixel(decode(data)), wanted)

    @pytest.mark.parametrize(
        ("mode", "colour", "wanted"),
        [
            ("LA", (100, 51), (224, 224, 224)),
            ("La", (20, 51), (224, 224, 224)),
            ("RGBA", (*RED, 51), (244, 214, 206)),
            ("RGBa", (40, 10, 2, 51), (244, 214, 206)),
        ],
    )
    def test_alpha_is_laid_over_white(
        self, mode: str, colour: tuple[int, ...], wanted: tuple[int, int, int]
    ) -> None:
        photo = decode(Image.new(mode, SIZE, colour))
        assert first_pixel(photo) == wanted
        assert photo.alpha is not None
        assert photo.alpha.mode == "L"
        assert photo.alpha.getextrema() == (51, 51)

    def test_colour_hidden_by_transparency_does_not_leak(self) -> None:
        image = Image.new("RGBA", SIZE, (255, 0, 0, 0))
        image.paste((0, 0, 255, 255), (0, 0, 8, 8))
        for format in ("PNG", "WEBP", "TIFF"):
            options = {"lossless": True, "exact": True} if format == "WEBP" else {}
            photo = decode(saved(image, format, **options))
            assert set(photo.rgb.get_flattened_data()) == {(0, 0, 255), (255, 255, 255)}, format
            assert photo.alpha is not None
            assert photo.alpha.getextrema() == (0, 255)

    def test_opaque_alpha_is_no_alpha(self) -> None:
        assert decode(saved(Image.new("RGBA", SIZE, (*RED, 255)), "PNG")).alpha is None

    def test_palette(self) -> None:
        image = Image.new("P", SIZE, 1)
        image.putpalette([0, 0, 0, *RED])
        for format in ("PNG", "GIF", "BMP", "TIFF"):
            assert first_pixel(decode(saved(image, format))) == RED, format

    @pytest.mark.parametrize(
        ("transparency", "alpha", "pixel"),
        [(1, 0, (255, 255, 255)), (b"\xff\x33", 51, (244, 214, 206)), (0, None, RED)],
    )
    def test_palette_with_transparency(
        self, transparency: int | bytes, alpha: int | None, pixel: tuple[int, int, int]
    ) -> None:
        image = Image.new("P", SIZE, 1)
        image.putpalette([0, 0, 0, *RED])
        photo = decode(saved(image, "PNG", transparency=transparency))
        assert first_pixel(photo) == pixel
        assert (photo.alpha and photo.alpha.getpixel((0, 0))) == alpha

    def test_one_transparent_colour(self) -> None:
        image = Image.new("RGB", SIZE, RED)
        image.paste((0, 0, 255), (0, 0, 8, 8))
        photo = decode(saved(image, "PNG", transparency=RED))
        assert photo.rgb.getpixel((20, 15)) == (255, 255, 255)
        assert photo.rgb.getpixel((0, 0)) == (0, 0, 255)

    def test_one_transparent_gray_of_16_bits(self) -> None:
        row = b"\0" + b"\xaa\xbb" * 8 + b"\xaa\xbc" * 8  # alike but for the last bit
        photo = decode(png(16, 16, 16, 0, row * 16, chunk(b"tRNS", b"\xaa\xbb")))
        assert photo.rgb.getpixel((0, 0)) == (255, 255, 255)
        assert photo.rgb.getpixel((15, 0)) == (170, 170, 170)

    def test_cmyk_jpeg_is_not_inverted(self) -> None:
        data = saved(Image.new("CMYK", SIZE, (0, 255, 255, 0)), "JPEG")
        assert b"Adobe" in data
        assert near(first_pixel(decode(data)), (255, 0, 0))

    @pytest.mark.parametrize("mode", ["I;16", "I;16B", "I"])
    def test_16_bits_are_scaled_and_rounded(self, mode: str) -> None:
        levels = np.array([0, 128, 129, 257, 32767, 32896, 65278, 65406, 65407, 65535])
        kind = {"I;16": "<u2", "I;16B": ">u2", "I": "<i4"}[mode]
        rows = np.tile(levels, (16, 2)).astype(kind)
        image = Image.frombytes(mode, (20, 16), rows.tobytes())
        wanted = [0, 0, 1, 1, 127, 128, 254, 254, 255, 255]
        formats = ["TIFF"] if mode == "I" else ["TIFF", "PNG"]
        sources: list[Source] = [image, *(saved(image, format) for format in formats)]
        for source in sources:
            pixels = np.asarray(decode(source).rgb)[0, :10, 0]
            assert pixels.tolist() == wanted

    def test_rgb_of_16_bits(self) -> None:
        row = b"\0" + b"\xff\xff\x80\x00\x00\x10" * 16
        assert near(first_pixel(decode(png(16, 16, 16, 2, row * 16))), (255, 128, 0), by=1)

    @pytest.mark.parametrize(
        ("top", "wanted"),
        [(1.0, 128), (4.0, 255), (100.0, 50), (255.0, 128), (65535.0, 128)],
    )
    def test_floats_by_their_white_level(self, top: float, wanted: int) -> None:
        samples = np.full((16, 16), top / 2, dtype=np.float32)
        samples[0, 0] = top
        photo = decode(saved(Image.fromarray(samples), "TIFF"))
        assert photo.rgb.getpixel((5, 5)) == (wanted,) * 3

    @pytest.mark.parametrize(
        ("value", "reason"),
        [(np.nan, "not numbers"), (-np.inf, "not numbers"), (1e9, "too large")],
    )
    def test_floats_that_are_no_picture(self, value: float, reason: str) -> None:
        samples = np.zeros((16, 16), dtype=np.float32)
        samples[3, 4] = value
        with pytest.raises(UnreadableImageError, match=reason):
            decode(saved(Image.fromarray(samples), "TIFF"))

    @pytest.mark.parametrize("value", [-1, 65536])
    def test_integers_beyond_16_bits(self, value: int) -> None:
        with pytest.raises(UnreadableImageError, match="16 bits"):
            decode(Image.new("I", SIZE, value))


class TestProfile:
    @staticmethod
    def swapped(name: str = "test") -> bytes:
        """A profile whose red primary is sRGB's green, and the other way round."""
        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        data = bytearray(srgb.replace("sRGB".encode("utf-16-be"), name.encode("utf-16-be")))
        for index in range(struct.unpack_from(">I", data, 128)[0]):
            at = 132 + 12 * index
            tag = bytes(data[at : at + 4])
            if tag in (b"rXYZ", b"gXYZ"):
                data[at : at + 4] = b"gXYZ" if tag == b"rXYZ" else b"rXYZ"
        return bytes(data)

    @staticmethod
    def linear_gray() -> bytes:
        """A grayscale profile without a gamma curve."""
        white = struct.pack(">iii", 0xF6D6, 0x10000, 0xD32D)
        curve = b"curv" + struct.pack(">III", 0, 1, 0x0100 << 16)
        tags = struct.pack(">I", 2)
        tags += b"wtpt" + struct.pack(">II", 156, 20) + b"kTRC" + struct.pack(">II", 176, 14)
        body = tags + b"XYZ \0\0\0\0" + white + curve
        head = struct.pack(">I", 128 + len(body)) + b"\0" * 4 + b"\2\x10\0\0mntrGRAYXYZ "
        head += b"\0" * 12 + b"acsp" + b"\0" * 28 + white
        return head.ljust(128, b"\0") + body

    @pytest.mark.parametrize(
        ("mode", "colour"), [("L", 128), ("LA", (128, 255)), ("I;16", 32896), ("LA", (128, 254))]
    )
    def test_of_grays_is_applied(self, mode: str, colour: Any) -> None:
        data = saved(Image.new(mode, SIZE, colour), "PNG", icc_profile=self.linear_gray())
        assert near(first_pixel(decode(data)), (188, 188, 188), by=2)

    def test_of_colours_is_applied_to_grays(self) -> None:
        """That of sRGB with the curve of the gray profile in place of its own."""
        curve = self.linear_gray()[176:192]
        data = bytearray(self.swapped())
        for index in range(struct.unpack_from(">I", data, 128)[0]):
            at = 132 + 12 * index
            if data[at + 1 : at + 4] == b"TRC":
                struct.pack_into(">II", data, at + 4, len(data), 14)
        data += curve
        struct.pack_into(">I", data, 0, len(data))
        photo = decode(saved(Image.new("L", SIZE, 128), "PNG", icc_profile=bytes(data)))
        assert near(first_pixel(photo), (188, 188, 188), by=2)

    def test_its_name_says_nothing(self) -> None:
        """GIMP calls its linear one "sRGB built-in with linear TRC"; what a profile does counts."""
        data = saved(Image.new("RGB", SIZE, (200, 50, 10)), "PNG", icc_profile=self.swapped("sRGB"))
        assert near(first_pixel(decode(data)), (50, 200, 10), by=4)

    @pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF"])
    def test_is_applied(self, format: str) -> None:
        data = saved(Image.new("RGB", SIZE, (200, 50, 10)), format, icc_profile=self.swapped())
        photo = decode(data)
        assert near(first_pixel(photo), (50, 200, 10), by=4)

    def test_is_applied_once(self) -> None:
        data = saved(Image.new("RGB", SIZE, RED), "PNG", icc_profile=self.swapped())
        once = decode(data).rgb
        assert decode(once).rgb.tobytes() == once.tobytes()

    def test_keeps_alpha(self) -> None:
        image = Image.new("RGBA", SIZE, (255, 0, 0, 51))
        photo = decode(saved(image, "PNG", icc_profile=self.swapped()))
        assert near(first_pixel(photo), (204, 255, 204), by=2)

    def test_of_srgb_changes_nothing(self) -> None:
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        photo = decode(saved(noise(), "PNG", icc_profile=profile))
        assert photo.rgb.tobytes() == noise().tobytes()

    @pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
    def test_that_is_broken_or_does_not_fit_is_ignored(self, mode: str) -> None:
        image = noise().convert(mode)
        plain = decode(saved(image, "TIFF")).rgb.tobytes()
        lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
        for profile in (b"nonsense", self.swapped()[:200], lab):
            assert decode(saved(image, "TIFF", icc_profile=profile)).rgb.tobytes() == plain


class TestOrientation:
    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "JPEG"])
    def test_is_applied(self, orientation: int, format: str) -> None:
        upright = Image.new("RGB", (40, 24), "white")
        upright.paste((255, 0, 0), (0, 0, 16, 8))
        # How a camera held that way stores it: the inverse of what a viewer has to do.
        store: dict[int, Callable[[Image.Image], Image.Image]] = {
            1: lambda image: image,
            2: ImageOps.mirror,
            3: lambda image: image.rotate(180),
            4: ImageOps.flip,
            5: lambda image: ImageOps.mirror(image.rotate(-90, expand=True)),
            6: lambda image: image.rotate(90, expand=True),
            7: lambda image: ImageOps.mirror(image.rotate(90, expand=True)),
            8: lambda image: image.rotate(-90, expand=True),
        }
        exif = Image.Exif()
        exif[0x0112] = orientation
        options: dict[str, dict[str, Any]] = {
            "WEBP": {"lossless": True},
            "JPEG": {"quality": 100, "subsampling": 0},
        }
        stored = saved(store[orientation](upright), format, exif=exif, **options.get(format, {}))
        photo = decode(stored)
        assert photo.size == (40, 24)
        assert np.abs(to_array(photo.rgb) - to_array(upright)).max() < 0.05

    def test_is_applied_once(self) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        once = decode(saved(noise(), "PNG", exif=exif)).rgb
        assert once.size == (48, 64)
        assert decode(once).rgb.tobytes() == once.tobytes()

    def test_turns_alpha_too(self) -> None:
        image = Image.new("RGBA", (40, 24), (0, 0, 0, 0))
        image.paste((0, 0, 0, 255), (0, 0, 10, 24))
        exif = Image.Exif()
        exif[0x0112] = 3
        photo = decode(saved(image, "PNG", exif=exif))
        assert photo.alpha is not None
        assert (photo.alpha.getpixel((0, 0)), photo.alpha.getpixel((39, 0))) == (0, 255)

    @pytest.mark.parametrize("exif", [b"Exif\0\0nonsense", b"Exif\0\0II*\0\xff\xff\xff\xff", b""])
    def test_that_is_broken_is_ignored(self, exif: bytes) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            photo = decode(saved(noise(), "PNG", exif=exif))
        assert photo.rgb.tobytes() == noise().tobytes()


class TestBroken:
    """What is wrong is said in one public sentence, without internals."""

    @staticmethod
    def reason(source: Any, kind: type[StylizerError], limits: Limits | None = None) -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(kind) as caught:
                decode(source, limits or Limits())
        assert type(caught.value) is kind
        assert caught.value.__cause__ is None
        sentence = str(caught.value)
        assert sentence.endswith(".")
        assert "\n" not in sentence
        for internal in ("PIL", "BytesIO", "0x", "Traceback", "Error", "/"):
            assert internal not in sentence
        return sentence

    @pytest.mark.parametrize("format", INPUT_FORMATS)
    @pytest.mark.parametrize("keep", [0.02, 0.3, 0.6])
    def test_cut_short(self, format: str, keep: float) -> None:
        if format == "AVIF" and not features.check("avif"):
            pytest.skip("Pillow without AVIF")
        data = saved(noise(), format)
        cut = data[: max(24, int(len(data) * keep))]
        assert format in self.reason(cut, UnreadableImageError)

    def test_damaged_inside(self) -> None:
        data = bytearray(saved(noise(), "PNG"))
        data[len(data) // 2] ^= 0xFF
        self.reason(bytes(data), UnreadableImageError)

    def test_empty(self, tmp_path: Path) -> None:
        assert self.reason(b"", UnreadableImageError) == "The file is empty."
        (tmp_path / "a.jpg").touch()
        assert self.reason(tmp_path / "a.jpg", UnreadableImageError) == "The file is empty."

    @pytest.mark.parametrize("data", [b"Dear diary,\n" * 20, b"\x89", b"\0" * 99, b"PK\3\4"])
    def test_no_picture(self, tmp_path: Path, data: bytes) -> None:
        path = tmp_path / "photo.jpg"
        path.write_bytes(data)
        assert "JPEG, PNG" in self.reason(data, UnsupportedImageError)
        self.reason(path, UnsupportedImageError)

    def test_paths(self, tmp_path: Path) -> None:
        assert "'no.jpg'" in self.reason(tmp_path / "no.jpg", UnreadableImageError)
        (tmp_path / "album").mkdir()
        assert "'album' is a folder" in self.reason(tmp_path / "album", UnreadableImageError)
        assert "empty" in self.reason("", UnreadableImageError)
        self.reason("photo\0.jpg", UnreadableImageError)
        self.reason("x" * 5000, UnreadableImageError)

    def test_loop_of_links(self, tmp_path: Path) -> None:
        (tmp_path / "a").symlink_to(tmp_path / "a")
        self.reason(tmp_path / "a", UnreadableImageError)

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
    def test_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        assert "'pipe'" in self.reason(tmp_path / "pipe", UnreadableImageError)

    def test_header_that_claims_too_much(self) -> None:
        sentence = self.reason(png(100_000, 100_000, 8, 2, b""), ImageSizeError)
        assert "100000 x 100000" in sentence
        assert "120,000,000" in sentence

    def test_limit_alone_decides_and_nothing_warns(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for format in ("PNG", "JPEG", "BMP"):
                assert decode(saved(noise(), format)).size == (64, 48)

    def test_pixel_limit(self) -> None:
        data = saved(noise((40, 30)), "PNG")
        assert decode(data, Limits(max_pixels=1200)).size == (40, 30)
        self.reason(data, ImageSizeError, Limits(max_pixels=1199))
        self.reason(noise((40, 30)), ImageSizeError, Limits(max_pixels=1199))
        self.reason(np.zeros((30, 40)), ImageSizeError, Limits(max_pixels=1199))

    def test_too_small(self) -> None:
        assert "1 x 1" in self.reason(saved(noise((1, 1)), "PNG"), ImageSizeError)
        self.reason(noise((15, 90)), ImageSizeError)
        self.reason(noise((90, 15)), ImageSizeError)
        assert decode(noise((16, 16))).size == (16, 16)
        assert decode(noise((1, 1)), Limits(min_side=1)).size == (1, 1)

    def test_size_is_checked_before_the_pixels(self) -> None:
        """The data of both is missing, and only the size is complained about."""
        assert "16" in self.reason(png(4, 4, 8, 2, b""), ImageSizeError)
        self.reason(png(40, 40, 8, 2, b""), UnreadableImageError)

    @pytest.mark.parametrize(
        "kind",
        [
            *(OSError, SyntaxError, ValueError, EOFError, MemoryError, OverflowError, TypeError),
            *(struct.error, zlib.error, IndexError, KeyError, AttributeError, RecursionError),
        ],
    )
    def test_whatever_pillow_raises(self, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]) -> None:
        def fail(*_: object, **__: object) -> None:
            raise kind("decoder error -2 at 0xdeadbeef")

        data = saved(noise(), "PNG")
        monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
        monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fail, raising=False)
        self.reason(data, UnreadableImageError)

    @settings(max_examples=120, deadline=None)
    @given(data=st.data())
    def test_random_damage_never_raises_anything_else(self, data: st.DataObject) -> None:
        format = data.draw(st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "BMP", "HEIC", "PNM"]))
        damaged = bytearray(saved(noise((24, 20)), format))
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, min(len(damaged), 400) - 1))
            damaged[at] = data.draw(st.integers(0, 255))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                photo = decode(bytes(damaged), Limits(max_pixels=100_000))
            except StylizerError:
                return
        assert photo.rgb.mode == "RGB"


class TestArrays:
    @pytest.mark.parametrize("shape", [(20, 24), (20, 24, 1), (20, 24, 3), (20, 24, 4)])
    def test_shapes(self, shape: tuple[int, ...]) -> None:
        photo = decode(np.full(shape, 100, dtype=np.uint8))
        assert photo.size == (24, 20)
        assert (photo.alpha is not None) == (shape[-1] == 4)

    @pytest.mark.parametrize(
        ("value", "dtype", "wanted"),
        [
            (200, "u1", 200),
            (51400, "u2", 200),
            (51400, ">u2", 200),
            (51271, "u2", 199),
            (51272, "u2", 200),
            (True, "?", 255),
            (False, "?", 0),
            (0.5, "f4", 128),
            (199.6 / 255, "f8", 200),
            (1.0, "f2", 255),
        ],
    )
    def test_values(self, value: float, dtype: str, wanted: int) -> None:
        array = np.full((20, 24, 3), value, dtype=dtype)
        assert first_pixel(decode(array)) == (wanted,) * 3

    def test_memory_is_not_shared(self) -> None:
        array = np.zeros((20, 24, 3), dtype=np.uint8)
        photo = decode(array)
        array[:] = 255
        assert first_pixel(photo) == (0, 0, 0)

    def test_any_strides(self) -> None:
        array = np.asarray(noise())
        for view in (array[::-1, ::2], np.asfortranarray(array)):
            assert np.array_equal(np.asarray(decode(view).rgb), view)

    @pytest.mark.parametrize("shape", [(), (9,), (3, 20, 24), (20, 24, 2), (1, 20, 24, 3)])
    def test_other_shapes(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(UnreadableImageError, match="height x width"):
            decode(np.zeros(shape, dtype=np.uint8))

    @pytest.mark.parametrize("value", [np.nan, np.inf, -0.01, 1.01, 255.0])
    def test_floats_out_of_range(self, value: float) -> None:
        array = np.zeros((20, 24))
        array[3, 4] = value
        with pytest.raises(UnreadableImageError):
            decode(array)

    @pytest.mark.parametrize("dtype", ["i4", "i8", "u4", "c8", "O", "S1"])
    def test_other_types(self, dtype: str) -> None:
        with pytest.raises(UnreadableImageError, match="uint8"):
            decode(np.zeros((20, 24), dtype=dtype))

    def test_no_pixels(self) -> None:
        with pytest.raises(ImageSizeError):
            decode(np.zeros((0, 24, 3), dtype=np.uint8))


class TestTensor:
    def test_round_trip_keeps_every_level(self) -> None:
        image = Image.fromarray(np.arange(256 * 3, dtype=np.uint16).reshape(16, 16, 3).astype("u1"))
        array = to_array(image)
        assert array.shape == (3, 16, 16)
        assert array.dtype == np.float32
        assert array.flags.c_contiguous
        assert from_array(array).tobytes() == image.tobytes()

    def test_channel_order_and_range(self) -> None:
        array = to_array(Image.new("RGB", SIZE, (255, 0, 51)))
        assert array.shape == (3, 20, 24)
        assert array[:, 0, 0].tolist() == pytest.approx([1, 0, 0.2])

    def test_grayscale_gets_three_channels(self) -> None:
        assert to_array(Image.new("L", SIZE, 255)).shape == (3, 20, 24)

    @pytest.mark.parametrize(
        ("value", "level"),
        [(100.6, 101), (100.4, 100), (99.999, 100), (-30, 0), (999, 255), (254.6, 255)],
    )
    def test_rounds_and_clips(self, value: float, level: int) -> None:
        image = from_array(np.full((3, 4, 5), value / 255, dtype=np.float32))
        assert image.size == (5, 4)
        assert image.getpixel((0, 0)) == (level,) * 3

    def test_argument_is_not_changed(self) -> None:
        array = np.full((3, 4, 5), 2.0, dtype=np.float32)
        from_array(array)
        assert (array == 2).all()
        array = np.full((3, 4, 5), 0.5, dtype=np.float32)
        from_array(array)
        assert (array == 0.5).all()

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_divergence_is_not_hidden(self, value: float) -> None:
        array = np.zeros((3, 4, 5), dtype=np.float32)
        array[1, 2, 3] = value
        with pytest.raises(ValueError, match="finite"):
            from_array(array)

    @pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3), (1, 3, 4, 5), (4, 4, 5)])
    def test_shape(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match="shape"):
            from_array(np.zeros(shape, dtype=np.float32))


class TestEncode:
    @pytest.mark.parametrize("format", sorted(MEDIA_TYPES))
    def test_deterministic_and_readable(self, format: str) -> None:
        data = encode(noise(), format)
        assert data == encode(noise(), format)
        with Image.open(io.BytesIO(data)) as image:
            assert image.get_format_mimetype() == MEDIA_TYPES[format]
            assert image.size == (64, 48)
            assert image.mode == "RGB"

    def test_png_is_lossless(self) -> None:
        assert decode(encode(noise())).rgb.tobytes() == noise().tobytes()

    def test_jpeg_keeps_full_colour_resolution(self) -> None:
        with Image.open(io.BytesIO(encode(noise(), "jpeg"))) as image:
            layers = image.layer  # type: ignore[attr-defined]
            assert [layer[1:3] for layer in layers] == [(1, 1)] * 3

    @pytest.mark.parametrize("format", ["jpeg", "webp"])
    def test_quality_matters(self, format: str) -> None:
        assert len(encode(noise(), format, 30)) < len(encode(noise(), format, 95))

    @pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
    def test_no_metadata(self, format: str) -> None:
        image = noise()
        exif = Image.Exif()
        exif[0x010F] = "Camera"
        image.info = {
            "icc_profile": TestProfile.swapped(),
            "exif": exif.tobytes(),
            "comment": b"home",
            "dpi": (300, 300),
        }
        with Image.open(io.BytesIO(encode(image, format))) as written:
            assert not {"icc_profile", "exif", "comment"} & set(written.info)
        assert image.info["comment"] == b"home"

    def test_alpha(self) -> None:
        image = Image.new("RGBA", SIZE, (255, 0, 0, 51))
        for format in ("png", "webp"):
            photo = decode(encode(image, format))
            assert photo.alpha is not None, format
            assert photo.alpha.getextrema() == (51, 51)
        assert near(first_pixel(decode(encode(image, "jpeg"))), (255, 204, 204))

    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "YCbCr", "I;16", "RGBa", "F"])
    @pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
    def test_any_mode(self, mode: str, format: str) -> None:
        assert decode(encode(Image.new(mode, SIZE), format)).size == SIZE

    @pytest.mark.parametrize("name", ["gif", "", "jpeg2000", "svg", "."])
    def test_unknown_format(self, name: str) -> None:
        with pytest.raises(UnsupportedImageError, match="png, jpeg or webp"):
            encode(noise(), name)

    @pytest.mark.parametrize(
        ("name", "wanted"), [("PNG", "png"), (".JPG", "jpeg"), ("jpeg", "jpeg"), (".webp", "webp")]
    )
    def test_names(self, name: str, wanted: str) -> None:
        assert output_format(name) == wanted

    @pytest.mark.parametrize("quality", [0, 101, -5])
    def test_quality_range(self, quality: int) -> None:
        with pytest.raises(SettingError, match=str(quality)):
            encode(noise(), "jpeg", quality)

    @pytest.mark.parametrize(("format", "side"), [("webp", 16_384), ("jpeg", 65_501)])
    def test_sides_that_a_format_cannot_hold(self, format: str, side: int) -> None:
        with pytest.raises(ImageSizeError, match="png"):
            encode(Image.new("L", (side, 1)), format)
        encode(Image.new("L", (side - 1, 1)), format)


class TestPhoto:
    def test_painting_gets_the_alpha_back(self) -> None:
        image = Image.new("RGBA", (40, 24), (0, 0, 0, 0))
        image.paste((0, 0, 0, 255), (0, 0, 20, 24))
        photo = decode(image)
        for size in ((40, 24), (80, 48)):
            painting = photo.with_alpha(Image.new("RGB", size, RED))
            assert painting.mode == "RGBA"
            assert painting.size == size
            assert painting.getpixel((0, 0)) == (*RED, 255)
            assert painting.getpixel((size[0] - 1, 0)) == (*RED, 0)

    def test_opaque_photo_leaves_the_painting(self) -> None:
        painting = Image.new("RGB", SIZE, RED)
        assert decode(noise()).with_alpha(painting) is painting


class TestFit:
    @pytest.mark.parametrize(
        ("size", "max_side", "wanted"),
        [
            ((64, 48), 32, (32, 24)),
            ((48, 64), 32, (24, 32)),
            ((64, 48), 64, (64, 48)),
            ((64, 48), 500, (64, 48)),
            ((64, 48), None, (64, 48)),
            ((1000, 2), 100, (100, 1)),
            ((64, 48), 1, (1, 1)),
        ],
    )
    def test_sizes(self, size: tuple[int, int], max_side: int | None, wanted: tuple[int, int]) -> None:
        assert fit(noise(size), max_side).size == wanted

    def test_averages_instead_of_skipping(self) -> None:
        board: npt.NDArray[np.uint8] = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
        small = np.asarray(fit(Image.fromarray(board).convert("RGB"), 16))
        assert np.abs(small.astype(int) - 127).max() < 12

    @pytest.mark.parametrize("max_side", [0, -1])
    def test_range(self, max_side: int) -> None:
        with pytest.raises(SettingError):
            fit(noise(), max_side)


def test_no_torch() -> None:
    """A picture can be checked before any model, or torch, is loaded."""
    code = "import sys, transformer_net.inference.sheet; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


_PEAK = """
import sys
from PIL import Image
from transformer_net.imaging.decode import decode
def peak():
    return 1024 * int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
Image.init()
before = peak()
decode(sys.argv[1], max_side=int(sys.argv[2]) or None)
print((peak() - before) / (4 * 6000 * 4000))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("kind", "max_side", "least", "most"),
    [
        ("turned", 0, 1, 2.2),
        ("turned with a profile", 0, 1, 2.2),
        ("alpha", 0, 1, 2.7),
        ("turned with a profile", 1280, 0, 0.7),
    ],
)
def test_a_large_picture_is_in_memory_twice_at_most(
    kind: str, max_side: int, least: float, most: float, tmp_path: Path
) -> None:
    """With alpha, once more in two planes of it. Pillow takes four bytes a pixel; measured in pictures."""
    picture = Image.linear_gradient("L").resize((6000, 4000)).convert("RGB")
    path, extra = tmp_path / "picture.jpg", {}
    if kind == "alpha":
        picture.putalpha(picture.getchannel("R"))
        path = path.with_suffix(".png")
    else:
        exif = Image.Exif()
        exif[0x0112] = 6
        extra["exif"] = exif.tobytes()
    if "profile" in kind:
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        extra["icc_profile"] = profile.replace("sRGB".encode("utf-16-be"), "mine".encode("utf-16-be"))
    picture.save(path, **extra)
    command = [sys.executable, "-c", _PEAK, str(path), str(max_side)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert least < float(done.stdout) < most


class TestShrunkWhileDecoded:
    @pytest.mark.parametrize("mode", ["L", "RGB", "CMYK", "RGBA", "P", "I;16"])
    @pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP", "HEIC"])
    def test_the_same_as_shrunk_afterwards(self, format: str, mode: str) -> None:
        image = make_picture(640, 480).filter(ImageFilter.GaussianBlur(4))
        exif = Image.Exif()
        exif[0x0112] = 6
        try:
            data = saved(
                image.convert("L").convert(mode) if mode == "I;16" else image.convert(mode), format, exif=exif
            )
        except (OSError, ValueError):
            pytest.skip(f"{format} has no {mode}")
        small, whole = decode(data, max_side=100), decode(data)
        assert small.size == fit(whole.rgb, 100).size
        assert max(small.size) == 100
        difference = np.abs(np.asarray(small.rgb, int) - np.asarray(fit(whole.rgb, 100), int))
        assert difference.mean() < 1

    def test_limits_are_those_of_the_file(self) -> None:
        data = saved(noise((400, 300)), "JPEG")
        with pytest.raises(ImageSizeError, match="400 x 300"):
            decode(data, Limits(max_pixels=100_000), 50)
        assert decode(saved(noise((1600, 20)), "JPEG"), max_side=100).size == (100, 1)

    def test_range(self) -> None:
        for source in (noise(), saved(noise(), "JPEG")):
            with pytest.raises(SettingError):
                decode(source, max_side=0)

    def test_an_open_file(self, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        noise().save(path)
        with path.open("rb") as stream:
            assert decode(stream).rgb.tobytes() == noise().tobytes()
