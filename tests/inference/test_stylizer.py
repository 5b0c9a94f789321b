"""A photo becomes a painting."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import make_picture
from transformer_net.checkpoint import ModelInfo, save_model
from transformer_net.errors import (
    ImageSizeError,
    ModelFileError,
    UnknownNormError,
    UnknownStyleError,
    UnreadableImageError,
)
from transformer_net.grain import grain
from transformer_net.inference.options.style_options import StyleOptions
from transformer_net.inference.stylizer import Stylizer
from transformer_net.network import TransformerNet
from transformer_net.norms import NORMS


def stylizer(norm="in", grain=0.05):
    torch.manual_seed(0)
    network = TransformerNet(norm, 4)
    with torch.no_grad():
        network.head.weight.mul_(20)  # enough contrast to clip on both sides
    return Stylizer(network, ModelInfo(norm, 4, grain=grain))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("size", [(64, 48), (63, 47), (16, 16), (17, 90)])
def test_painting_has_the_size_of_the_photo(norm, size):
    painting = stylizer(norm).paint(make_picture(*size))
    assert painting.size == size
    assert painting.mode == "RGB"


def test_bytes_array_path_and_picture_give_the_same_painting(tmp_path):
    picture, painter = make_picture(40, 30), stylizer()
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    (tmp_path / "photo.png").write_bytes(buffer.getvalue())
    sources = [picture, buffer.getvalue(), np.asarray(picture), tmp_path / "photo.png"]
    paintings = [painter.paint(source).tobytes() for source in sources]
    assert len(set(paintings)) == 1


def test_values_are_clamped_and_rounded():
    painter, picture = stylizer(), make_picture(32, 24)
    pixels = np.asarray(picture, dtype=np.float32).transpose(2, 0, 1) / 255 + 0.05 * grain(24, 32)
    with torch.no_grad():
        raw = painter.network(torch.from_numpy(pixels)[None])[0].numpy()
    assert raw.min() < -0.1
    assert raw.max() > 1.1
    expected = np.floor(np.clip(raw, 0, 1) * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0)
    painted = np.asarray(painter.paint(picture))
    assert np.abs(painted.astype(int) - expected).max() <= 1
    assert (painted == expected).mean() > 0.999


def test_grain_is_the_models_own():
    flat = Image.new("RGB", (48, 48), (255, 255, 255))
    inner = np.s_[16:32, 16:32]
    assert np.asarray(stylizer(grain=0.0).paint(flat))[inner].std((0, 1)).max() == 0
    assert np.asarray(stylizer(grain=0.05).paint(flat))[inner].std((0, 1)).max() > 1


def test_transparency_comes_back():
    picture = make_picture(40, 32).convert("RGBA")
    alpha = Image.linear_gradient("L").resize((40, 32))
    picture.putalpha(alpha)
    painting = stylizer().paint(picture)
    assert painting.mode == "RGBA"
    assert painting.getchannel("A").tobytes() == alpha.tobytes()


def test_max_side_shrinks_and_never_enlarges():
    painter = stylizer()
    assert painter.paint(make_picture(80, 40), max_side=40).size == (40, 20)
    assert painter.paint(make_picture(80, 40), max_side=400).size == (80, 40)


def test_a_strip_that_gets_thinner_than_the_network_takes():
    assert stylizer().paint(make_picture(400, 20), max_side=100).size == (100, 5)


def test_limits():
    with pytest.raises(ImageSizeError):
        stylizer().paint(make_picture(64, 15))
    with pytest.raises(UnreadableImageError):
        stylizer().paint(b"")


def test_from_file_and_from_style(tmp_path, monkeypatch):
    from styles import catalog

    folder = tmp_path / "dots"
    folder.mkdir()
    make_picture(64, 64).save(folder / "style.png")
    save_model(folder / "bn-se.safetensors", TransformerNet("bn+se", 4), "dots", 0.02)
    monkeypatch.setattr(catalog, "ROOT", tmp_path)
    by_name = Stylizer.from_style("dots", norm="SE")
    assert by_name.info == ModelInfo("bn+se", 4, style="dots", grain=0.02)
    picture = make_picture(32, 32)
    by_file = Stylizer.from_file(folder / "bn-se.safetensors")
    assert by_name.paint(picture).tobytes() == by_file.paint(picture).tobytes()
    with pytest.raises(UnknownStyleError, match=r"no model for in; it has: bn\+se"):
        Stylizer.from_style("dots", norm="in")
    with pytest.raises(UnknownStyleError, match="no style 'lines'; choose one of dots"):
        Stylizer.from_style("lines", norm="in")
    with pytest.raises(UnknownNormError):
        Stylizer.from_style("dots", norm="layer")
    with pytest.raises(ModelFileError):
        Stylizer.from_file(folder / "style.png")


def test_strength_goes_from_the_photo_to_the_painting():
    painter, photo = stylizer(), make_picture(50, 40)
    painting = painter.paint(photo)
    assert painter.paint(photo, options=StyleOptions(0)).tobytes() == photo.tobytes()
    assert painter.paint(photo, options=StyleOptions(1)).tobytes() == painting.tobytes()
    middle = (np.asarray(photo, dtype=float) + np.asarray(painting)) / 2
    assert np.abs(np.asarray(painter.paint(photo, options=StyleOptions(0.5))) - middle).max() <= 1


def test_looks_keep_size_and_transparency():
    photo = make_picture(90, 60).convert("RGBA")
    photo.putalpha(Image.linear_gradient("L").resize(photo.size))
    for options in (StyleOptions(0), StyleOptions(0.3), StyleOptions(keep_colour=True)):
        painting = stylizer().paint(photo, 45, options)
        assert (painting.mode, painting.size) == ("RGBA", (45, 30))
        assert painting.getchannel("A").getextrema()[0] < 10
