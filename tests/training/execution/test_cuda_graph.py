"""Steps recorded as CUDA graphs do what plain ones do; needs a GPU."""

import pytest
import torch

from tests.conftest import make_picture
from transformer_net.imaging.arrays import to_array
from transformer_net.norms import NORMS
from transformer_net.training.config import TrainConfig
from transformer_net.training.execution.cuda_graph import GraphedFunction
from transformer_net.training.trainer import Trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


def test_a_replay_computes_anew_and_keeps_what_it_gave():
    memory = torch.zeros(3, device="cuda")
    calls = []

    def function(x, scale):
        calls.append(1)
        memory.add_(1)
        return {"y": x * scale + memory}

    recorded = GraphedFunction(function, torch.device("cuda"))
    inputs = [torch.randn(3).pin_memory() for _ in range(8)]
    outputs = [recorded("a", x, float(i)) for i, x in enumerate(inputs)]
    for i, (x, output) in enumerate(zip(inputs, outputs, strict=True)):
        torch.testing.assert_close(output["y"].cpu(), x * i + i + 1)
    assert len(calls) == 4  # three plain ones and the recording
    recorded("b", inputs[0], 0.0)
    recorded("b", torch.zeros(2, 3), 0.0)
    assert len(calls) == 6


def test_what_cannot_be_recorded_is_computed_plainly(caplog):
    def waits(x):
        return {"y": torch.full((1,), x.sum().item())}

    recorded = GraphedFunction(waits, torch.device("cuda"))
    for i in range(6):
        assert recorded("a", torch.full((4,), float(i)))["y"].item() == 4 * i
    assert len(caplog.records) == 1


@pytest.mark.parametrize("norm", NORMS)
def test_recorded_training_is_plain_training(vgg, norm, monkeypatch):
    """Warm-up, small crops, large crops: the losses of each step, and the way that the weights went."""
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    config = TrainConfig(
        "test", norm, width=8, iterations=24, warmup_iterations=8, batch_size=2, size=64, early_size=48,
        warmup_size=48, style_size=96, precision="fp32", lr=1e-5, upsampling="bilinear", shift=8,
        consistency=100.0, lattice=0.5,
    )  # fmt: skip
    device = torch.device("cuda")
    trainers = [Trainer(config, make_picture(120, 100), vgg, device) for _ in range(2)]
    trainers[1]._graphed = None
    start = {name: p.detach().clone() for name, p in trainers[0].network.named_parameters()}
    for iteration in range(config.total_iterations):
        size = trainers[0].schedule.crop_size(iteration)
        photos = [make_picture(size, size, seed=2 * iteration + i) for i in range(2)]
        photo = torch.stack([torch.from_numpy(to_array(p)) for p in photos])
        replayed, plain = (trainer.step(trainer.prepare(photo, iteration)) for trainer in trainers)
        assert replayed.keys() == plain.keys()
        for name in plain:
            assert replayed[name].item() == pytest.approx(plain[name].item(), rel=0.02), (iteration, name)
    assert trainers[0]._graphed._graph is not None
    ends = [dict(trainer.network.named_parameters()) for trainer in trainers]
    for name, before in start.items():
        if before.ndim == 4:  # the bias before a norm has no gradient but rounding, which Adam follows
            moves = [(end[name].detach() - before).flatten() for end in ends]
            assert torch.cosine_similarity(*moves, dim=0) > 0.95, name
