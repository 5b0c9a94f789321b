"""The losses against a second, plain writing of them: float32, one photo and one layer at a time.

The formulas are those of Johnson et al. 2016, section 3.2, with the changes that docs/training.md states:
relative Gram distances with locality, a palette term, a loss network that pads by reflection. Nothing here is
shared with the code it checks but the shipped weights, the palette's directions and the grain.
"""

import copy
import itertools

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tests.conftest import make_picture
from transformer_net.imaging.arrays import to_array
from transformer_net.norms import NORMS
from transformer_net.training.config import TrainConfig
from transformer_net.training.losses.vgg import TAPS, WEIGHTS
from transformer_net.training.trainer import Trainer, add_grain, perceptual_loss, scaled_style

CPU = torch.device("cpu")
CONFIG = {
    "width": 4, "warmup_iterations": 0, "batch_size": 3, "size": 48, "style_size": 72, "content_weight": 2.0,
    "style_weight": 5.0, "palette_weight": 70.0, "tv_weight": 9.0, "layer_weights": (1.0, 0.5, 2.0, 0.7),
    "locality": 0.3, "upsampling": "bilinear", "shift": 8, "consistency": 30.0,
}  # fmt: skip

# The convolutions of VGG-16 by torchvision's indices, and where its pooling lies between them.
PLAN = (
    0,
    2,
    "relu1_2",
    "pool",
    5,
    7,
    "relu2_2",
    "pool",
    10,
    12,
    14,
    "relu3_3",
    "pool",
    17,
    19,
    21,
    "relu4_3",
)


def plain_vgg(image):
    """The four activations by name, of an RGB picture (B, 3, H, W) in [0, 1]."""
    weights = {name: tensor.float() for name, tensor in load_file(WEIGHTS).items()}
    x = (image - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor(
        [0.229, 0.224, 0.225]
    ).view(3, 1, 1)
    found = {}
    for entry in PLAN:
        if entry == "pool":
            x = nn.MaxPool2d(2)(x)
        elif isinstance(entry, str):
            found[entry] = x
        else:
            weight = weights[f"features.{entry}.weight"]
            conv = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1, padding_mode="reflect")
            conv.load_state_dict({"weight": weight, "bias": weights[f"features.{entry}.bias"]})
            x = nn.ReLU()(conv.requires_grad_(False)(x))
    return found


def plain_gram(features):
    b, c, h, w = features.shape
    rows = features.reshape(b, c, h * w)
    return torch.bmm(rows, rows.transpose(1, 2)) / (c * h * w)


def plain_palette(image, style, directions):
    """Squared differences of 256 quantiles of every third pixel's colours, along each direction."""

    def quantiles(picture, direction):
        values = sum(direction[c] * picture[c, ::3, ::3] for c in range(3)).flatten().sort().values
        return torch.stack([values[int(k * (len(values) - 1) / 255 + 1e-6)] for k in range(256)])

    return sum(
        (quantiles(one, direction) - quantiles(style[0], direction)).square().mean()
        for one in image
        for direction in directions
    ) / (len(image) * len(directions))


def plain_losses(output, photo, style, directions, config):
    """Every term by the name it is logged under, and `total`."""
    found, wanted, target = plain_vgg(output), plain_vgg(photo), plain_vgg(style)
    terms = {"content": ((found["relu2_2"] - wanted["relu2_2"].detach()) ** 2).mean()}
    weighted = 0.0
    for weight, tap in zip(config.layer_weights, found, strict=True):
        grams, goal = plain_gram(found[tap]), plain_gram(target[tap])[0]
        mean = grams.sum(0) / len(grams)
        spread = sum(torch.linalg.norm(gram - mean) ** 2 for gram in grams) / len(grams)
        distance = torch.linalg.norm(mean - goal) ** 2 + config.locality * spread
        terms[f"style_{tap}"] = distance / torch.linalg.norm(goal) ** 2
        weighted = weighted + weight * terms[f"style_{tap}"]
    terms["palette"] = plain_palette(output, style, directions)
    terms["tv"] = torch.diff(output, dim=3).square().mean() + torch.diff(output, dim=2).square().mean()
    terms["total"] = (
        config.content_weight * terms["content"]
        + config.style_weight * weighted
        + config.palette_weight * terms["palette"]
        + config.tv_weight * terms["tv"]
    )
    return terms


@pytest.fixture(scope="module")
def pictures():
    """Style picture, photos, and paintings that are neither of the two."""
    style = make_picture(100, 80, seed=99)
    photo = torch.stack([torch.from_numpy(to_array(make_picture(48, 48, seed=i))) for i in range(3)])
    noise = torch.rand(photo.shape, generator=torch.Generator().manual_seed(0))
    return style, photo, 0.2 + 0.4 * photo.flip(1) + 0.3 * noise


def relative_error(found, expected):
    return ((found.float() - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize(
    ("bf16", "loss_error", "gradient_error"),
    [(False, 2e-5, 5e-5), (True, 0.01, 0.15)],
    ids=["float32", "bfloat16"],
)
def test_losses_and_gradients_are_the_plain_ones(vgg, pictures, bf16, loss_error, gradient_error):
    """Each loss within `loss_error` of itself; the painting's gradient within `gradient_error` of its norm.

    bfloat16 has eight bits of mantissa, and ten layers there and back flip a few ReLUs.
    """
    style, photo, painting = pictures
    config = TrainConfig("test", **CONFIG)
    loss = perceptual_loss(config, style, vgg, CPU)
    plain = painting.clone().requires_grad_()
    expected = plain_losses(
        plain, photo, scaled_style(style, config.style_size), loss.palette.directions, config
    )
    # Each term by itself: in the sum, a wrong small one would hide behind the others.
    names = list(expected)
    wanted = {name: torch.autograd.grad(expected[name], plain, retain_graph=True)[0] for name in names}
    output = painting.contiguous(memory_format=torch.channels_last).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        found = loss(output, photo)
    values = found.detached()
    assert values.keys() == expected.keys()
    errors = {name: abs(values[name].item() / expected[name].item() - 1) for name in names}
    terms = {
        "content": found.content, "palette": found.palette, "tv": found.tv, "total": found.total,
        **{f"style_{tap}": term for tap, term in zip(TAPS, found.style, strict=True)},
    }  # fmt: skip
    gradients = {
        name: relative_error(torch.autograd.grad(terms[name], output, retain_graph=True)[0], wanted[name])
        for name in names
    }
    assert max(errors.values()) < loss_error, errors
    assert max(gradients.values()) < gradient_error, gradients


def part_of(picture, rows, columns):
    """What lies in these rows and columns, which are neighbours."""
    return picture[..., rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


@pytest.mark.slow
@pytest.mark.parametrize("lattice", [0.0, 0.5])
@pytest.mark.parametrize("norm", NORMS)
def test_a_step_goes_along_the_gradient_of_the_plain_losses(vgg, pictures, norm, lattice):
    """From the photo through grain, network and losses to every weight, in float32."""
    style, photo, _ = pictures
    config = TrainConfig("test", norm=norm, precision="fp32", iterations=2, lattice=lattice, **CONFIG)
    trainer = Trainer(config, style, vgg, CPU)
    with torch.no_grad():
        for _ in range(30):  # running statistics that are worth being frozen
            trainer.network.train()(photo)
    trainer.iteration = 1  # with a lattice loss, batch norms keep their statistics in the second half
    network = copy.deepcopy(trainer.network).to(memory_format=torch.contiguous_format).train(not lattice)
    batch = trainer.prepare(photo, 0)
    losses = trainer.step(batch)
    directions = trainer.loss.palette.directions
    painting = network(add_grain(batch.photo, config.grain, seed=1))
    seen, wanted = (part_of(picture, batch.rows, batch.columns) for picture in (painting, batch.photo))
    expected = plain_losses(seen, wanted, scaled_style(style, 72), directions, config)
    second = network(batch.second)
    before = part_of(painting, batch.second_rows, batch.second_columns)
    expected["consistency"] = (second - before).square().mean()
    height, width = (side // 4 * 4 for side in painting.shape[-2:])
    phases = torch.pi / 2 * torch.arange(max(height, width))
    shared = []
    waves = [torch.ones_like, lambda t: torch.cos(2 * t), torch.cos, torch.sin]
    for down, right in list(itertools.product(waves, waves))[1:]:
        wave = down(phases[:height])[:, None] * right(phases[:width])
        strength = (painting[..., :height, :width] * wave).mean((2, 3)) * 4 * (wave.square().mean() ** -0.5)
        together = [a * b for a, b in itertools.permutations(strength, 2)]
        shared.append(torch.stack(together).mean(0) / (strength.detach().square().mean(0) + 1e-9))
    expected["lattice"] = torch.stack(shared).mean()
    for name in ("consistency", "lattice"):
        expected["total"] = expected["total"] + getattr(config, name) * expected[name]
    expected["total"].backward()
    for name, value in losses.items():
        rounding = {"rel": 1e-4, "abs": 2e-3 if name == "lattice" else 0.0}  # that is of means of thousands
        assert value.item() == pytest.approx(expected[name].item(), **rounding), name
    norm_of_all = torch.cat([p.grad.flatten() for p in network.parameters()]).norm().item()
    for (name, found), plain in zip(trainer.network.named_parameters(), network.parameters(), strict=True):
        # A few ReLUs that rounding flips, with other threads others, make more of a difference than all other
        # rounding together: 4 % of the first layer's gradient was seen.
        assert (found.grad - plain.grad).norm() < 0.1 * plain.grad.norm() + 1e-4 * norm_of_all, name


def test_no_layer_is_computed_that_no_loss_looks_at(vgg, pictures):
    """One pass of ten convolutions for the paintings, one of four for the photos, none for the style."""
    style, photo, painting = pictures
    loss = perceptual_loss(TrainConfig("test", **CONFIG), style, vgg, CPU)
    seen = []
    hooks = [
        layer.register_forward_hook(lambda layer, inputs, output: seen.append(output.requires_grad))
        for layer in vgg.features.values()
    ]
    loss(painting.clone().requires_grad_(), photo)
    for hook in hooks:
        hook.remove()
    assert (seen.count(True), seen.count(False)) == (10, 4)
