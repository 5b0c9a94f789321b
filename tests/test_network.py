"""The transformation network."""

import pytest
import torch
import torch.nn.functional as F

from styles.catalog import find_style
from tests.inference.networks import random_network
from transformer_net.checkpoint import load_model
from transformer_net.imaging.arrays import to_array
from transformer_net.imaging.decode import decode
from transformer_net.network import (
    HALO,
    MARGIN,
    STRIDE,
    UPSAMPLING,
    ReflectConv2d,
    TransformerNet,
    UpsampledConv2d,
    parameter_count,
    with_upsampling,
)
from transformer_net.norms import NORMS
from transformer_net.training.content import EXAMPLES


def network(norm, width=4, **options):
    torch.manual_seed(0)
    return TransformerNet(norm, width, options).eval()


@pytest.mark.parametrize("size", [(20, 20), (21, 20), (22, 31), (23, 24), (64, 25), (33, 97)])
@pytest.mark.parametrize("norm", NORMS)
def test_output_has_the_input_size(norm, size):
    photo = torch.rand(2, 3, *size)
    with torch.no_grad():
        painting = network(norm)(photo)
    assert painting.shape == photo.shape
    assert torch.isfinite(painting).all()


@pytest.mark.parametrize("norm", NORMS)
def test_half_precision_agrees_with_single(norm):
    net, photo = random_network(norm), torch.rand(1, 3, 20, 24)
    with torch.no_grad():
        single = net(photo)
        half = net.half()(photo.half())
    assert half.dtype == torch.float16
    torch.testing.assert_close(half.float(), single, rtol=0, atol=0.02)


def test_parameter_counts():
    """1,679,235 is the published size of this architecture with instance norm at width 32."""
    normalized_channels = 32 * (1 + 2 + 4 + 10 * 4 + 2 + 1)
    assert parameter_count(TransformerNet("in", 32)) == 1_679_235
    assert parameter_count(TransformerNet("bn", 32)) == 1_679_235
    assert parameter_count(TransformerNet("iebn", 32)) == 1_679_235 + 2 * normalized_channels


@pytest.mark.parametrize("norm", NORMS)
def test_evaluation_does_not_depend_on_the_rest_of_the_batch(norm):
    net, photos = network(norm), torch.rand(3, 3, 24, 20)
    with torch.no_grad():
        torch.testing.assert_close(net(photos)[1:2], net(photos[1:2]), rtol=0, atol=1e-5)


def test_options_reach_every_norm():
    net = network("iebn", operator="fc", noise=(0.8, 0.2))
    norms = [m for m in net.modules() if type(m) is NORMS["iebn"]]
    assert len(norms) == 15
    assert {(m.operator, m.noise) for m in norms} == {("fc", (0.8, 0.2))}


def test_padding_is_invisible_inside():
    """Beyond the reach of the layers a painting does not depend on where the photo ends."""
    net, photo = network("bn"), torch.rand(1, 3, 150, 131)
    with torch.no_grad():
        whole, cut = net(photo), net(photo[..., 12:, 8:])
    torch.testing.assert_close(whole[..., 80:88, 72:74], cut[..., 68:76, 64:66], rtol=0, atol=1e-5)


def test_the_edge_is_painted_as_if_the_photo_went_on():
    """Batch-normalized networks, left to themselves, paint a rim in a colour of its own."""
    net, _ = load_model(find_style("mosaic").model("bn"))
    photo = torch.from_numpy(to_array(decode(EXAMPLES / "cat.jpg").rgb.resize((240, 160))))[None]
    mirrored = F.pad(photo, (64, 64, 64, 64), mode="reflect")
    with torch.no_grad():
        difference = (net(photo).clamp(0, 1) - net(mirrored).clamp(0, 1)[..., 64:-64, 64:-64]).abs().mean(1)
    assert difference[..., 0, :].mean() < 0.15  # 0.3 without a margin
    assert difference[..., 40:-40, 60:-60].mean() < 0.01


def test_forward_is_padding_then_core_then_cropping():
    net, photo = network("in"), torch.rand(1, 3, 33, 42)
    padded = F.pad(photo, (MARGIN, MARGIN + 2, MARGIN, MARGIN + 3), mode="reflect")
    with torch.no_grad():
        assert torch.equal(net.core(padded)[..., MARGIN : MARGIN + 33, MARGIN : MARGIN + 42], net(photo))


def test_upsampled_convolution_is_a_convolution_of_the_enlarged_input():
    """PyTorch's own bilinear interpolation and convolution, away from the border, where padding differs."""
    torch.manual_seed(0)
    module, x = UpsampledConv2d(5, 7).double(), torch.randn(2, 5, 9, 11, dtype=torch.float64)
    expected = F.conv2d(F.interpolate(x, scale_factor=2, mode="bilinear"), module.weight, module.bias)
    with torch.no_grad():
        found = module(x)
    assert found.shape == (2, 7, 18, 22)
    inner = slice(2, -2)
    torch.testing.assert_close(found[..., 1:-1, 1:-1][..., inner, inner], expected[..., inner, inner])


@pytest.mark.parametrize("upsampling", UPSAMPLING)
def test_upsampling_goes_on_in_another_network_with_the_same_weights(upsampling):
    net = TransformerNet("iebn", 4, upsampling=upsampling)
    other = next(name for name in UPSAMPLING if name != upsampling)
    assert with_upsampling(net, upsampling) is net
    changed = with_upsampling(net, other)
    assert changed.upsampling == other
    assert all(torch.equal(changed.state_dict()[key], value) for key, value in net.state_dict().items())
    photo = torch.rand(1, 3, 32, 32)
    assert not torch.allclose(changed(photo), net(photo))


def test_unknown_upsampling_is_refused():
    with pytest.raises(ValueError, match="upsampling must be one of bilinear, nearest"):
        TransformerNet("bn", 4, upsampling="bicubic")


@pytest.mark.parametrize("axis", [2, 3])
def test_halo_is_what_a_stride_of_the_painting_depends_on(axis):
    """Gradients of four rows of the painting reach 59 rows back and 56 ahead: 60 in whole strides."""
    net, length, first = TransformerNet("bn", 1).double().eval(), 200, 80
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            # Positive everywhere, so that no path ends in a ReLU and no two cancel.
            parameter.fill_(0.1 if name.endswith("bias") else 1 / parameter[0].numel())
    shape = (1, 3, length, 12) if axis == 2 else (1, 3, 12, length)
    photo = torch.rand(shape, dtype=torch.float64).add(1).requires_grad_()
    stride = net.core(photo).narrow(axis, first, STRIDE)
    stride.sum().backward()
    touched = photo.grad.abs().sum([d for d in range(4) if d != axis]).nonzero().flatten()
    assert (first - int(touched[0]), int(touched[-1]) - (first + STRIDE - 1)) == (59, 56)
    assert HALO - STRIDE < 59 <= HALO
    assert HALO % STRIDE == 0


def test_fresh_network_paints_a_plausible_grey():
    with torch.no_grad():
        painting = network("in", 16)(torch.rand(1, 3, 64, 64))
    assert 0.3 < painting.mean() < 0.6
    assert painting.std() < 0.2


def test_too_narrow():
    with pytest.raises(ValueError, match="width"):
        TransformerNet("in", 0)


@pytest.mark.parametrize(("kernel", "stride"), [(9, 1), (3, 1), (3, 2)])
def test_reflecting_convolution_is_torchs(kernel, stride):
    ours = ReflectConv2d(3, 5, kernel, stride)
    theirs = torch.nn.Conv2d(3, 5, kernel, stride, kernel // 2, padding_mode="reflect")
    theirs.load_state_dict(ours.state_dict())
    x = torch.rand(2, 3, 13, 18)
    torch.testing.assert_close(ours(x), theirs(x))


def test_reflecting_convolution_pads_in_the_precision_of_its_input(monkeypatch):
    seen = []
    pad = F.pad
    monkeypatch.setattr(F, "pad", lambda x, *args, **kw: seen.append(pad(x, *args, **kw)) or seen[-1])
    with torch.autocast("cpu", torch.bfloat16):
        ReflectConv2d(3, 5, 3)(torch.rand(1, 3, 8, 8).bfloat16())
    assert [x.dtype for x in seen] == [torch.bfloat16]
