"""Muon on the convolutions, Adam on the rest."""

import pytest
import torch

from transformer_net.network import TransformerNet
from transformer_net.training.optimizer import MUON_LR, Muon, MuonAdam, orthogonal


def network():
    torch.manual_seed(0)
    return TransformerNet("bn+se", 4)


def set_gradients(net, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for parameter in net.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def test_convolutions_move_by_orthogonal_matrices():
    """All singular values of a step are near Muon's learning rate, however lopsided the gradient was."""
    net = network()
    optimizer, weight = MuonAdam(net), net.residual.block1.conv1.weight
    before = weight.detach().clone()
    set_gradients(net)
    weight.grad[0] *= 100
    optimizer.step(1e-3)
    singular = torch.linalg.svdvals((weight.detach() - before).flatten(1)) / (MUON_LR * 1e-3)
    assert singular.max() < 1.4
    assert singular.median() > 0.5


def test_vectors_and_colour_layers_move_as_adam_moves_them():
    net = network()
    optimizer = MuonAdam(net)
    moved = {"encoder.0.weight", "encoder.0.bias", "head.weight", "head.bias", "residual.block3.norm1.weight"}
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    set_gradients(net)
    optimizer.step(1e-3)
    after = dict(net.named_parameters())
    for name in moved:  # Adam's first step is lr · sign(gradient)
        expected = before[name] - 1e-3 * after[name].grad.sign()
        torch.testing.assert_close(after[name].detach(), expected, rtol=0, atol=1e-6)


def test_a_loaded_state_goes_on_alike():
    one, other = network(), network()
    first, second = MuonAdam(one), MuonAdam(other)
    set_gradients(one)
    first.step(1e-3)
    other.load_state_dict(one.state_dict())
    second.load_state_tensors({name: tensor.clone() for name, tensor in first.state_tensors().items()})
    for net, optimizer in ((one, first), (other, second)):
        set_gradients(net, seed=1)
        optimizer.step(1e-3)
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_foreign_state_is_refused():
    optimizer = MuonAdam(network())
    with pytest.raises(KeyError):
        optimizer.load_state_tensors({"sgd.0.momentum": torch.zeros(3)})


def test_gradients_are_forgotten():
    net = network()
    optimizer = MuonAdam(net)
    set_gradients(net)
    optimizer.zero_grad()
    assert all(p.grad is None for p in net.parameters())


@pytest.mark.parametrize("shape", [(5, 40), (40, 5), (16, 16)])
def test_orthogonal_keeps_the_directions_and_levels_the_lengths(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    in_its_own_axes = left.T @ orthogonal(matrix) @ right.T
    off_diagonal = in_its_own_axes - torch.diag(in_its_own_axes.diagonal())
    assert off_diagonal.abs().max() < 1e-4
    assert in_its_own_axes.diagonal().min() > 0.4
    assert in_its_own_axes.diagonal().max() < 1.4


def test_closures_are_refused():
    with pytest.raises(NotImplementedError):
        Muon(torch.nn.Conv2d(4, 4, 3).parameters()).step(lambda: 0.0)
