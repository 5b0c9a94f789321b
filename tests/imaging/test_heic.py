"""HEIC as phones write it, and AVIF as older encoders do."""

import io
import struct

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms

from tests.conftest import make_picture
from tests.imaging.test_images import TestProfile, first_pixel, near
from transformer_net.errors import UnreadableImageError, UnsupportedImageError
from transformer_net.imaging.decode import decode
from transformer_net.imaging.encode import encode

SIZE = (96, 64)


def heic(image, **options):
    """The bytes of a HEIC file, as little changed as the encoder can."""
    buffer = io.BytesIO()
    pillow_heif.from_pillow(image).save(buffer, quality=-1, chroma=444, matrix_coefficients=0, **options)
    return buffer.getvalue()


def difference(photo, image):
    return np.abs(np.asarray(photo.rgb, int) - np.asarray(image.convert("RGB"), int)).mean()


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1", b"msf1", b"hevc", b"miaf"])
def test_every_brand(brand):
    data = bytearray(heic(make_picture(*SIZE)))
    data[8:12] = brand
    assert difference(decode(bytes(data)), make_picture(*SIZE)) < 0.5
    data[16:20] = brand  # among those that it is compatible with
    assert difference(decode(bytes(data)), make_picture(*SIZE)) < 0.5


def test_the_container_of_both_is_told_by_the_other_brands():
    avif = io.BytesIO()
    make_picture(*SIZE).save(avif, "AVIF")
    data = bytearray(avif.getvalue())
    data[8:12] = b"mif1"
    assert decode(bytes(data)).size == SIZE
    film = b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + bytes(200)
    with pytest.raises(UnsupportedImageError):
        decode(film)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_once(orientation):
    """The container turns it; EXIF that says so as well is not heeded again."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Camera"
    data = heic(make_picture(*SIZE), exif=exif.tobytes())
    assert (b"irot" in data or b"imir" in data) == (orientation > 1)
    photo = decode(data)
    turned = Image.open(io.BytesIO(encode(make_picture(*SIZE), exif=exif.tobytes())))
    assert difference(photo, decode(turned).rgb) < 0.5
    assert photo.exif is not None
    assert photo.exif[0x010F] == "Camera"


def test_colour_profile_is_applied():
    data = heic(Image.new("RGB", SIZE, (200, 50, 10)), icc_profile=TestProfile.swapped())
    assert near(first_pixel(decode(data)), (50, 200, 10), by=4)


def test_profile_and_bits_of_a_phone():
    """10 bits, Display P3 by a profile, in tiles of 64, with thumbnails."""
    image = make_picture(200, 150)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    samples = (np.asarray(image).astype("<u2") * 257).tobytes()
    made = pillow_heif.from_bytes("RGB;16", image.size, samples)
    buffer = io.BytesIO()
    made.save(buffer, quality=-1, chroma=444, icc_profile=profile, tile_size=64, thumbnails=[32])
    data = buffer.getvalue()
    assert pillow_heif.open_heif(data).info["bit_depth"] == 10
    photo = decode(data)
    assert photo.size == (200, 150)
    assert difference(photo, image) < 1


def test_alpha():
    image = make_picture(*SIZE)
    image.putalpha(Image.linear_gradient("L").resize(SIZE))
    photo = decode(heic(image))
    assert photo.alpha is not None
    assert np.abs(np.asarray(photo.alpha, int) - np.asarray(image.getchannel("A"), int)).max() <= 2
    assert difference(photo, decode(image).rgb) < 1


def test_grey():
    assert difference(decode(heic(make_picture(*SIZE).convert("L"))), make_picture(*SIZE).convert("L")) < 1


def test_the_primary_picture_of_several_is_taken():
    images = [Image.new("RGB", SIZE, colour) for colour in ("red", "lime", "blue")]
    buffer = io.BytesIO()
    made = pillow_heif.from_pillow(images[0])
    for image in images[1:]:
        made.add_from_pillow(image)
    made.save(buffer, primary_index=1, chroma=444)
    assert near(first_pixel(decode(buffer.getvalue())), (0, 255, 0), by=4)


def test_damage_is_told():
    data = heic(make_picture(*SIZE))
    with pytest.raises(UnreadableImageError, match="HEIC picture is damaged"):
        decode(data[: len(data) // 2])


def without_property(avif, kind):
    """The file with a property taken away from its second item, the alpha: 0 is no property."""
    data = bytearray(avif)
    at = data.index(b"ipco")
    end, at, kinds = at - 4 + struct.unpack_from(">I", data, at - 4)[0], at + 4, []
    while at < end:
        kinds.append(bytes(data[at + 4 : at + 8]))
        at += struct.unpack_from(">I", data, at)[0]
    at = data.index(b"ipma") + 12
    at += 3 + data[at + 2]  # past the first item
    for place in range(at + 3, at + 3 + data[at + 2]):
        if kinds[(data[place] & 127) - 1] == kind:
            data[place] = 0
    return bytes(data)


def test_avif_with_alpha_as_older_encoders_wrote_it():
    image = make_picture(*SIZE)
    image.putalpha(Image.linear_gradient("L").resize(SIZE))
    buffer = io.BytesIO()
    image.save(buffer, "AVIF", quality=100, subsampling="4:4:4")
    old = without_property(buffer.getvalue(), b"ispe")
    with pytest.raises(OSError, match="cannot identify"):
        Image.open(io.BytesIO(old))
    photo, wanted = decode(old), decode(image)
    assert photo.alpha is not None
    assert difference(photo, wanted.rgb) < 2
    with pytest.raises(UnreadableImageError, match="AVIF picture is damaged"):
        decode(old[: len(old) // 2])


@pytest.mark.parametrize("brand", [b"msf1", b"hevc"])
def test_a_sequence_without_a_still_is_named(brand):
    def box(kind, *inside):
        return struct.pack(">I4s", 8 + sum(map(len, inside)), kind) + b"".join(inside)

    data = box(b"ftyp", brand, bytes(4), b"hevc") + box(b"moov", box(b"trak")) + box(b"mdat", bytes(100))
    with pytest.raises(UnsupportedImageError, match="a HEIC sequence without a still picture"):
        decode(data)
