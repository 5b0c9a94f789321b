"""Exported models: other programs read them, paint the same with them, and find out what they are."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
import torch

from tests.inference.networks import random_network
from transformer_net.checkpoint import load_model, save_model
from transformer_net.errors import ExportError, ModelFileError, SettingError
from transformer_net.grain import grain
from transformer_net.inference import export
from transformer_net.inference.engines.onnx_graph import onnx_graph, pixel_graph
from transformer_net.inference.export import TOLERANCE, export_model
from transformer_net.inference.stylizer import Stylizer
from transformer_net.norms import NORMS

ROOT = Path(__file__).parents[2]
METADATA = {
    "stylizer_format": "2",
    "style": "dots",
    "norm_options": "{}",
    "width": "4",
    "grain": "0.05",
    "license": "CC0-1.0",
}


@pytest.fixture(params=NORMS)
def norm(request):
    return request.param


@pytest.fixture
def model(norm, tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(path, random_network(norm), "dots", grain=0.05)
    return path


def compare(model, paint):
    """Checks a loaded model at sizes that the export did not try."""
    network, _ = load_model(model)
    for height, width in ((31, 46), (90, 23)):
        photo = np.random.default_rng(1).random((1, 3, height, width), dtype=np.float32)
        with torch.no_grad():
            expected = network(torch.from_numpy(photo)).clamp(0, 1).numpy()
        assert expected.std((2, 3)).min() > 0.02
        assert np.abs(paint(photo) - expected).max() < TOLERANCE


def test_onnx(model, norm, tmp_path):
    target = tmp_path / "new" / "model.onnx"
    assert export_model(model, target, "ONNX", "CC0-1.0") < TOLERANCE / 10
    session = onnxruntime.InferenceSession(target)
    assert session.get_modelmeta().custom_metadata_map == {**METADATA, "norm": norm}
    (photo,), (painting,) = session.get_inputs(), session.get_outputs()
    assert (photo.name, photo.shape) == ("photo", [1, 3, "height", "width"])
    assert (painting.name, painting.shape) == ("painting", [1, 3, "height", "width"])
    compare(model, lambda photo: session.run(None, {"photo": photo})[0])
    proto = onnx.load(target)
    assert str(ROOT).encode() not in target.read_bytes()
    assert proto.opset_import[0].version == 20


def test_the_graph_for_browsers_gives_the_pixels_of_the_library(model, norm):
    """Grain, margin, rounding and weights in half precision; opacity passes through."""
    network, info = load_model(model)
    painter = Stylizer(network, info)
    session = onnxruntime.InferenceSession(pixel_graph(network, info.grain))
    for height, width in ((20, 21), (37, 54)):
        photo = np.random.default_rng(2).integers(0, 256, (height, width, 4), dtype=np.uint8)
        painting = session.run(None, {"photo": photo, "grain": grain(height, width)})[0]
        expected = np.asarray(painter.paint(photo[..., :3]))
        assert expected.std((0, 1)).min() > 5
        assert np.abs(painting[..., :3].astype(int) - expected).max() <= 2
        assert np.array_equal(painting[..., 3], photo[..., 3])


@pytest.mark.parametrize(
    ("norm", "options"),
    [
        ("iebn", {"operator": "fc", "acts_on": "both", "activation": "softmax", "noise": (0.5, 0.25)}),
        ("iebn", {"operator": "identity", "acts_on": "shift", "activation": "tanh"}),
        ("iebn", {"operator": "full", "activation": "relu"}),
        ("bn+se", {"reduction": 2, "noise": (0.5, 0.25)}),
    ],
    ids=str,
)
@pytest.mark.parametrize("upsampling", ["nearest", "bilinear"])
def test_onnx_has_the_options_of_the_normalizers(norm, options, upsampling):
    network = random_network(norm, upsampling=upsampling, **options)
    session = onnxruntime.InferenceSession(onnx_graph(network))
    photo = np.random.default_rng(3).random((1, 3, 23, 34), dtype=np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(photo)).numpy()
    assert np.abs(session.run(None, {"photo": photo})[0] - expected).max() < TOLERANCE / 10


def test_openvino(model, norm, tmp_path):
    target = tmp_path / "model.xml"
    assert export_model(model, target, "openvino", "CC0-1.0") < TOLERANCE / 10
    assert {path.name for path in tmp_path.iterdir()} == {"model.safetensors", "model.xml", "model.bin"}
    loaded = openvino.Core().read_model(target)
    metadata = {**METADATA, "norm": norm}
    assert {key: loaded.get_rt_info(["stylizer", key]).value for key in metadata} == metadata
    compiled = openvino.Core().compile_model(loaded, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert compiled.input(0).names == {"photo"}
    compare(model, lambda photo: compiled({"photo": photo})[0])


def test_torchscript(model, norm, tmp_path):
    target = tmp_path / "model.pt"
    assert export_model(model, target, "torchscript", "CC0-1.0") < TOLERANCE / 10
    extra = {"stylizer.json": ""}
    loaded = torch.jit.load(target, _extra_files=extra)
    assert json.loads(extra["stylizer.json"]) == {**METADATA, "norm": norm}
    with torch.inference_mode():
        compare(model, lambda photo: loaded(torch.from_numpy(photo)).numpy())


@pytest.mark.parametrize("norm", ["bn"], indirect=True)
def test_a_model_of_ones_own_claims_no_licence(model, tmp_path):
    export_model(model, tmp_path / "model.xml", "openvino")
    assert "license" not in (tmp_path / "model.xml").read_text()


@pytest.mark.parametrize("norm", ["bn"], indirect=True)
@pytest.mark.parametrize("wrong", ["values", "size", "nan"])
def test_an_export_that_paints_something_else_leaves_no_file(model, tmp_path, monkeypatch, wrong):
    original = export._torchscript

    def spoiled(module, metadata):
        contents, paint = original(module, metadata)
        spoil = {
            "values": lambda painting: painting + 2 * TOLERANCE,
            "size": lambda painting: painting[..., 1:],
            "nan": lambda painting: painting * np.float32("nan"),
        }[wrong]
        return contents, lambda photo: spoil(paint(photo))

    monkeypatch.setattr(export, "_torchscript", spoiled)
    with pytest.raises(ExportError, match="differs from PyTorch by"):
        export_model(model, tmp_path / "out" / "model.pt", "torchscript")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("norm", ["bn"], indirect=True)
def test_mistakes(model, tmp_path):
    with pytest.raises(SettingError, match="no format 'tflite'; choose one of onnx, openvino, torchscript"):
        export_model(model, tmp_path / "model.tflite", "tflite")
    with pytest.raises(SettingError, match=r"ends in \.xml"):
        export_model(model, tmp_path / "model.onnx", "openvino")
    with pytest.raises(ModelFileError):
        export_model(tmp_path / "none", tmp_path / "model.pt", "torchscript")
    with pytest.raises(SettingError, match="cannot be written"):
        export_model(model, model / "model.pt", "torchscript")


@pytest.mark.slow
def test_hub(tmp_path):
    """In a process of its own, outside the repository: PyTorch Hub finds our packages by itself."""
    program = (
        "import sys, torch; "
        "model = torch.hub.load(sys.argv[1], 'stylizer', source='local', style='mosaic', norm='iebn'); "
        "photo = torch.linspace(0, 1, 3 * 33 * 46).view(1, 3, 33, 46); "
        "torch.save((photo, model(photo.expand(2, -1, -1, -1)).detach()), 'pair.pt')"
    )
    arguments = [sys.executable, "-c", program, str(ROOT)]
    subprocess.run(arguments, cwd=tmp_path, env={"HOME": str(tmp_path)}, check=True, timeout=240)
    photo, paintings = torch.load(tmp_path / "pair.pt", weights_only=True)
    network, info = load_model(ROOT / "styles/mosaic/iebn.safetensors")
    with torch.no_grad():
        expected = network(photo + info.grain * torch.from_numpy(grain(33, 46))).clamp(0, 1)
    assert paintings.shape == (2, 3, 33, 46)
    torch.testing.assert_close(paintings, expected.expand(2, -1, -1, -1), atol=1e-4, rtol=0)
