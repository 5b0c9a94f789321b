"""Two processes that share each batch take the steps of one."""

import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
import torch

from tests.conftest import make_picture
from transformer_net.errors import SettingError
from transformer_net.network import TransformerNet
from transformer_net.norms import NORMS, BatchNorm, InstanceEnhancementBatchNorm, synchronize
from transformer_net.training import trainer
from transformer_net.training.config import TrainConfig
from transformer_net.training.content import ContentBatches, ContentPhotos
from transformer_net.training.execution.distributed import ALONE, Ranks
from transformer_net.training.optimizer import MuonAdam
from transformer_net.training.run import Run
from transformer_net.training.run_folder import RunFolder
from transformer_net.training.trainer import Trainer, add_grain

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[3]


class Descent(MuonAdam):
    """Plain gradient descent in small steps: Muon and Adam make large ones of gradients that are rounding."""

    def step(self, lr):
        with torch.no_grad():
            for group in (g for one in self._optimizers.values() for g in one.param_groups):
                for parameter in group["params"]:
                    parameter -= lr * parameter.grad


@mock.patch.object(trainer, "MuonAdam", Descent)
def train(norm, photo_folder, folder, vgg, ranks=ALONE, resume=False, stop_at=99):
    """Two steps of warm-up and four of style, or as far as `stop_at`."""
    config = TrainConfig(
        "test", norm=norm, width=4, iterations=4, warmup_iterations=2, batch_size=4, size=32, warmup_size=32,
        style_size=64, precision="fp32", locality=0.3, lr=1e-5, upsampling="bilinear", shift=8,
        consistency=100.0, lattice=0.5,
    )  # fmt: skip
    taught = Trainer(config, make_picture(100, 80, seed=99), vgg, CPU, ranks=ranks)
    photos = ContentPhotos.from_folder(photo_folder)
    run = Run(
        taught, photos, RunFolder(folder), make_picture(48, 40), sample_every=5,
        should_stop=lambda: taught.iteration >= stop_at,
    )  # fmt: skip
    if resume:
        run.resume()
    elif ranks.first:
        run.folder.create()
    return run.run()


_WORKER = """
import sys
from pathlib import Path
import torch
from tests.training.execution.test_distributed import CPU, NORMS, train
from transformer_net.training.execution.distributed import process_group
from transformer_net.training.losses.vgg import Vgg16Features

torch.set_num_threads(1)
photos, out = map(Path, sys.argv[1:])
vgg = Vgg16Features()
with process_group(CPU) as ranks:
    for norm in NORMS:
        train(norm, photos, out / f"two-{norm}", vgg, ranks)
    train("iebn", photos, out / "changing", vgg, ranks, stop_at=3)
"""


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """Photos, and a folder with a run of two processes for each norm, and one that was stopped."""
    photos, out = tmp_path_factory.mktemp("photos"), tmp_path_factory.mktemp("runs")
    for i in range(12):
        make_picture(60 + 3 * i, 80 - 2 * i, seed=i).save(photos / f"{i}.png")
    script = out / "worker.py"
    script.write_text(_WORKER)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run(
        [*torchrun, script, photos, out],
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    return photos, out


def assert_same_network(norm, one, two):
    """What the steps changed in every parameter; up to rounding, of which a flipped ReLU makes more."""
    a, b = RunFolder(one).load_state().tensors, RunFolder(two).load_state().tensors
    with torch.random.fork_rng():
        torch.manual_seed(0)
        initial = TransformerNet(norm, 4)
    for name, begun in initial.named_parameters():
        left, right = a[f"network.{name}"] - begun, b[f"network.{name}"] - begun
        assert (left - right).norm() <= 0.05 * left.norm() + 2e-6 * (1 + begun.norm()), name
    first = "encoder.0.weight"
    assert (a[f"network.{first}"] - initial.state_dict()[first]).norm() > 1e-4  # there are steps to compare


def assert_same_losses(one, two):
    """Up to rounding."""
    for left, right in zip(RunFolder(one).records(), RunFolder(two).records(), strict=True):
        assert left.keys() == right.keys()
        for name in left.keys() - {"phase", "images_per_second", "seconds"}:
            assert left[name] == pytest.approx(
                right[name], rel=3e-3, abs=1e-3 if name == "lattice" else 1e-9
            ), name


@pytest.mark.slow
@pytest.mark.parametrize("norm", NORMS)
def test_two_ranks_equal_one(norm, two_processes, vgg, tmp_path):
    photos, out = two_processes
    assert train(norm, photos, tmp_path, vgg).finished
    assert_same_network(norm, tmp_path, out / f"two-{norm}")
    assert_same_losses(tmp_path, out / f"two-{norm}")


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_ranks(two_processes, vgg, tmp_path):
    photos, out = two_processes
    assert RunFolder(out / "changing").load_state().iteration == 3
    assert train("iebn", photos, out / "changing", vgg, resume=True).finished
    train("iebn", photos, tmp_path, vgg)
    assert_same_network("iebn", tmp_path, out / "changing")


class Twins:
    """Stands in for two ranks that see the same: their average is what each has."""

    count = 2

    def average(self, value):
        return value


@pytest.mark.parametrize("kind", [BatchNorm, InstanceEnhancementBatchNorm])
def test_statistics_over_ranks_are_batch_norm_s(kind):
    """Of twice the samples: same output, same gradient, same running variance."""
    torch.manual_seed(0)
    x = (3 + 2 * torch.randn(2, 5, 6, 7)).requires_grad_()
    plain, shared = kind(5), kind(5)
    synchronize(shared, Twins())
    direction = torch.randn(2, 5, 6, 7)
    expected, found = plain(torch.cat([x, x])), shared(x)
    torch.testing.assert_close(found, expected[:2])
    (wanted,) = torch.autograd.grad((expected * torch.cat([direction, direction])).sum() / 2, x)
    (got,) = torch.autograd.grad((found * direction).sum(), x)
    torch.testing.assert_close(got, wanted)
    torch.testing.assert_close(shared.running_mean, plain.running_mean)
    torch.testing.assert_close(shared.running_var, plain.running_var)
    torch.testing.assert_close(shared.eval()(x), plain.eval()(x))


def test_ranks_share_a_batch_and_its_grain(photo_folder):
    photos = ContentPhotos.from_folder(photo_folder)
    whole = ContentBatches(photos, 6, 0.3, 0).batch(3, 32)
    parts = [ContentBatches(photos, 6, 0.3, 0, Ranks(rank, 3)).batch(3, 32) for rank in range(3)]
    assert torch.equal(torch.cat(parts), whole)
    grainy = [add_grain(part, 0.1, seed=4, first=2 * rank) for rank, part in enumerate(parts)]
    torch.testing.assert_close(torch.cat(grainy), add_grain(whole, 0.1, seed=4))


def test_a_batch_that_cannot_be_shared():
    with pytest.raises(SettingError, match=r"batch of 5 cannot be shared evenly by 2.*multiple of 2"):
        Trainer(TrainConfig("test", batch_size=5), None, None, CPU, ranks=Ranks(0, 2))
