"""POST /stylize, where it succeeds."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from app.http.api import FIELDS
from styles import catalog
from tests.app.conftest import assert_problem, file, opened, picture, post, serving
from tests.conftest import make_picture
from tests.inference.networks import random_network
from transformer_net.checkpoint import save_model
from transformer_net.imaging.decode import decode
from transformer_net.imaging.encode import encode
from transformer_net.inference.engines.quantization import calibrate, save_ranges
from transformer_net.inference.options.style_options import StyleOptions
from transformer_net.inference.stylizer import Stylizer
from transformer_net.prediction.style_picture import StylePicture

NORMS = ["bn", "in", "bn+se", "iebn"]


@pytest.mark.parametrize("norm", NORMS)
def test_one_norm_gives_its_painting_with_the_size_of_the_photo(client, norm):
    data = file(picture())
    response = post(client, data, norm=norm)
    painting = opened(response)
    assert painting.size == (40, 32)
    assert painting.format == "PNG"
    expected = Stylizer.from_style("mosaic", norm, engine="torch").paint(data)
    assert np.abs(np.asarray(painting, int) - np.asarray(expected, int)).max() <= 1


def test_a_phones_photo(client):
    heic = io.BytesIO()
    pillow_heif.from_pillow(picture()).save(heic)
    expected = Stylizer.from_style("mosaic", "iebn", engine="torch").paint(heic.getvalue())
    painting = opened(post(client, heic.getvalue()))
    assert painting.size == (40, 32)
    assert np.abs(np.asarray(painting, int) - np.asarray(expected, int)).max() <= 1


def test_headers_say_what_was_done(client):
    headers = post(client, file(picture()), norm="SE").headers
    assert headers["x-stylizer-style"] == "mosaic"
    assert headers["x-stylizer-norm"] == "bn+se"
    assert headers["x-stylizer-size"] == "40x32"
    assert 0 < float(headers["x-stylizer-seconds"]) < 30
    assert headers["x-stylizer-precision"] == "float32"
    assert headers["content-type"] == "image/png"
    assert headers["content-disposition"] == 'inline; filename="mosaic-bn-se.png"'
    assert headers["x-content-type-options"] == "nosniff"
    steps = [step.split(";dur=") for step in headers["server-timing"].split(", ")]
    assert [name for name, _ in steps] == ["decode", "queue", "paint", "encode"]
    assert all(float(milliseconds) >= 0 for _, milliseconds in steps)


@pytest.mark.parametrize("norm", ["iebn", "all"])
def test_same_request_same_bytes(client, norm):
    data = file(picture())
    for accept in ("image/png", "application/zip"):
        first, second = (post(client, data, {"accept": accept}, norm=norm) for _ in range(2))
        assert first.status_code == 200
        assert first.content == second.content


@pytest.mark.parametrize("name", ["png", "jpeg", "webp"])
def test_format_field(client, name):
    response = post(client, file(picture()), format=name)
    assert opened(response).format == name.upper()
    assert response.headers["content-type"] == f"image/{name}"


@pytest.mark.parametrize(
    ("accept", "format"),
    [
        ("*/*", "PNG"),
        ("image/*", "PNG"),
        ("image/webp", "WEBP"),
        ("image/avif,image/webp,*/*;q=0.8", "WEBP"),
        ("image/png;q=0.1, image/jpeg", "JPEG"),
        ("text/html,application/xhtml+xml,*/*;q=0.5", "PNG"),
    ],
)
def test_accept_chooses_the_format(client, accept, format):
    assert opened(post(client, file(picture()), {"accept": accept})).format == format


def test_the_format_field_beats_accept(client):
    assert opened(post(client, file(picture()), {"accept": "image/webp"}, format="jpeg")).format == "JPEG"


@pytest.mark.parametrize("norm", ["all", " ALL ", "bn,in,bn-se,iebn"])
def test_all_norms_give_a_labelled_sheet(client, norm):
    response = post(client, file(picture()), norm=norm)
    sheet = opened(response)
    assert sheet.width > 5 * 40
    assert response.headers["x-stylizer-norm"] == "bn,in,bn+se,iebn"
    assert response.headers["x-stylizer-size"] == "40x32"
    assert response.headers["content-disposition"] == 'inline; filename="mosaic.png"'


def test_the_sheet_shows_the_paintings_of_each_norm(client):
    data = file(picture(64, 64))
    sheet = np.asarray(opened(post(client, data, norm="in,iebn")))
    for norm in ("in", "iebn"):
        painting = np.asarray(opened(post(client, data, norm=norm)))
        windows = np.lib.stride_tricks.sliding_window_view(sheet, (64, 64, 3))[:, :, 0]
        corner = (windows[:, :, 0, :8] == painting[0, :8]).all((2, 3))
        assert any((windows[row, column] == painting).all() for row, column in np.argwhere(corner))


def test_a_repeated_norm_is_painted_once(client):
    response = post(client, file(picture()), norm="se,bn+se,BN-SE")
    assert response.headers["x-stylizer-norm"] == "bn+se"
    assert opened(response).size == (40, 32)


def test_zip_holds_every_painting_and_the_sheet(client):
    data = file(picture())
    response = post(client, data, {"accept": "application/zip"}, norm="all")
    assert response.headers["content-type"] == "application/zip"
    assert response.headers["content-disposition"] == 'attachment; filename="mosaic.zip"'
    archive = zipfile.ZipFile(io.BytesIO(response.content))
    assert archive.testzip() is None
    names = [f"mosaic-{slug}.png" for slug in ("bn", "in", "bn-se", "iebn")]
    assert archive.namelist() == [*names, "mosaic.png"]
    assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert archive.read("mosaic-iebn.png") == post(client, data).content
    assert archive.read("mosaic.png") == post(client, data, norm="all").content


def test_zip_of_one_norm_in_the_asked_format(client):
    response = post(client, file(picture()), {"accept": "application/zip"}, format="jpeg")
    archive = zipfile.ZipFile(io.BytesIO(response.content))
    assert archive.namelist() == ["mosaic-iebn.jpg"]
    assert Image.open(archive.open("mosaic-iebn.jpg")).format == "JPEG"


def test_max_side_shrinks_and_never_enlarges(client):
    data = file(picture(80, 64))
    assert opened(post(client, data, max_side="40")).size == (40, 32)
    assert opened(post(client, data, max_side="2560")).size == (80, 64)


def test_max_side_paints_what_the_stylizer_paints(client):
    image = picture(80, 64, "RGBA")
    painting = opened(post(client, file(image), max_side="40"))
    expected = Stylizer.from_style("mosaic", "iebn", engine="torch").paint(image, max_side=40)
    assert painting.mode == "RGBA"
    assert np.abs(np.asarray(painting, int) - np.asarray(expected, int)).max() <= 1


def test_a_strip_is_painted(client):
    assert opened(post(client, file(picture(16, 500)))).size == (16, 500)
    assert opened(post(client, file(picture(16, 500)), max_side="50")).size == (2, 50)


def test_cmyk(client):
    assert opened(post(client, file(picture(mode="CMYK"), "JPEG"))).mode == "RGB"


def test_sixteen_bit(client):
    deep = Image.fromarray(np.asarray(picture(mode="L")).astype(np.uint16) * 257)
    assert opened(post(client, file(deep))).size == (40, 32)


def test_an_animation_gives_its_first_frame(client):
    first = picture(mode="L")
    frames = [Image.new("L", first.size, 9), Image.new("L", first.size, 200)]
    data = file(first, "GIF", save_all=True, append_images=frames)
    assert post(client, data).content == post(client, file(first)).content


def test_alpha_is_kept(client):
    image = picture(mode="RGB")
    alpha = picture(mode="L")
    image.putalpha(alpha)
    painting = opened(post(client, file(image)))
    assert painting.mode == "RGBA"
    assert np.array_equal(np.asarray(painting.getchannel("A")), np.asarray(alpha))
    assert opened(post(client, file(image), format="jpeg")).mode == "RGB"


def test_exif_orientation_is_applied_and_no_metadata_kept(client):
    image = picture()
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise to see it upright
    exif[0x010F] = "a camera"
    turned = post(client, file(image, "PNG", exif=exif))
    upright = post(client, file(image.transpose(Image.Transpose.ROTATE_270)))
    assert opened(turned).size == (32, 40)
    assert turned.content == upright.content
    assert b"camera" not in turned.content


def test_the_file_name_and_the_declared_type_do_not_matter(client):
    data = file(picture(), "JPEG")
    form = {"style": "mosaic", "norm": "iebn"}
    for name, kind in [("photo.png", "image/png"), ("../../x.exe", "text/plain"), ("é\U0001f600", "")]:
        response = client.post("/stylize", files={"image": (name, data, kind)}, data=form)
        assert response.content == post(client, data).content


@pytest.mark.parametrize("name", ["png", "jpeg", "webp"])
def test_the_noisiest_picture_can_be_written(name):
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    assert Image.open(io.BytesIO(encode(Image.fromarray(noise), name))).size == (256, 256)


def test_names_in_any_case(client):
    data = file(picture())
    assert post(client, data, style=" Mosaic ", norm=" IEBN ").content == post(client, data).content


def test_api_and_library_write_the_same_bytes(client):
    service = client.app.state.service
    data = file(picture())
    painting = service.registry.model("mosaic", "in").stylizer.paint_photo(decode(data))
    assert post(client, data, norm="in").content == encode(painting)


def test_strength_and_colours_are_the_library_s(client):
    stylizer = client.app.state.service.registry.model("mosaic", "in").stylizer
    data = file(picture())
    response = post(client, data, norm="in", strength="0.4", keep_colour="true")
    assert response.content == encode(stylizer.paint(data, options=StyleOptions(0.4, keep_colour=True)))
    assert response.content != encode(stylizer.paint(data))
    untouched = Image.open(io.BytesIO(post(client, data, strength="0").content))
    assert untouched.tobytes() == picture().tobytes()
    large = post(client, data, norm="in", stroke_scale="1.5")
    assert large.content == encode(stylizer.paint(data, options=StyleOptions(stroke_scale=1.5)))


def test_all_fields_together(client):
    """The limit on the number of fields leaves room for every one that there is."""
    form = {
        "style": "wave,cubist",
        "norm": "in",
        "max_side": "64",
        "strength": "0.9",
        "keep_colour": "false",
        "match_palette": "true",
        "stroke_scale": "1.5",
        "format": "png",
        "precision": "fp32",
    }
    files = {"image": ("photo", file(picture())), "mask": ("mask", file(picture()))}
    assert form.keys() | files.keys() == FIELDS - {"style_picture"}
    assert opened(client.post("/stylize", files=files, data=form)).size == picture().size
    files["style_picture"] = files["mask"]
    both = client.post("/stylize", files=files, data=form)
    assert "not both" in str(assert_problem(both, 422, "invalid-request"))


def test_precision(tmp_path, monkeypatch):
    folder = tmp_path / "dots"
    folder.mkdir()
    picture(64, 64).save(folder / "style.png")
    for norm in ("bn", "in"):
        save_model(folder / f"{norm}.safetensors", random_network(norm), "dots")
    pixels = np.asarray(picture(), dtype=np.float32).transpose(2, 0, 1) / 255
    save_ranges(folder / "in.safetensors", calibrate(random_network("in"), [pixels]), {"photos": 1})
    monkeypatch.setattr(catalog, "ROOT", tmp_path)
    data = file(picture())
    with serving(engine="openvino") as client:
        full, eight = (
            post(client, data, style="dots", norm="in", precision=precision) for precision in ("fp32", "int8")
        )
        assert full.headers["x-stylizer-precision"] == "float32"
        assert eight.headers["x-stylizer-precision"] == "int8"
        expected = Stylizer.from_style("dots", "in", precision="int8", threads=1).paint(data)
        assert eight.content == encode(expected)
        assert eight.content != full.content
        again = post(client, data, style="dots", norm="in", precision="int8")
        assert again.content == eight.content
        refused = post(client, data, style="dots", norm="bn", precision="int8")
        assert "not prepared for int8" in assert_problem(refused, 422, "invalid-option")["detail"]


def post_picture(client, data, photo=None, **fields):
    """POST /stylize with a style picture."""
    files = {"image": ("photo", photo or file(picture())), "style_picture": ("style", data)}
    return client.post("/stylize", files=files, data={"norm": "in", **fields})


def test_any_picture_is_a_style(client, predictors):
    style = make_picture(120, 90)
    response = post_picture(client, file(style), norm="all")
    assert response.headers["x-stylizer-style"] == "picture"
    assert response.headers["x-stylizer-norm"] == "bn,in,bn+se,iebn"
    assert response.headers["content-disposition"] == 'inline; filename="picture.png"'
    one = opened(post_picture(client, file(style)))
    expected = Stylizer.from_picture(style, "in", engine="torch").paint(picture())
    assert np.abs(np.asarray(one, int) - np.asarray(expected, int)).max() <= 1
    other = opened(post_picture(client, file(make_picture(120, 90, seed=1))))
    assert np.abs(np.asarray(one, int) - np.asarray(other, int)).max() > 5


def test_a_style_picture_is_looked_at_once(predictors, monkeypatch):
    made = []
    original = StylePicture.model
    monkeypatch.setattr(StylePicture, "model", lambda self, norm: made.append(norm) or original(self, norm))
    with serving() as own:
        for seed in (0, 1, 0, 1, 0):
            opened(post_picture(own, file(make_picture(100, 100, seed=seed))))
        assert made == ["in", "in"]


def test_a_mask_is_for_two_styles(client, predictors):
    files = dict.fromkeys(("image", "style_picture", "mask"), ("file", file(make_picture(90, 90))))
    problem = assert_problem(client.post("/stylize", files=files, data={"norm": "in"}), 422, "invalid-option")
    assert "A mask is for two styles" in problem["detail"]


def test_the_photo_may_be_the_style(client, predictors):
    data = file(make_picture(100, 80))
    assert opened(post_picture(client, data, data)).size == (100, 80)


@pytest.mark.parametrize(
    ("style", "fields", "status", "kind", "words"),
    [
        (make_picture(60, 60), {}, 422, "image-size-out-of-range", "Style picture: A style picture needs 64"),
        (Image.new("RGBA", (90, 90)), {}, 422, "unusable-style-picture", "a single colour"),
        (make_picture(90, 90), {"style": "wave"}, 422, "invalid-request", "not both"),
        (b"no picture", {}, 415, "unsupported-image-format", "Style picture: "),
        (make_picture(90, 90), {"norm": "x"}, 422, "unknown-normalizer", "x"),
    ],
)
def test_style_pictures_that_are_refused(client, predictors, style, fields, status, kind, words):
    data = style if isinstance(style, bytes) else file(style)
    problem = assert_problem(post_picture(client, data, **fields), status, kind)
    assert words in str(problem)


def test_neither_a_style_nor_a_picture(client):
    response = client.post("/stylize", files={"image": ("photo", file(picture()))}, data={"norm": "in"})
    assert "a style or a style_picture" in str(assert_problem(response, 422, "invalid-request"))
