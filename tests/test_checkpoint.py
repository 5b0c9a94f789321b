"""Model files: what is written comes back, and nothing broken is accepted."""

import json
import os
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load, save

from transformer_net.checkpoint import FORMAT_VERSION, load_model, read_info, save_model, write_atomically
from transformer_net.errors import ModelFileError
from transformer_net.imaging.arrays import to_array
from transformer_net.network import TransformerNet
from transformer_net.norms import NORMS

DATA = Path(__file__).parent / "data"


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "iebn.safetensors"
    save_model(path, TransformerNet("iebn", 4), "mosaic", 0.05, {"seed": 3})
    return path


def rewrite(path, tensors=None, **changes):
    """Save `path` again with other tensors or another description; None drops an entry."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    description = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["stylizer"])
    description = {k: v for k, v in (description | changes).items() if v is not None}
    path.write_bytes(save(tensors or load(data), {"stylizer": json.dumps(description)}))


def assert_same(loaded, network):
    for name, tensor in network.state_dict().items():
        wanted = tensor.half().float() if tensor.ndim > 1 else tensor
        assert torch.equal(loaded.state_dict()[name], wanted), name


@pytest.mark.parametrize("norm", NORMS)
def test_round_trip(tmp_path, norm):
    torch.manual_seed(0)
    network = TransformerNet(norm, 4)
    network.train()(torch.rand(2, 3, 32, 32))  # moves the running statistics
    network.eval()
    path = tmp_path / "model.safetensors"
    save_model(path, network, "mosaic", 0.05, {"iterations": 7})
    loaded, info = load_model(path)
    assert (info.norm, info.width, info.style, info.grain) == (norm, 4, "mosaic", 0.05)
    assert info.training == {"iterations": 7}
    assert not loaded.training
    assert_same(loaded, network)


def test_a_file_of_format_1_paints_what_it_painted():
    """Made when every network enlarged by nearest neighbour, and no file said so."""
    photo, painting = (
        torch.from_numpy(to_array(Image.open(DATA / f"format-1-{name}.png")))
        for name in ("photo", "painting")
    )
    network, info = load_model(DATA / "format-1.safetensors")
    assert (info.upsampling, network.upsampling) == ("nearest", "nearest")
    with torch.no_grad():
        again = network(photo[None])[0].clamp(0, 1)
    assert (again - painting).abs().max() <= 0.51 / 255  # half a level is the rounding of the PNG


def test_options_come_back(tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(path, TransformerNet("iebn", 4, {"operator": "fc", "noise": [0.8, 0.2]}), "x")
    network, info = load_model(path)
    assert info.norm_options == {"operator": "fc", "noise": [0.8, 0.2]}
    assert network.encoder[1].squeeze.weight.shape == (4, 4)


def test_a_file_from_when_fc_was_one_full_layer_paints_what_it_painted(tmp_path):
    torch.manual_seed(0)
    network = TransformerNet("iebn", 4, {"operator": "full"}).eval()
    torch.nn.init.normal_(network.encoder[1].gate_weight)
    path = tmp_path / "model.safetensors"
    save_model(path, network, "x")
    rewrite(path, norm_options={"operator": "fc"})
    loaded, info = load_model(path)
    assert info.norm_options == {"operator": "full"}
    assert_same(loaded, network)


def test_convolutions_are_half_precision_and_the_rest_is_not(saved):
    tensors = load(saved.read_bytes())
    assert {t.dtype for t in tensors.values() if t.ndim == 4} == {torch.float16}
    assert torch.float16 not in {t.dtype for t in tensors.values() if t.ndim <= 1}


def test_read_info_agrees_with_load_model(saved):
    assert read_info(saved) == load_model(saved)[1]


def test_same_network_same_bytes(tmp_path, saved):
    network, info = load_model(saved)
    save_model(tmp_path / "again", network, info.style, info.grain, info.training)
    assert (tmp_path / "again").read_bytes() == saved.read_bytes()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_broken_network_is_not_saved(tmp_path, value):
    network = TransformerNet("bn", 4)
    with torch.no_grad():
        network.head.weight[0, 0, 0, 0] = value
    with pytest.raises(ModelFileError, match=r"head\.weight is not finite"):
        save_model(tmp_path / "model", network, "x")
    assert list(tmp_path.iterdir()) == []


def refused(path, match):
    for read in (load_model, read_info) if match.startswith("description:") else (load_model,):
        with pytest.raises(ModelFileError, match=match.removeprefix("description:")) as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_missing_file(tmp_path):
    refused(tmp_path / "none", "description:cannot be read: No such file")


def test_folder(tmp_path):
    refused(tmp_path, "description:cannot be read")


@pytest.mark.parametrize("data", [b"", b"short", b"\x80\x04pickle" * 9, b"\xff" * 64, b"{}" * 40])
def test_no_safetensors_file(tmp_path, data):
    path = tmp_path / "model"
    path.write_bytes(data)
    with pytest.raises(ModelFileError):
        load_model(path)
    with pytest.raises(ModelFileError):
        read_info(path)


def test_truncated(saved):
    saved.write_bytes(saved.read_bytes()[:-100])
    refused(saved, "damaged or not a safetensors")


def test_foreign_safetensors_file(tmp_path):
    path = tmp_path / "model"
    path.write_bytes(save({"a": torch.zeros(2)}))
    refused(path, "description:does not describe")


def test_unknown_version(saved):
    rewrite(saved, format=FORMAT_VERSION + 1)
    refused(saved, "description:format version 3")


@pytest.mark.parametrize("name", ["norm", "width", "norm_options", "style", "grain", "training"])
def test_incomplete_description(saved, name):
    rewrite(saved, **{name: None})
    refused(saved, f"description:lacks '{name}'")


@pytest.mark.parametrize(
    "changes",
    [{"norm": 3}, {"width": "16"}, {"width": True}, {"norm_options": []}, {"style": 1}, {"grain": "much"}],
)
def test_description_of_wrong_types(saved, changes):
    rewrite(saved, **changes)
    refused(saved, "description:has a wrong")


@pytest.mark.parametrize("width", [0, -1, 100_000])
def test_absurd_width(saved, width):
    rewrite(saved, width=width)
    refused(saved, "description:width")


@pytest.mark.parametrize("grain", [float("nan"), float("inf"), -0.1])
def test_absurd_grain(saved, grain):
    rewrite(saved, grain=grain)
    refused(saved, "description:has a grain")


@pytest.mark.parametrize("style", ["", "..", "a/b", "../../etc/x", "a\\b", "a\0b"])
def test_style_that_is_no_file_name(saved, style):
    rewrite(saved, style=style)
    refused(saved, "description:has an unusable style name")


@pytest.mark.parametrize(
    "changes",
    [
        {"norm": "layer"},
        {"norm_options": {"colour": 1}},
        {"norm_options": {"noise": "ab"}},
        {"norm_options": {"noise": [1]}},
        {"norm": "bn+se", "norm_options": {"reduction": 0}},
    ],
)
def test_description_of_no_network(saved, changes):
    rewrite(saved, **changes)
    refused(saved, "does not describe a valid network")


def test_missing_tensor(saved):
    tensors = load(saved.read_bytes())
    del tensors["head.bias"]
    rewrite(saved, tensors)
    refused(saved, r"lacks head\.bias")


def test_extra_tensor(saved):
    rewrite(saved, load(saved.read_bytes()) | {"encoder.1.momentum": torch.zeros(1)})
    refused(saved, r"unknown encoder\.1\.momentum")


def test_wrong_shape(saved):
    rewrite(saved, load(saved.read_bytes()) | {"head.bias": torch.zeros(4)})
    refused(saved, r"head\.bias has shape \(4,\) instead of \(3,\)")


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_not_finite(saved, value):
    rewrite(saved, load(saved.read_bytes()) | {"head.bias": torch.tensor([0.0, value, 0.0])})
    refused(saved, r"head\.bias is not finite")


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_have_the_mode_that_the_umask_leaves(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "file", b"new")
        write_atomically(tmp_path / "file", b"newer")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == mode
