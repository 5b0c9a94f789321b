"""The transformation network."""

import pytest
import torch

from transformer_net.network import TransformerNet, parameter_count
from transformer_net.norms import NORMS


def network(norm, width=4, **options):
    torch.manual_seed(0)
    return TransformerNet(norm, width, options).eval()


@pytest.mark.parametrize("size", [(16, 16), (17, 16), (18, 31), (19, 20), (64, 21), (33, 97)])
@pytest.mark.parametrize("norm", NORMS)
def test_output_has_the_input_size(norm, size):
    photo = torch.rand(2, 3, *size)
    with torch.no_grad():
        painting = network(norm)(photo)
    assert painting.shape == photo.shape
    assert torch.isfinite(painting).all()


@pytest.mark.parametrize("norm", NORMS)
def test_half_precision_agrees_with_single(norm):
    net, photo = network(norm), torch.rand(1, 3, 20, 24)
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
    """A photo whose size is no multiple of 4 is painted as if it went on in its mirror image."""
    net, photo = network("bn"), torch.rand(1, 3, 30, 29)
    mirrored = torch.nn.functional.pad(photo, (0, 3, 0, 2), mode="reflect")
    with torch.no_grad():
        torch.testing.assert_close(net(photo), net(mirrored)[..., :30, :29])


def test_fresh_network_paints_a_plausible_grey():
    with torch.no_grad():
        painting = network("in", 16)(torch.rand(1, 3, 64, 64))
    assert 0.3 < painting.mean() < 0.6
    assert painting.std() < 0.2


def test_too_narrow():
    with pytest.raises(ValueError, match="width"):
        TransformerNet("in", 0)
