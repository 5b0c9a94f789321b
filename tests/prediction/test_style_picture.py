"""A picture as a style: what is looked at, what is refused, and the model that comes of it."""

import numpy as np
import pytest
import torch
from PIL import Image

from styles.blend import check_blend, load_blend
from tests.conftest import make_picture
from transformer_net.checkpoint import load_model, save_model
from transformer_net.errors import ImageSizeError, SettingError, StylePictureError, UnknownNormError
from transformer_net.inference.stylizer import Stylizer
from transformer_net.norms import NORMS
from transformer_net.prediction import style_picture
from transformer_net.prediction.style_picture import StylePicture, predicted_norms


def texture(width, height):
    """Marks of a few pixels, everywhere alike."""
    noise = np.random.default_rng(0).integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("norm", NORMS)
def test_the_model_is_an_ordinary_one(predictors, norm, tmp_path):
    picture = StylePicture(make_picture(200, 150), "mine")
    network, info = picture.model(norm)
    assert (info.norm, info.style, info.grain, info.upsampling) == (norm, "mine", 0.05, "bilinear")
    assert info.training["style_size"] == picture.size
    path = tmp_path / "mine.safetensors"
    save_model(path, network, info.style, info.grain, info.training)
    loaded, again = load_model(path)
    assert again == info
    photo = torch.rand(1, 3, 48, 48)
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], tensor, rtol=1e-3, atol=1e-4, msg=name)
    other, _ = StylePicture(make_picture(200, 150, seed=1), "other").model(norm)
    with torch.no_grad():
        assert (other(photo) - network(photo)).abs().max() > 2e-3
    check_blend({"mine": info, "wave": load_blend({"wave": 1.0}, norm)[1]})


def test_the_same_picture_gives_the_same_numbers(predictors):
    first, again = (StylePicture(make_picture(300, 200), "a").descriptor for _ in range(2))
    assert torch.equal(first, again)


def test_a_large_picture_is_described_by_parts_of_it():
    picture = texture(640, 640)
    parts, whole = StylePicture(picture, "a", 640), StylePicture(picture.crop((0, 0, 400, 400)), "b", 400)
    assert (parts.size, whole.size) == (640, 400)
    coarse = StylePicture(picture, "c", 160)
    near, far = ((style.descriptor - whole.descriptor).abs().median() for style in (parts, coarse))
    assert near < 0.1
    assert far > 1


def test_no_picture_is_enlarged_and_little_is_kept():
    assert StylePicture(make_picture(100, 80), "a", 500).size == 80
    large = StylePicture(make_picture(4000, 2000), "a", 3000)
    assert (large.image.size, large.size) == ((1024, 512), 512)


@pytest.mark.parametrize("size", [(64, 64), (64, 3000), (70, 65)])
def test_small_pictures_and_strips(predictors, size):
    network, _ = StylePicture(make_picture(*size), "a").model("in")
    assert all(torch.isfinite(value).all() for value in network.state_dict().values())


@pytest.mark.parametrize(
    ("picture", "error", "sentence"),
    [
        (make_picture(63, 400), ImageSizeError, "needs 64 pixels on its shorter side; this one has 63"),
        (Image.new("RGB", (200, 200), (80, 90, 100)), StylePictureError, "a single colour"),
    ],
)
def test_what_can_be_no_style(picture, error, sentence):
    with pytest.raises(error, match=sentence):
        StylePicture(picture, "a")


def test_norms_without_a_predictor(predictors, monkeypatch, tmp_path):
    assert predicted_norms() == list(NORMS)
    picture = StylePicture(make_picture(100, 100), "a")
    with pytest.raises(UnknownNormError):
        picture.model("layer")
    (tmp_path / "in.safetensors").write_bytes((predictors / "in.safetensors").read_bytes())
    monkeypatch.setattr(style_picture, "PREDICTORS", tmp_path)
    assert predicted_norms() == ["in"]
    with pytest.raises(SettingError, match=r"no style predictor for bn; there is one for: in\."):
        picture.model("bn")


def test_a_stylizer_of_a_picture(predictors, tmp_path):
    make_picture(200, 150).save(tmp_path / "My Picture.png")
    stylizer = Stylizer.from_picture(tmp_path / "My Picture.png", "iebn", engine="torch")
    assert stylizer.info.style == "my picture"
    painting = stylizer.paint(make_picture(80, 60, seed=2))
    same = Stylizer.from_style(f"{tmp_path / 'My Picture.png'}", "iebn", engine="torch")
    assert np.array_equal(np.asarray(same.paint(make_picture(80, 60, seed=2))), np.asarray(painting))
    assert stylizer.fingerprint() == same.fingerprint()


def test_a_predicted_model_in_int8(predictors):
    picture, photo = StylePicture(make_picture(200, 150), "a"), make_picture(160, 120, seed=2)
    exact, fast = (
        np.asarray(Stylizer.from_picture(picture, "in", engine="openvino", precision=p).paint(photo), float)
        for p in ("fp32", "int8")
    )
    assert 0 < np.square(exact - fast).mean() < 255**2 * 10**-2.6
