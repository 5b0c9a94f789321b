"""Reflection padding with a gradient of its own, beside PyTorch's."""

import pytest
import torch
import torch.nn.functional as F

from transformer_net.spatial import _ReflectionPad, reflection_pad


@pytest.mark.parametrize("rim", [1, 4])
@pytest.mark.parametrize("sides", [(5, 9), (20, 17)])
def test_padding_and_gradient_are_those_of_pytorch(rim, sides):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, *sides, dtype=torch.float64, generator=generator)
    x = x.to(memory_format=torch.channels_last).requires_grad_()
    expected, found = F.pad(x, (rim,) * 4, mode="reflect"), _ReflectionPad.apply(x, rim)
    assert torch.equal(found, expected)
    assert found.is_contiguous(memory_format=torch.channels_last)
    above = torch.randn(expected.shape, dtype=torch.float64, generator=generator)
    wanted, gradient = (torch.autograd.grad(y, x, above)[0] for y in (expected, found))
    torch.testing.assert_close(gradient, wanted)


def test_padding_keeps_the_precision_under_autocast():
    x = torch.rand(1, 2, 8, 8, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        assert reflection_pad(x, 1).dtype == torch.bfloat16


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_padding_on_a_gpu(layout):
    x = torch.randn(2, 16, 24, 20, device="cuda").to(memory_format=layout).requires_grad_()
    expected, found = F.pad(x, (4,) * 4, mode="reflect"), reflection_pad(x, 4)
    assert torch.equal(found, expected)
    wanted, gradient = (torch.autograd.grad(y.square().sum(), x)[0] for y in (expected, found))
    torch.testing.assert_close(gradient, wanted)
