"""The benchmark of training steps at its smallest: whether it works and what it says, no speeds."""

import re
import sys

import pytest
import torch

from benchmarks import training
from benchmarks.training import Contender, bench, peer_step, race
from transformer_net import commandline
from transformer_net.training.losses.vgg import Vgg16Features


@pytest.fixture
def invoke(monkeypatch, capsys):
    """Runs the command in this process: exit code and output."""
    monkeypatch.setenv("COLUMNS", "200")

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["training.py", "--device", "cpu", *arguments])
        with pytest.raises(SystemExit) as stopped:
            commandline.run(bench)
        return stopped.value.code, "".join(capsys.readouterr())

    return command


@pytest.mark.slow
def test_a_race_of_tiny_steps(invoke, monkeypatch):
    monkeypatch.setattr(training, "ceiling", lambda: 1e12)  # the real one takes seconds
    tiny = ["--size", "32", "--batch-size", "1", "--widths", "4", "--rounds", "2"]
    code, said = invoke(*tiny, "--norms", "bn,SE", "--precisions", "fp32,bf16")
    assert code == 0, said
    assert "batch 1, 32 x 32 px, 2 rounds; ceiling 1000 GFLOP/s in float32" in said
    rows = [line for line in said.splitlines() if "%" in line]
    names = ["pytorch/examples", "bn 4 fp32", "bn 4 bf16", "bn+se 4 fp32", "bn+se 4 bf16"]
    assert [next(n for n in names if n in row) for row in rows] == names
    for row in rows:
        ratio, least, most, seconds, speed, work = map(float, re.findall(r"(?<= )\d+\.?\d*(?= )", row)[-6:])
        assert least <= ratio <= most
        assert min(seconds, speed, work) > 0
    assert "1.00" in rows[0]  # the peer beside itself


def test_precisions_that_do_not_exist(invoke):
    code, said = invoke("--quick", "--precisions", "fp8")
    assert (code, said.strip().splitlines()[-1]) == (
        2, "precisions must be of fp32, bf16 and auto, not 'fp8'.",
    )  # fmt: skip


def test_the_peer_learns():
    """It is a training loop, not only something that takes as long."""
    torch.manual_seed(0)
    photo, style = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32)
    step = peer_step(photo, style, Vgg16Features(padding="zeros"), torch.device("cpu"))
    losses = [step() for _ in range(6)]
    assert losses[-1] < losses[0]


def test_everybody_takes_the_same_number_of_steps(monkeypatch):
    monkeypatch.setattr(training, "ceiling", iter([2.0, 3.0, 1.0]).__next__)
    order = []
    runners = [Contender(name, lambda name=name: order.append(name)) for name in "ab"]
    assert race(runners, 3, 1, torch.device("cpu")) == 3.0
    assert order == [*"aabb", *"ab" * 3]  # its work counted, once to get warm, then in turns
    assert [len(runner.seconds) for runner in runners] == [3, 3]


@pytest.mark.slow
@pytest.mark.parametrize("start", [[], ["--scratch"]])
def test_the_time_to_quality(invoke, monkeypatch, start):
    monkeypatch.setattr(
        training, "recipes", lambda: {"mosaic": {"style_size": 64, "size": 32, "warmup_iterations": 1}}
    )
    code, said = invoke("--quality", "mosaic", "--norm", "in", "--iterations", "2", *start)
    assert code == 0, said
    goal, wanted = map(float, re.search(r"shipped model (\S+), wanted (\S+)", said).groups())
    assert wanted == pytest.approx(1.1 * goal, rel=0.01)
    missed, steps, loss = re.search(r"(not )?reached after (\d+) steps, \d+ s: style (\S+)", said).groups()
    assert int(steps) == (3 if start else 2)
    assert bool(missed) == (float(loss) > wanted)
