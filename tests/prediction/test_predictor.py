"""The style prediction network, untrained: that what it predicts is what is painted."""

import pytest
import torch
from safetensors.torch import save_file

from transformer_net.errors import ModelFileError
from transformer_net.network import TransformerNet
from transformer_net.norms import NORMS
from transformer_net.prediction.descriptor import DESCRIPTOR, describe
from transformer_net.prediction.predictor import StylePredictor, load_predictor, save_predictor


def predictor(norm, seed=0):
    """One whose every style is another."""
    torch.manual_seed(seed)
    made = StylePredictor(norm, width=4, hidden=8)
    for parameter in made.predictor[-1].parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made.eval()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_batch_of_styles_is_painted_as_by_the_network_of_each(norm, layout):
    made, descriptors = predictor(norm), torch.randn(3, DESCRIPTOR)
    photos = torch.rand(3, 3, 48, 40).contiguous(memory_format=layout)
    together = made(photos, descriptors)  # with gradient: the way of training
    with torch.no_grad():
        without_gradient = made(photos, descriptors)
        each = torch.cat([made.for_style(d)(p[None]) for d, p in zip(descriptors, photos, strict=True)])
    torch.testing.assert_close(together, each, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(without_gradient, each, rtol=1e-3, atol=1e-4)
    assert (each[0] - made.for_style(descriptors[1])(photos[:1])).abs().max() > 2e-3


@pytest.mark.parametrize("norm", NORMS)
def test_every_predicted_number_has_a_gradient(norm):
    made = predictor(norm).train()
    made(torch.rand(2, 3, 32, 32), torch.randn(2, DESCRIPTOR)).square().sum().backward()
    for name, parameter in made.named_parameters():
        assert parameter.grad is not None, name
    assert (made.predictor[-1].bias.grad != 0).float().mean() > 0.9  # ReLUs may be off


def test_an_untrained_predictor_paints_as_the_network_that_it_is_made_around():
    network = TransformerNet("iebn", 4).eval()
    made, photo = StylePredictor.around(network, hidden=8).eval(), torch.rand(1, 3, 32, 32)
    predicted = made.for_style(torch.randn(DESCRIPTOR))
    with torch.no_grad():
        torch.testing.assert_close(predicted(photo), network(photo))
        torch.testing.assert_close(made(photo), network(photo))
    assert predicted.state_dict().keys() == network.state_dict().keys()


def test_around_is_decided_by_the_seed_and_leaves_the_generator_alone():
    network = TransformerNet("in", 4)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again, other = (StylePredictor.around(network, 8, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.predictor[0].weight, again.predictor[0].weight)
    assert not torch.equal(first.predictor[0].weight, other.predictor[0].weight)


@pytest.mark.parametrize("norm", NORMS)
def test_a_file_holds_a_predictor(norm, tmp_path):
    made, path = predictor(norm), tmp_path / "predictor.safetensors"
    made.deviation.fill_(2.0)
    save_predictor(path, made, 0.05, {"iterations": 3})
    found, description = load_predictor(path)
    assert (found.norm, found.width, found.hidden) == (norm, 4, 8)
    assert (description["grain"], description["training"]) == (0.05, {"iterations": 3})
    for name, tensor in made.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], tensor, rtol=1e-3, atol=1e-4, msg=name)


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(1)}, path)
    for file in (path, tmp_path / "none.safetensors"):
        with pytest.raises(ModelFileError, match="not the file of a style predictor"):
            load_predictor(file)


def test_descriptors_are_finite_and_of_the_whole_picture(vgg):
    torch.manual_seed(0)
    pictures = torch.cat([torch.full((1, 3, 64, 64), 0.5), torch.rand(1, 3, 64, 64)])
    both = describe(vgg(pictures), pictures)
    assert both.shape == (2, DESCRIPTOR)
    assert torch.isfinite(both).all()
    torch.testing.assert_close(both[1:], describe(vgg(pictures[1:]), pictures[1:]), rtol=1e-3, atol=1e-3)
    mirrored = describe(vgg(pictures.flip(3)), pictures.flip(3))
    quantiles = slice(-63, -6)
    torch.testing.assert_close(mirrored[0], both[0], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(both[0, quantiles], torch.full((57,), 0.5))
