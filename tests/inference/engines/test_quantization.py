"""Eight bits: the ranges, the file they stand in, and paintings that are nearly those of fp32."""

import json

import numpy as np
import pytest
import torch

from styles.catalog import shipped
from styles.gallery import quantize as command
from styles.gallery.quantize import calibration_photos, prepare
from tests.conftest import make_picture
from tests.inference.engines.test_engines import eager, photo
from tests.inference.networks import random_network
from transformer_net.checkpoint import save_model
from transformer_net.devices import multiplies_bf16
from transformer_net.errors import SettingError
from transformer_net.inference.engines.factory import make_engine
from transformer_net.inference.engines.openvino_graph import openvino_graph
from transformer_net.inference.engines.quantization import (
    calibrate,
    load_ranges,
    quantize,
    ranges_file,
    save_ranges,
)
from transformer_net.inference.stylizer import Stylizer
from transformer_net.network import MIN_SIDE, ReflectConv2d
from transformer_net.norms import NORMS
from transformer_net.training.content import ContentPhotos


def smooth(height=64, width=80, seed=0):
    return np.asarray(make_picture(width, height, seed), dtype=np.float32).transpose(2, 0, 1) / 255


@pytest.fixture
def model(tmp_path):
    """A model's file, prepared for int8."""
    path = tmp_path / "model.safetensors"
    network = random_network("iebn")
    save_model(path, network, "dots", grain=0.05)
    save_ranges(path, calibrate(network, [smooth()]), {"photos": 1})
    return path


@pytest.mark.parametrize("norm", NORMS)
def test_int8_is_nearly_fp32(norm):
    network = random_network(norm, width=8)
    ranges = calibrate(network, [smooth(seed=seed) for seed in range(3)])
    painter = make_engine(network, precision="int8", ranges=ranges)
    assert (painter.name, painter.precision) == ("openvino", "int8")
    for pixels in (smooth(seed=7), smooth(57, 43, seed=8)):
        painting, expected = painter(pixels), eager(network, pixels)
        error = np.sqrt(np.square(painting - expected).mean()) / expected.std()
        assert 0 < error < 0.2  # random networks enlarge what little is rounded; trained ones less
        again = make_engine(network, precision="int8", ranges=ranges)(pixels)
        assert again.tobytes() == painting.tobytes()


@pytest.mark.parametrize("norm", NORMS)
def test_every_convolution_and_nothing_else_is_rounded(norm):
    network = random_network(norm)
    graph = openvino_graph(network)
    quantize(graph, calibrate(network, [smooth()]))
    kinds = [node.get_type_name() for node in graph.get_ordered_ops()]
    assert kinds.count("FakeQuantize") == 2 * kinds.count("Convolution") == 32


def test_ranges_are_means_of_the_photos_extremes_and_have_zero_among_their_numbers():
    network, photos = random_network("in"), [smooth(seed=seed) for seed in range(2)]
    ranges = calibrate(network, photos)
    assert ranges.keys() == {name for name, m in network.named_modules() if isinstance(m, ReflectConv2d)}
    taken = [(p - network.mean[0].numpy()) / network.std[0].numpy() for p in photos]
    low, high = ranges["encoder.0"]
    step = (high - low) / 255
    assert abs(low - np.mean([t.min() for t in taken])) <= step
    assert abs(high - np.mean([t.max() for t in taken])) <= step
    for low, high in ranges.values():
        assert low <= 0 < high
        assert low * 255 / (high - low) == pytest.approx(round(low * 255 / (high - low)), abs=1e-6)
    assert ranges["encoder.3"][0] == 0  # after a ReLU
    assert not network.encoder[0]._forward_pre_hooks


def test_channels_of_zeros_do_no_harm():
    network = random_network("in")
    with torch.no_grad():
        network.encoder[3].weight[2] = 0
        network.encoder[0].bias.zero_()
    painting = make_engine(network, precision="int8", ranges=calibrate(network, [smooth()]))(smooth())
    assert np.isfinite(painting).all()


def test_ranges_come_back_from_their_file(model):
    ranges = load_ranges(model)
    expected = calibrate(random_network("iebn"), [smooth()])
    assert ranges.keys() == expected.keys()
    for name, ends in ranges.items():
        # Weights are stored in half precision, so those of the file's network would differ a little.
        assert ends == pytest.approx(expected[name], rel=1e-5)


@pytest.mark.parametrize("damage", ["gone", "half", "nan", "list", "text", "other model"])
def test_ranges_that_are_broken_or_of_another_model_are_none(model, damage):
    path = ranges_file(model)
    entry = json.loads(path.read_text())
    if damage == "gone":
        path.unlink()
    elif damage == "half":
        path.write_bytes(path.read_bytes()[:200])
    elif damage == "other model":
        save_model(model, random_network("iebn", seed=1), "dots")
    else:
        entry["ranges"]["head"] = {"nan": [0, float("nan")], "list": [1], "text": ["a", "b"]}[damage]
        path.write_text(json.dumps(entry))
    assert load_ranges(model) is None
    with pytest.raises(SettingError, match=r"not prepared for int8.*python -m styles\.gallery\.quantize"):
        Stylizer.from_file(model, precision="int8")
    assert Stylizer.from_file(model).engine.precision == "fp32"


def test_a_stylizer_paints_in_int8(model):
    picture = make_picture(57, 43)
    eight, full = (Stylizer.from_file(model, precision=precision) for precision in ("int8", "fp32"))
    assert eight.engine.precision == "int8"
    a, b = (np.asarray(stylizer.paint(picture)).astype(int) for stylizer in (eight, full))
    assert a.shape == b.shape
    assert 0 < np.abs(a - b).mean() < 12


@pytest.mark.skipif(not multiplies_bf16(), reason="needs a processor with bfloat16")
@pytest.mark.parametrize("norm", NORMS)
def test_bf16_is_nearly_fp32(norm):
    network, pixels = random_network(norm), photo(40, 33)
    painting = make_engine(network, precision="BF16")(pixels)
    expected = eager(network, pixels)
    assert 0 < np.abs(painting - expected).mean() < 0.06 * expected.std()


def test_bf16_is_refused_where_it_would_be_slower(monkeypatch):
    monkeypatch.setattr("transformer_net.inference.engines.openvino_engine.multiplies_bf16", lambda: False)
    with pytest.raises(SettingError, match="This processor has no bfloat16 arithmetic"):
        make_engine(random_network("in"), precision="bf16")


def test_blends_are_not_painted_in_int8():
    with pytest.raises(SettingError, match="A blend of styles cannot be painted in int8"):
        Stylizer.from_style("wave,cubist", "iebn", precision="int8")


def test_quantize_prepares_what_is_not_prepared(model, photo_folder, capsys):
    ranges_file(model).unlink()
    command.quantize(content=str(photo_folder), model=[model])
    assert json.loads(ranges_file(model).read_text())["photos"] == 11  # one of the twelve is held out
    first, time = load_ranges(model), ranges_file(model).stat().st_mtime_ns
    command.quantize(content="no such folder", model=[model])  # is not even opened
    assert ranges_file(model).stat().st_mtime_ns == time
    assert "1 of 1 models: up to date" in capsys.readouterr().out
    save_model(model, random_network("iebn", seed=1), "dots", grain=0.05)
    command.quantize(content=str(photo_folder), model=[model])
    assert load_ranges(model) not in (None, first)


def test_calibration_photos_suit_the_network(tmp_path):
    for name, size in (("icon", (16, 17)), ("strip", (3000, 30)), ("kept-aside", (64, 64))):
        make_picture(*size).save(tmp_path / f"{name}.png")
    photos = ContentPhotos.from_folder(tmp_path)
    photos.training[:] = [tmp_path / "icon.png", tmp_path / "strip.png"]
    assert all(min(p.shape[1:]) >= MIN_SIDE for p in calibration_photos(photos, 2, 0.05))


def test_calibration_photos_are_spread_and_small(photo_folder):
    photos = ContentPhotos.from_folder(photo_folder)
    found = [pixels.shape for pixels in calibration_photos(photos, 3, 0.05)]
    expected = [photos.photo(i * len(photos.training) // 3).size[::-1] for i in range(3)]
    assert found == [(3, *size) for size in expected]
    assert len(list(calibration_photos(photos, 100, 0))) == len(photos.training)


def test_ranges_that_cannot_be_written(model, photo_folder, monkeypatch):
    def fail(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(command, "save_ranges", fail)
    with pytest.raises(SettingError, match=r"int8\.json cannot be written: Permission denied\."):
        prepare(model, ContentPhotos.from_folder(photo_folder), 1)


PREPARED = [(style.name, norm) for style in shipped() for norm in style.norms]


@pytest.mark.parametrize(("style", "norm"), PREPARED)
def test_shipped_ranges_fit_their_models(style, norm):
    """Else: python -m styles.gallery.quantize"""
    assert load_ranges(next(s for s in shipped() if s.name == style).model(norm)) is not None
