"""The second task: its network, its data, and the foreign samples in its batches."""

import numpy as np
import pytest
import torch
from torch import nn

from experiments.harness.classification import (
    CLASSES,
    SETTING,
    Images,
    classify,
    is_finished,
    read,
    resnet,
    standardized,
    trial,
)
from experiments.harness.foreign_samples import add_foreign_samples, flat_samples, random_samples
from experiments.harness.runner import Inputs
from transformer_net.network import parameter_count
from transformer_net.norms import NORMS


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("preact", [False, True])
def test_resnet_classifies_with_every_norm(norm, preact):
    network = resnet(norm, 8, 4, preact, {})
    assert network(torch.rand(2, 3, 32, 32)).shape == (2, CLASSES)


def test_resnet_20_has_the_paper_s_size():
    """0.27 M with ten classes in He et al.; a hundred add 5,850."""
    assert parameter_count(resnet("bn", 20, 16, False, {})) == pytest.approx(275_572, abs=600)


def test_batches_are_a_function_of_seed_and_epoch():
    rng = np.random.default_rng(0)
    images = Images(rng.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8), np.arange(20))

    def epoch(seed, number):
        return list(images.batches(8, seed, number))

    first, again, other, later = epoch(0, 0), epoch(0, 0), epoch(1, 0), epoch(0, 1)
    assert len(first) == 2
    assert all(torch.equal(a[0], b[0]) for a, b in zip(first, again, strict=True))
    for different in (other, later):
        assert not torch.equal(first[0][0], different[0][0])


def test_crops_are_the_image_moved_and_mirrored():
    image = np.arange(32 * 32 * 3, dtype=np.int64).reshape(1, 32, 32, 3) % 251
    images = Images(image.astype(np.uint8), np.zeros(1, dtype=np.int64))
    padded = np.pad(images.x[0], ((4, 4), (4, 4), (0, 0)), mode="constant")
    moved = [padded[t : t + 32, x : x + 32] for t in range(9) for x in range(9)]
    known = torch.cat([standardized(np.stack([m, m[:, ::-1]])) for m in moved])
    for epoch in range(6):
        ((crop, _),) = images.batches(1, 0, epoch)
        assert (known == crop).all(dim=(1, 2, 3)).any()


def test_archives_are_read_and_digits_made_to_fit(tmp_path):
    arrays = {"train_x": np.zeros((5, 28, 28), np.uint8), "train_y": np.arange(5, dtype=np.uint8)}
    arrays |= {"test_x": np.full((2, 28, 28), 255, np.uint8), "test_y": np.zeros(2, np.uint8)}
    np.savez(tmp_path / "mnist_12k.npz", **arrays)
    train, test = read(tmp_path, "mnist")
    assert train.x.shape == (5, 32, 32, 3)
    assert train.y.tolist() == [0, 1, 2, 3, 4]
    assert test.x[0, 16, 16].tolist() == [255, 255, 255]
    assert test.x[0, 0, 0].tolist() == [0, 0, 0]


@pytest.mark.slow
def test_a_network_learns_and_the_same_seed_learns_the_same(tmp_path):
    config = {**trial("bn", quick=True).config, "epochs": 6}
    inputs = Inputs(tmp_path, None, "cpu", tmp_path)
    one, two = classify(config, inputs), classify(config, inputs)
    assert one == two
    assert one["accuracy"] > 60  # of three colours
    assert not one["diverged"]


@pytest.mark.slow
def test_a_network_that_cannot_learn_is_not_trained_on(tmp_path):
    """ReLU starts at relu(−1) = 0, and no convolution has a gradient."""
    config = trial("iebn", variant="relu", options={"activation": "relu"}, quick=True).config
    metrics = classify({**config, "epochs": 5}, Inputs(tmp_path, None, "cpu", tmp_path))
    assert metrics["dead"]
    assert len(metrics["curve"]) == 1
    assert is_finished(metrics)


@pytest.mark.slow
def test_the_learning_rate_falls_where_the_paper_has_it(tmp_path):
    config = {**trial("bn", quick=True).config, "epochs": 8, "drops": SETTING["drops"]}
    rates = [p["lr"] for p in classify(config, Inputs(tmp_path, None, "cpu", tmp_path))["curve"]]
    assert rates == pytest.approx([0.1] * 4 + [0.01] * 2 + [0.001] * 2)


def test_strangers_move_the_statistics_and_nothing_else():
    def trained_on(foreign_samples):
        torch.manual_seed(0)
        network = nn.Sequential(nn.BatchNorm2d(3))
        if foreign_samples:
            add_foreign_samples(
                network, foreign_samples, random_samples(torch.full((4, 3, 8, 8), 100.0), foreign_samples)
            )
        return network, network(torch.zeros(2, 3, 8, 8))

    (plain, _), (mixed, output) = trained_on(0), trained_on(2)
    assert output.shape == (2, 3, 8, 8)
    assert plain[0].running_mean.tolist() == pytest.approx([0, 0, 0])
    assert mixed[0].running_mean.tolist() == pytest.approx([5, 5, 5])  # momentum 0.1 of a mean of 50
    assert output.mean().item() == pytest.approx(-1, abs=1e-3)
    mixed.eval()
    assert mixed(torch.zeros(2, 3, 8, 8)).shape == (2, 3, 8, 8)


def test_flat_samples_are_flat_and_change_with_the_step():
    source, batch = flat_samples(3), torch.zeros(2, 3, 5, 7)
    first, second = source(0, batch), source(1, batch)
    assert first.shape == (3, 3, 5, 7)
    assert torch.equal(first, first[:, :, :1, :1].expand_as(first))
    assert not torch.equal(first, second)
    assert torch.equal(first, source(0, batch))
