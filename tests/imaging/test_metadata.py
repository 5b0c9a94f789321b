"""What a painting keeps of its photo's metadata when asked, and what it never does."""

import io

import pytest
from PIL import ExifTags, Image, ImageCms

from tests.conftest import make_picture
from transformer_net.imaging.decode import decode
from transformer_net.imaging.encode import encode
from transformer_net.imaging.metadata import kept, srgb_profile

BASE, GPS = ExifTags.Base, ExifTags.GPS


def photo_with_exif(format="JPEG"):
    exif = Image.Exif()
    exif[BASE.Make], exif[BASE.Orientation], exif[BASE.Artist] = "Camera & Sons", 6, "A. Painter"
    exif.get_ifd(ExifTags.IFD.Exif).update(
        {BASE.FNumber: 2.8, BASE.DateTimeOriginal: "2024:05:01 10:00:00", BASE.MakerNote: b"secret thumbnail",
         BASE.ExifImageWidth: 9999}
    )  # fmt: skip
    exif.get_ifd(ExifTags.IFD.GPSInfo).update({GPS.GPSLatitudeRef: "N", GPS.GPSLatitude: (48.0, 12.0, 30.0)})
    buffer = io.BytesIO()
    make_picture(60, 40).save(buffer, format, exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_what_is_said_of_the_picture_is_kept(source, kind):
    photo = decode(photo_with_exif(source))
    assert photo.size == (40, 60)
    painting = Image.open(io.BytesIO(encode(photo.rgb, kind, exif=kept(photo.exif))))
    exif = painting.getexif()
    assert (exif[BASE.Make], exif[BASE.Artist]) == ("Camera & Sons", "A. Painter")
    details = exif.get_ifd(ExifTags.IFD.Exif)
    assert (float(details[BASE.FNumber]), details[BASE.DateTimeOriginal]) == (2.8, "2024:05:01 10:00:00")
    assert BASE.Orientation not in exif
    assert not {BASE.MakerNote, BASE.ExifImageWidth} & set(details)
    assert not exif.get_ifd(ExifTags.IFD.GPSInfo)
    assert not exif.get_ifd(ExifTags.IFD.IFD1)
    assert "sRGB" in ImageCms.getProfileDescription(
        ImageCms.ImageCmsProfile(io.BytesIO(painting.info["icc_profile"]))
    )
    again = decode(encode(photo.rgb, kind, exif=kept(photo.exif)))
    assert again.size == (40, 60)  # upright, and not turned once more


@pytest.mark.parametrize("source", ["TIFF", "PNG", "WEBP"])
def test_a_text_too_long_for_a_jpeg_is_left_out(source):
    exif = Image.Exif()
    exif[BASE.Make], exif[BASE.ImageDescription] = "Microscope", "x" * 80_000
    buffer = io.BytesIO()
    make_picture(60, 40).save(buffer, source, exif=exif)
    painting = encode(make_picture(60, 40), "jpeg", exif=kept(decode(buffer.getvalue()).exif))
    assert dict(Image.open(io.BytesIO(painting)).getexif()) == {BASE.Make: "Microscope"}


def test_of_a_tiff_only_what_is_not_about_the_file_is_kept():
    photo = decode(photo_with_exif("TIFF"))
    exif = Image.open(io.BytesIO(encode(photo.rgb, "png", exif=kept(photo.exif)))).getexif()
    assert dict(exif) == {BASE.Make: "Camera & Sons", BASE.Artist: "A. Painter"}


def test_the_place_is_kept_only_if_asked():
    photo = decode(photo_with_exif())
    painting = Image.open(io.BytesIO(encode(photo.rgb, "jpeg", exif=kept(photo.exif, place=True))))
    place = painting.getexif().get_ifd(ExifTags.IFD.GPSInfo)
    assert (place[GPS.GPSLatitudeRef], *map(float, place[GPS.GPSLatitude])) == ("N", 48, 12, 30)


def test_without_asking_nothing_is_written():
    photo = decode(photo_with_exif())
    for kind in ("png", "jpeg", "webp"):
        data = encode(photo.rgb, kind)
        assert b"Camera" not in data
        assert "icc_profile" not in Image.open(io.BytesIO(data)).info


def test_a_photo_without_exif_is_only_tagged():
    photo = decode(make_picture(40, 30))
    assert kept(photo.exif) == b""
    painting = Image.open(io.BytesIO(encode(photo.rgb, "png", exif=b"")))
    assert "exif" not in painting.info
    assert painting.info["icc_profile"] == srgb_profile()
    assert painting.convert("RGB").tobytes() == photo.rgb.tobytes()


def test_broken_exif_is_no_reason_to_fail():
    data = photo_with_exif()
    at = data.index(b"Exif\0\0")
    broken = decode(data[: at + 14] + b"\xff" * 40 + data[at + 54 :])
    assert isinstance(kept(broken.exif, place=True), bytes)
    assert encode(broken.rgb, "jpeg", exif=kept(broken.exif))


def test_the_same_bytes_each_time():
    photo = decode(photo_with_exif())
    first = encode(photo.rgb, "jpeg", exif=kept(photo.exif))
    srgb_profile.cache_clear()
    assert encode(photo.rgb, "jpeg", exif=kept(photo.exif)) == first


def test_names_keep_their_letters():
    """EXIF is ASCII by its standard, and UTF-8 in most files."""
    exif = Image.Exif()
    exif[BASE.Artist] = "Jörg Müller 画家".encode()
    buffer = io.BytesIO()
    make_picture(60, 40).save(buffer, "JPEG", exif=exif)
    painting = encode(make_picture(60, 40), "jpeg", exif=kept(decode(buffer.getvalue()).exif))
    assert "Jörg Müller 画家".encode() in painting
    assert (
        Image.open(io.BytesIO(painting)).getexif()[BASE.Artist].encode("latin-1").decode()
        == "Jörg Müller 画家"
    )


def test_one_broken_tag_does_not_take_the_others_with_it():
    exif = decode(photo_with_exif()).exif
    exif[BASE.Software] = object()
    exif.get_ifd(ExifTags.IFD.Exif)[BASE.ExposureTime] = "no number"
    painting = Image.open(io.BytesIO(encode(make_picture(60, 40), "jpeg", exif=kept(exif)))).getexif()
    assert painting[BASE.Make] == "Camera & Sons"
    assert BASE.Software not in painting
    assert float(painting.get_ifd(ExifTags.IFD.Exif)[BASE.FNumber]) == 2.8
