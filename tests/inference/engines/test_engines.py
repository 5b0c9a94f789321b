"""Engines: all paint the same; what is missing is said in a sentence."""

import logging
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from tests.conftest import make_picture
from tests.inference.networks import random_network
from transformer_net.checkpoint import ModelInfo, network_sha256, save_model
from transformer_net.errors import SettingError
from transformer_net.inference import stylizer as stylizer_module
from transformer_net.inference.engines import factory, openvino_engine, torch_engine, working_memory
from transformer_net.inference.engines.factory import least_psnr, make_engine, painting_device
from transformer_net.inference.stylizer import Stylizer
from transformer_net.network import UPSAMPLING
from transformer_net.norms import NORMS

SIZES = [(20, 20), (21, 23), (64, 48), (30, 97), (121, 50)]
TOLERANCE = {"openvino": 5e-5, "onnxruntime": 5e-5}


def photo(height, width, seed=0):
    return np.random.default_rng(seed).random((3, height, width), dtype=np.float32)


def eager(network, pixels):
    with torch.no_grad():
        return network(torch.from_numpy(pixels)[None])[0].numpy()


@pytest.fixture
def without(monkeypatch):
    """Makes a library look as if it were not installed."""
    factory._say_once.cache_clear()

    def hide(name):
        monkeypatch.setitem(sys.modules, name, None)

    return hide


@pytest.mark.slow
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_engines_agree_with_pytorch(engine, norm):
    network = random_network(norm)
    painter = make_engine(network, engine=engine)
    assert (painter.name, painter.precision) == (engine, "fp32")
    for size in SIZES:
        pixels = photo(*size)
        painting = painter(pixels)
        expected = eager(network, pixels)
        assert (painting.shape, painting.dtype) == (expected.shape, np.float32)
        assert np.abs(painting - expected).max() < TOLERANCE[engine]
        assert expected.std((1, 2)).min() > 0.01


@pytest.mark.parametrize("upsampling", UPSAMPLING)
@pytest.mark.parametrize("norm", NORMS)
def test_the_graph_is_the_network(norm, upsampling):
    network = random_network(norm, upsampling=upsampling)
    pixels = photo(41, 30)
    assert np.abs(make_engine(network, engine="openvino")(pixels) - eager(network, pixels)).max() < 1e-5


def test_norms_with_options_are_painted_by_pytorch():
    network = random_network("iebn", operator="identity", activation="tanh")
    assert make_engine(network).name == "torch"
    with pytest.raises(SettingError, match="does not support options of the normalizers"):
        make_engine(network, engine="openvino")


def test_the_torch_engine_is_the_network():
    network, pixels = random_network("iebn"), photo(33, 47)
    painting = make_engine(network, engine="torch")(pixels)
    with torch.inference_mode():
        batch = torch.from_numpy(pixels)[None].to(memory_format=torch.channels_last)
        assert np.array_equal(painting, network(batch)[0].numpy())


@pytest.mark.parametrize("norm", NORMS)
def test_half_precision(norm, monkeypatch):
    """Computed by a CPU, which is slow, as a GPU computes it."""
    monkeypatch.setattr(torch_engine, "HALF", ("cpu",))
    network, pixels = random_network(norm), photo(64, 50)
    half, full = (make_engine(network, engine="torch", precision=precision) for precision in ("fp16", "fp32"))
    assert (half.name, half.precision, half(pixels).dtype) == ("torch", "fp16", np.float32)
    assert 40 < least_psnr(half, full, [pixels]) < 90


def test_a_model_that_loses_too_much_in_half_precision_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(torch_engine, "HALF", ("cpu",))
    monkeypatch.setattr(
        stylizer_module, "example_photos", lambda grain: torch.from_numpy(photo(32, 32))[None]
    )
    save_model(tmp_path / "m.safetensors", random_network("in"), "dots")
    assert Stylizer.from_file(tmp_path / "m.safetensors", "cpu", "torch", "fp16").engine.precision == "fp16"
    monkeypatch.setattr(stylizer_module, "LEAST_HALF", 99.0)
    with pytest.raises(SettingError, match=r"in fp16 have \d\d\.\d dB against those in fp32, less than 99;"):
        Stylizer.from_file(tmp_path / "m.safetensors", "cpu", "torch", "fp16")


def test_photos_painted_together_are_as_painted_alone():
    photos = [photo(33, 47, seed=seed) for seed in range(3)]
    for norm in NORMS:
        painter = make_engine(random_network(norm), engine="torch")
        for pixels, painting in zip(photos, painter.paint_batch(photos), strict=True):
            assert np.abs(painting - painter(pixels)).max() < 1 / 255


@pytest.mark.parametrize(
    ("device", "engine", "precision", "where"),
    [
        ("auto", "auto", "fp32", "mps"),
        ("auto", "torch", "fp16", "mps"),
        ("auto", "auto", " INT8", "cpu"),
        ("auto", "OpenVINO", "fp32", "cpu"),
        ("mps", "auto", "int8", "mps"),
        ("openvino:GPU", "auto", "fp32", "openvino:GPU"),
    ],
)
def test_where_a_painting_is_computed(monkeypatch, device, engine, precision, where):
    monkeypatch.setattr(factory, "pick_device", lambda name: {"auto": "mps"}.get(name, name))
    assert painting_device(device, engine, precision) == where


def test_a_gpu_by_openvinos_plugin(monkeypatch):
    """With a CPU in the place of the GPU; what is asked of the plugin is what is seen here."""
    core, asked = openvino_engine._openvino_core(), []

    class WithGpu:
        available_devices = ("CPU", "GPU.0", "GPU.1")

        def compile_model(self, model, plugin, hints):
            asked.append((plugin, hints["INFERENCE_PRECISION_HINT"], "INFERENCE_NUM_THREADS" in hints))
            return core.compile_model(model, "CPU", hints | {"INFERENCE_PRECISION_HINT": "f32"})

    monkeypatch.setattr(openvino_engine, "_openvino_core", WithGpu)
    network, pixels = random_network("iebn"), photo(41, 30)
    for precision in ("fp32", "fp16"):
        painter = make_engine(network, "openvino:GPU", precision=precision)
        assert np.abs(painter(pixels) - eager(network, pixels)).max() < 1e-5
    assert asked == [("GPU", "f32", False), ("GPU", "f16", False)]
    with pytest.raises(SettingError, match="in fp32, fp16 or int8, not in bf16"):
        make_engine(network, "openvino:GPU", precision="bf16")
    assert Stylizer(network, ModelInfo("iebn", 4), "openvino:GPU").device.type == "cpu"


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["torch", "openvino", "onnxruntime"])
def test_the_same_photo_gives_the_same_painting_from_any_thread(engine):
    painter = make_engine(random_network("iebn"), engine=engine)
    photos = [photo(*size, seed=i) for i, size in enumerate(SIZES)]
    expected = [painter(pixels).tobytes() for pixels in photos]
    with ThreadPoolExecutor(4) as pool:
        painted = list(pool.map(lambda pixels: painter(pixels).tobytes(), photos * 4))
    assert painted == expected * 4


def test_auto_is_openvino_on_a_cpu():
    network = random_network("in")
    assert make_engine(network).name == "openvino"
    assert make_engine(network, engine=" OpenVINO ").name == "openvino"


def test_auto_without_openvino_paints_with_pytorch_and_says_so_once(without, caplog):
    without("openvino")
    with caplog.at_level(logging.WARNING):
        painters = [make_engine(random_network(norm)) for norm in ("bn", "in")]
    assert {painter.name for painter in painters} == {"torch"}
    assert [record.getMessage() for record in caplog.records] == [
        "Painting with PyTorch, which takes longer: The engine openvino is not installed: "
        "pip install openvino."
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            {"engine": "steam"},
            "There is no engine 'steam'; choose one of auto, torch, openvino, onnxruntime.",
        ),
        ({"precision": "int3"}, "There is no precision 'int3'; choose one of fp32, fp16, bf16, int8."),
        ({"precision": "fp16"}, "The engine openvino computes in fp32, bf16 or int8, not in fp16."),
        (
            {"precision": "int8"},
            "This model is not prepared for int8, or has changed since: run python -m "
            "styles.gallery.quantize first, for a file of your own with --model FILE.",
        ),
        (
            {"engine": "onnxruntime", "precision": "int8"},
            "The engine onnxruntime computes in fp32 only, not in int8.",
        ),
        (
            {"engine": "torch", "precision": "int8"},
            "The precision int8 needs the engine openvino, on a CPU.",
        ),
        (
            {"engine": "torch", "precision": "fp16"},
            "The precision fp16 needs a CUDA GPU, not the device cpu.",
        ),
        (
            {"device": "openvino:TPU"},
            "OpenVINO finds no TPU in this machine, or no driver of it, but: CPU.",
        ),
        (
            {"device": "openvino:GPU", "engine": "torch"},
            "The device openvino:GPU is for the engine openvino, not for torch.",
        ),
        (
            {"engine": "openvino", "device": "cuda"},
            "The engine openvino computes on the CPU only, not on cuda.",
        ),
    ],
    ids=str,
)
def test_what_an_engine_cannot_do(arguments, sentence):
    with pytest.raises(SettingError) as raised:
        make_engine(random_network("in"), **arguments)
    assert str(raised.value) == sentence


@pytest.mark.parametrize(
    ("engine", "missing", "sentence"),
    [
        ("openvino", "openvino", "The engine openvino is not installed: pip install openvino."),
        (
            "onnxruntime",
            "onnxruntime",
            "The engine onnxruntime is not installed: pip install onnxruntime onnx.",
        ),
        (
            "onnxruntime",
            "onnx",
            "Writing ONNX needs a package that is not installed: pip install onnx.",
        ),
    ],
)
def test_a_named_engine_that_is_missing(without, engine, missing, sentence):
    without(missing)
    with pytest.raises(SettingError) as raised:
        make_engine(random_network("in"), engine=engine)
    assert str(raised.value) == sentence


def test_networks_are_told_apart():
    others = [
        random_network("bn"),
        random_network("iebn"),
        random_network("iebn", seed=1),
        random_network("iebn", activation="tanh"),
        random_network("iebn", width=5),
        random_network("iebn", upsampling="nearest"),
    ]
    assert len({network_sha256(network) for network in others}) == len(others)
    network = random_network("bn")
    assert network_sha256(network) == network_sha256(random_network("bn"))
    network.head.bias.data += 1e-4
    assert network_sha256(network) != network_sha256(random_network("bn"))


@pytest.mark.parametrize("norm", NORMS)
def test_the_stylizer_paints_the_same_with_every_engine(norm, tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(path, random_network(norm), "dots", grain=0.05)
    picture = make_picture(57, 43)
    stylizers = {name: Stylizer.from_file(path, engine=name) for name in ("torch", "openvino", "auto")}
    assert [stylizer.engine.name for stylizer in stylizers.values()] == ["torch", "openvino", "openvino"]
    torch_, openvino, auto = (
        np.asarray(stylizer.paint(picture)).astype(int) for stylizer in stylizers.values()
    )
    assert np.array_equal(openvino, auto)
    assert np.abs(torch_ - openvino).max() <= 1
    assert (torch_ == openvino).mean() > 0.999


def test_a_stylizer_made_of_a_network_computes_with_it():
    stylizer = Stylizer(random_network("in"), ModelInfo("in", 4))
    assert stylizer.engine.name == "torch"


def test_one_engine_keeps_the_memory_that_it_painted_in(monkeypatch):
    """Others paint with what it gives back; large paintings keep nothing."""
    released = []

    class Model:
        def __init__(self, name, model):
            self.name, self.model = name, model

        def create_infer_request(self):
            return self.model.create_infer_request()

        def release_memory(self):
            released.append(self.name)
            self.model.release_memory()

    first, second = (make_engine(random_network(norm), engine="openvino") for norm in ("bn", "in"))
    first._model, second._model = Model("first", first._model), Model("second", second._model)
    small = photo(24, 32)

    once = first(small)
    assert np.array_equal(first(small), once)
    assert released == []
    second(small)
    assert released == ["first"]
    first(small)
    assert released == ["first", "second"]

    monkeypatch.setattr(working_memory, "LARGE", 24 * 32)
    assert np.array_equal(first(small), once)
    assert released == ["first", "second", "first"]
