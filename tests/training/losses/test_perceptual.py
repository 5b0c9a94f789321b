"""Losses against values computed by hand or by loops."""

import pytest
import torch

from transformer_net.training.losses.perceptual import (
    PaletteDistance,
    PerceptualLoss,
    gram_matrix,
    layout_distance,
    relative_gram_distance,
    total_variation,
)


def test_gram_by_hand():
    # Two channels, 1x3 pixels: rows (1, 2, 3) and (0, -1, 1).
    features = torch.tensor([[[[1.0, 2.0, 3.0]], [[0.0, -1.0, 1.0]]]])
    expected = torch.tensor([[[14.0, 1.0], [1.0, 2.0]]]) / 6
    torch.testing.assert_close(gram_matrix(features), expected)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gram_against_loops(layout):
    features = torch.rand(2, 3, 4, 5).contiguous(memory_format=layout)
    gram = gram_matrix(features)
    for b in range(2):
        for i in range(3):
            for j in range(3):
                expected = (features[b, i] * features[b, j]).sum() / (3 * 4 * 5)
                torch.testing.assert_close(gram[b, i, j], expected)


def test_gram_stays_in_single_precision_under_autocast():
    features = torch.rand(1, 8, 9, 9).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        gram = gram_matrix(features)
    assert gram.dtype == torch.float32
    torch.testing.assert_close(gram, gram_matrix(features.float()))


def test_gram_gradient():
    features = torch.rand(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(gram_matrix, features)


def test_gram_gradient_of_half_precision_features():
    features = torch.rand(2, 8, 9, 9).bfloat16().requires_grad_()
    wide = features.detach().float().requires_grad_()
    direction = torch.rand(2, 8, 8)
    (gram_matrix(features) * direction).sum().backward()
    (gram_matrix(wide) * direction).sum().backward()
    assert features.grad.dtype == torch.bfloat16
    torch.testing.assert_close(features.grad.float(), wide.grad, rtol=2e-2, atol=1e-4)


def test_relative_gram_distance():
    target = torch.tensor([[3.0, 0.0], [0.0, 4.0]])  # squared norm 25
    assert relative_gram_distance(target[None], target) == 0
    assert relative_gram_distance(torch.zeros(1, 2, 2), target) == 1
    batch = torch.stack([target, target + torch.tensor([[1.0, 2.0], [2.0, 4.0]])])
    torch.testing.assert_close(relative_gram_distance(batch, target), torch.tensor((0 + 25) / 2 / 25))


def test_locality_weighs_the_spread_of_the_batch():
    target = torch.tensor([[3.0, 0.0], [0.0, 4.0]])  # squared norm 25
    off = torch.tensor([[1.0, 2.0], [2.0, 4.0]])  # squared norm 25
    opposite = torch.stack([target + off, target - off])  # together the style, each by itself not
    for locality in (0.0, 0.3, 1.0):
        torch.testing.assert_close(relative_gram_distance(opposite, target, locality), torch.tensor(locality))
    alike = torch.stack([target + off, target + off])
    torch.testing.assert_close(relative_gram_distance(alike, target, 0.0), torch.tensor(1.0))


def test_full_locality_is_the_mean_over_the_batch():
    grams, target = torch.rand(3, 4, 4), torch.rand(4, 4)
    apart = [relative_gram_distance(gram[None], target, 0.0) for gram in grams]
    torch.testing.assert_close(relative_gram_distance(grams, target), sum(apart) / 3)


def test_total_variation_by_hand():
    image = torch.tensor([[[[0.0, 1.0, 3.0], [0.0, 1.0, 2.0]]]])
    # Horizontal differences 1, 2, 1, 1: mean square 7/4. Vertical 0, 0, -1: mean square 1/3.
    torch.testing.assert_close(total_variation(image), torch.tensor(7 / 4 + 1 / 3))


def test_palette_distance_ignores_places_and_sees_colours():
    style = torch.rand(1, 3, 61, 61, generator=torch.Generator().manual_seed(0))
    distance = PaletteDistance(style)
    assert distance(style) == 0
    assert distance(style.flip(2)) < 1e-9  # 61 rows: the same ones are looked at
    assert distance(style * 0.5) > 0.02
    shifted = (style + torch.tensor([0.1, 0.1, 0.1]).view(1, 3, 1, 1)).expand(2, -1, -1, -1)
    # Along a direction d, a shift by (t, t, t) moves every quantile by t·Σd.
    expected = (0.1 * distance.directions.sum(1)).square().mean()
    torch.testing.assert_close(distance(shifted), expected, rtol=1e-3, atol=1e-6)


def test_perceptual_loss_is_the_weighted_sum_of_its_terms(vgg):
    torch.manual_seed(0)
    style, photo, output = torch.rand(1, 3, 64, 64), torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    loss = PerceptualLoss(vgg, style, 2.0, 3.0, 5.0, 7.0, layer_weights=(1, 0, 0.5, 2))
    terms = loss(output, photo)
    found, wanted, target = vgg(output), vgg(photo), vgg(style)
    torch.testing.assert_close(terms.content, (found[1] - wanted[1]).square().mean())
    for layer in range(4):
        s = gram_matrix(target[layer])
        per_sample = [
            ((gram_matrix(found[layer][b : b + 1]) - s) ** 2).sum() / (s**2).sum() for b in range(2)
        ]
        torch.testing.assert_close(terms.style[layer], sum(per_sample) / 2)
    weighted = terms.style[0] + 0.5 * terms.style[2] + 2 * terms.style[3]
    total = 2 * terms.content + 3 * weighted + 5 * terms.palette + 7 * terms.tv
    torch.testing.assert_close(terms.total, total)


def test_losses_of_perfect_pictures(vgg):
    style = torch.rand(1, 3, 64, 64)
    loss = PerceptualLoss(vgg, style)
    values = loss(style, style).as_dict()
    assert values["content"] == 0
    assert all(values[name] < 1e-8 for name in values if name.startswith("style_"))


def test_gradient_reaches_the_output_only(vgg):
    output = torch.rand(1, 3, 32, 32, requires_grad=True)
    photo = torch.rand(1, 3, 32, 32, requires_grad=True)
    PerceptualLoss(vgg, torch.rand(1, 3, 32, 32), palette_weight=1, tv_weight=1)(
        output, photo
    ).total.backward()
    assert output.grad.abs().sum() > 0
    assert photo.grad is None


def test_layout_is_about_where_the_colours_are():
    photo = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    photo = photo.repeat_interleave(16, 2).repeat_interleave(16, 3)
    turn = torch.tensor([[0.8, 0.3, 0.0], [0.3, 0.5, 0.1], [0.0, 0.1, 0.2]])  # a transport is symmetrical
    recoloured = torch.einsum("ij,bjhw->bihw", turn, photo)
    covariance = torch.stack([torch.cov(image.flatten(1)) for image in recoloured])
    grey = recoloured.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    found = {
        name: layout_distance(painting, photo, covariance).item()
        for name, painting in {
            "same": recoloured,
            "paler": 0.5 + 0.3 * recoloured,
            "negative": -recoloured,
            "grey": grey,
            "elsewhere": recoloured.flip(3),
        }.items()
    }
    assert found["same"] == pytest.approx(0, abs=0.03)
    assert found["paler"] == pytest.approx(found["same"], abs=1e-3)
    assert found["negative"] == pytest.approx(2 - found["same"], abs=1e-3)
    assert 0.2 < found["grey"] < 0.8
    assert 0.6 < found["elsewhere"] < 1.4


def test_layout_distance_is_computed_in_fp32_under_autocast():
    """Eigenvalues have no bfloat16; predictors on a GPU train under autocast."""
    generator = torch.Generator().manual_seed(0)
    painting, photo = torch.rand(2, 2, 3, 64, 64, generator=generator)
    covariance = torch.eye(3).expand(2, 3, 3) * 0.05
    with torch.autocast("cpu", torch.bfloat16):
        lower = layout_distance(painting, photo, covariance.bfloat16())
    assert lower.dtype == torch.float32
    assert lower.item() == pytest.approx(layout_distance(painting, photo, covariance).item(), abs=1e-3)
