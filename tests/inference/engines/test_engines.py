"""Engines: all paint the same; converted models are kept; what is missing is said in a sentence."""

import hashlib
import logging
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import make_picture
from tests.inference.networks import random_network
from transformer_net.checkpoint import ModelInfo, save_model
from transformer_net.errors import SettingError
from transformer_net.inference.engines import conversion_cache, factory, openvino_engine, working_memory
from transformer_net.inference.engines.conversion import fingerprint
from transformer_net.inference.engines.factory import make_engine
from transformer_net.inference.stylizer import Stylizer
from transformer_net.norms import NORMS

ROOT = Path(__file__).parents[3]
SIZES = [(20, 20), (21, 23), (64, 48), (30, 97), (121, 50)]
TOLERANCE = {"openvino": 5e-5, "onnxruntime": 5e-5}


def photo(height, width, seed=0):
    return np.random.default_rng(seed).random((3, height, width), dtype=np.float32)


def eager(network, pixels):
    with torch.no_grad():
        return network(torch.from_numpy(pixels)[None])[0].numpy()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache folder that is this test's alone, and empty."""
    folder = tmp_path / "cache"
    monkeypatch.setenv(conversion_cache.VARIABLE, str(folder))
    return folder


@pytest.fixture
def conversions(monkeypatch):
    """Counts how often a network is converted for OpenVINO."""
    count = []
    convert = openvino_engine.to_openvino

    def counting(network):
        count.append(network)
        return convert(network)

    monkeypatch.setattr(openvino_engine, "to_openvino", counting)
    return count


@pytest.fixture
def without(monkeypatch):
    """Makes a library look as if it were not installed."""
    factory._say_once.cache_clear()

    def hide(name):
        monkeypatch.setitem(sys.modules, name, None)

    return hide


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
        assert expected.std((1, 2)).min() > 0.02


@pytest.mark.parametrize(
    "options",
    [
        {"operator": "identity", "activation": "tanh"},
        {"operator": "fc", "acts_on": "both", "init": (0.5, 0.0)},
        {"activation": "softmax", "noise": (0.8, 0.1)},
        {"activation": "relu", "acts_on": "shift"},
    ],
    ids=str,
)
def test_openvino_takes_every_variant_of_iebn(options):
    network = random_network("iebn", **options)
    pixels = photo(41, 30)
    assert np.abs(make_engine(network, engine="openvino")(pixels) - eager(network, pixels)).max() < 5e-5


def test_the_torch_engine_is_the_network():
    network, pixels = random_network("iebn"), photo(33, 47)
    painting = make_engine(network, engine="torch")(pixels)
    with torch.inference_mode():
        batch = torch.from_numpy(pixels)[None].to(memory_format=torch.channels_last)
        assert np.array_equal(painting, network(batch)[0].numpy())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("norm", NORMS)
def test_half_precision_on_a_gpu(norm):
    network, pixels = random_network(norm), photo(64, 50)
    expected = eager(network, pixels)
    for precision, tolerance in {"fp32": 1e-3, "fp16": 2e-2}.items():
        painter = make_engine(network, "cuda", precision=precision)
        assert (painter.name, painter.precision) == ("torch", precision)
        assert np.abs(painter(pixels) - expected).max() < tolerance


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
            "The engine onnxruntime is not installed: pip install onnxruntime onnx onnxscript.",
        ),
        (
            "onnxruntime",
            "onnxscript",
            "Writing ONNX needs two more packages: pip install onnx onnxscript.",
        ),
    ],
)
def test_a_named_engine_that_is_missing(without, cache, engine, missing, sentence):
    without(missing)
    with pytest.raises(SettingError) as raised:
        make_engine(random_network("in"), engine=engine)
    assert str(raised.value) == sentence


def test_the_second_start_does_not_convert(cache, conversions):
    pixels = photo(40, 31)
    first = make_engine(random_network("iebn"))(pixels)
    second = make_engine(random_network("iebn"))(pixels)
    assert len(conversions) == 1
    assert first.tobytes() == second.tobytes()
    assert len(list(cache.iterdir())) == 1
    make_engine(random_network("iebn", seed=1))
    assert len(conversions) == 2


def test_networks_are_told_apart():
    others = [
        random_network("bn"),
        random_network("iebn"),
        random_network("iebn", seed=1),
        random_network("iebn", activation="tanh"),
        random_network("iebn", width=5),
    ]
    assert len({fingerprint(network) for network in others}) == len(others)
    network = random_network("bn")
    assert fingerprint(network) == fingerprint(random_network("bn"))
    network.head.bias.data += 1e-4
    assert fingerprint(network) != fingerprint(random_network("bn"))


@pytest.mark.parametrize("damage", [b"", b"short", "middle"])
def test_a_broken_entry_is_made_anew(cache, conversions, caplog, damage):
    pixels = photo(40, 31)
    painting = make_engine(random_network("bn+se"))(pixels)
    (entry,) = cache.iterdir()
    whole = entry.read_bytes()
    half = len(whole) // 2
    entry.write_bytes(damage if isinstance(damage, bytes) else whole[:half] + b"?!" + whole[half + 2 :])
    with caplog.at_level(logging.WARNING):
        again = make_engine(random_network("bn+se"))(pixels)
    assert len(conversions) == 2
    assert again.tobytes() == painting.tobytes()
    assert [record.getMessage() for record in caplog.records] == [
        f"The converted model {entry} is broken and is made anew."
    ]
    content = entry.read_bytes()
    assert hashlib.sha256(content[32:]).digest() == content[:32]


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv(conversion_cache.VARIABLE, str(tmp_path / "file" / "engines"))
    with caplog.at_level(logging.WARNING):
        for norm in ("bn", "in"):
            assert make_engine(random_network(norm))(photo(20, 20)).shape == (3, 20, 20)
    (record,) = caplog.records
    assert "cannot be kept in" in record.getMessage()
    assert record.getMessage().endswith("Not a directory.")


def test_where_converted_models_are_kept(monkeypatch, tmp_path):
    monkeypatch.delenv(conversion_cache.VARIABLE)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert conversion_cache.cache_folder() == tmp_path / ".cache" / "stylizer" / "engines"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert conversion_cache.cache_folder() == tmp_path / "xdg" / "stylizer" / "engines"


def test_the_entries_that_were_not_used_for_longest_go(cache, monkeypatch):
    monkeypatch.setattr(conversion_cache, "KEPT", 2)
    for time, name in ((2, "old"), (1, "older but used")):
        conversion_cache.cached(name, name.encode)
        os.utime(cache / f"{name}.engine", (time, time))
    assert conversion_cache.cached("older but used", lambda: b"made anew") == b"older but used"
    conversion_cache.cached("new", lambda: b"new")
    assert sorted(entry.stem for entry in cache.iterdir()) == ["new", "older but used"]


def test_threads_that_start_at_once(cache):
    network, pixels = random_network("bn"), photo(24, 24)
    barrier = threading.Barrier(4)

    def work(_):
        barrier.wait()
        return make_engine(network)(pixels).tobytes()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(work, range(4)))) == 1
    assert len(list(cache.iterdir())) == 1


def test_processes_that_start_at_once(cache, tmp_path):
    model = tmp_path / "model.safetensors"
    save_model(model, random_network("iebn"), "dots")
    program = (
        "import sys; from PIL import Image; from transformer_net.inference.stylizer import Stylizer; "
        "sys.stdout.buffer.write(Stylizer.from_file(sys.argv[1]).paint(Image.new('RGB', (40, 30))).tobytes())"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", program, model], cwd=ROOT, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    painted = {child.communicate(timeout=120)[0] for child in children}
    assert [child.returncode for child in children] == [0, 0]
    assert len(painted) == 1
    assert len(painted.pop()) == 40 * 30 * 3
    assert len(list(cache.iterdir())) == 1


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


def test_one_engine_keeps_the_memory_that_it_painted_in(cache, monkeypatch):
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
