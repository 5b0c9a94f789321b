"""The measure of scale: 1 is instance norm, 0 is batch norm, whatever the weights."""

import pytest
import torch

from experiments.harness.runner import Inputs
from experiments.inside import GATED, inspect, layer, trial
from transformer_net.norms import BatchNorm, make_norm
from transformer_net.training.content import EXAMPLES

PHOTOS, CHANNELS = 12, 8


def random_norm(name):
    torch.manual_seed(0)
    norm = make_norm(name, CHANNELS).eval()
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.normal_()
        for name, buffer in norm.named_buffers():
            if name.startswith("running"):
                buffer.uniform_(0.5, 2)
    return norm


def photos_moments():
    generator = torch.Generator().manual_seed(1)
    mean = torch.randn(PHOTOS, CHANNELS, generator=generator)
    return mean, torch.rand(PHOTOS, CHANNELS, generator=generator) + 0.1


@pytest.mark.parametrize(("name", "share"), [("in", 1), ("bn", 0)])
def test_the_ends_of_the_measure(name, share):
    found = layer(random_norm(name), *photos_moments())
    assert found["pooled"] == pytest.approx(share, abs=1e-6)
    assert found["recovered"] == pytest.approx([share] * 3, abs=1e-6)
    assert found["correlation"] == pytest.approx([1.0] * 3 if name == "in" else [])


def test_a_gate_that_follows_the_photo_recovers_its_scale():
    """δ = exp(−½ log σ²) wherever the mean tells the deviation: a gate can be as good as instance norm."""
    norm = random_norm("iebn")
    mean, variance = photos_moments()
    variance = (-2 * mean).exp()  # so that σ = exp(−mean)
    with torch.no_grad():
        norm.gate_weight.fill_(1)
        norm.gate_bias.fill_(-12)  # far down its tail, a sigmoid is an exponential
    found = layer(norm, mean, variance)
    assert found["pooled"] == pytest.approx(1, abs=1e-2)
    assert found["correlation"] == pytest.approx([1.0] * 3, abs=1e-3)
    with torch.no_grad():
        norm.gate_weight.fill_(-1)  # against the photo
    assert layer(norm, mean, variance)["pooled"] == pytest.approx(-3, abs=0.1)


@pytest.mark.parametrize("name", GATED)
def test_gates_are_read_off_the_scales(name):
    norm = random_norm(name)
    mean, variance = photos_moments()
    x = mean[..., None, None] + variance[..., None, None].sqrt() * torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    with torch.inference_mode():
        seen = x if name == "iebn" else BatchNorm.forward(norm, x)
        gate = norm.gate(seen)
    found = layer(norm, mean, variance)
    assert found["gate"][0] == pytest.approx(gate.double().quantile(0.05).item(), rel=1e-3)
    assert found["gate"][2] == pytest.approx(gate.double().quantile(0.5).item(), rel=1e-3)
    assert found["gate_by_photo"] == pytest.approx(gate.std(0).mean().item(), rel=1e-3)


@pytest.mark.slow
def test_only_batch_norms_paint_otherwise_in_a_batch(tmp_path):
    moved = {}
    for norm in ("in", "bn"):
        config = trial("wave", norm, quick=True).config
        gap = inspect(config, Inputs(tmp_path, str(EXAMPLES), "cpu", tmp_path))["gap"]
        moved[norm] = [gap[size]["moved"] for size in ("eval", "1", "2")]
    assert moved["in"] == [0, 0, 0]
    assert moved["bn"][0] == 0
    assert min(moved["bn"][1:]) > 0.01
