"""Each normalizer against a plain reference written from the formulas."""

import math

import pytest
import torch
from torch import nn

from transformer_net.errors import UnknownNormError
from transformer_net.norms import (
    NORM_TITLES,
    NORMS,
    BatchNorm,
    InstanceEnhancementBatchNorm,
    canonical_norm,
    make_norm,
    moments,
    norm_slug,
)
from transformer_net.spatial import spatial_mean

EPS = 1e-5


def random_input(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 + 0.7


def randomized(norm):
    """The norm in float64 with every parameter and running statistic away from its start value."""
    norm = norm.double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        for name, buffer in norm.named_buffers():
            if name == "running_mean":
                buffer.copy_(torch.randn(buffer.shape, generator=generator, dtype=torch.float64))
            if name == "running_var":
                buffer.copy_(torch.rand(buffer.shape, generator=generator, dtype=torch.float64) + 0.5)
    return norm


def standardized(x, training, norm):
    """x̂ by loops over channels."""
    x_hat = torch.empty_like(x)
    for c in range(x.shape[1]):
        values = x[:, c]
        mean = values.sum() / values.numel() if training else norm.running_mean[c]
        var = ((values - mean) ** 2).sum() / values.numel() if training else norm.running_var[c]
        x_hat[:, c] = (values - mean) / math.sqrt(float(var) + EPS)
    return x_hat


def reference(norm, x, training):
    gamma, beta = norm.weight, norm.bias
    if isinstance(norm, nn.InstanceNorm2d):
        y = torch.empty_like(x)
        for n in range(x.shape[0]):
            for c in range(x.shape[1]):
                plane = x[n, c]
                mean = plane.mean()
                var = ((plane - mean) ** 2).mean()
                y[n, c] = (plane - mean) / torch.sqrt(var + EPS) * gamma[c] + beta[c]
        return y
    x_hat = standardized(x, training, norm)
    y = torch.empty_like(x)
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            delta = 1.0
            if isinstance(norm, InstanceEnhancementBatchNorm):
                delta = 1 / (1 + torch.exp(-(norm.gate_weight[c] * x[n, c].mean() + norm.gate_bias[c])))
            y[n, c] = x_hat[n, c] * (gamma[c] * delta) + beta[c]
    if hasattr(norm, "squeeze"):
        for n in range(x.shape[0]):
            descriptor = torch.stack([y[n, c].mean() for c in range(x.shape[1])])
            hidden = (norm.squeeze.weight @ descriptor + norm.squeeze.bias).clamp(min=0)
            scale = 1 / (1 + torch.exp(-(norm.excite.weight @ hidden + norm.excite.bias)))
            y[n] = y[n].clone() * scale[:, None, None]
    return y


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", NORMS)
def test_matches_the_formula(name, training):
    norm = randomized(make_norm(name, 5)).train(training)
    x = random_input(3, 5, 6, 7)
    expected = reference(norm, x, training)
    torch.testing.assert_close(norm(x), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["bn", "bn+se", "iebn"])
def test_running_statistics_follow_the_batch(name):
    norm = make_norm(name, 4).double().train()
    x = random_input(3, 4, 5, 5)
    norm(x)
    values = x.transpose(0, 1).flatten(1)
    torch.testing.assert_close(norm.running_mean, 0.1 * values.mean(1))
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * values.var(1, unbiased=True))


@pytest.mark.parametrize("name", NORMS)
def test_gradients(name):
    norm = randomized(make_norm(name, 3)).train()
    x = random_input(2, 3, 4, 4).requires_grad_()
    assert torch.autograd.gradcheck(norm, (x,), eps=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"operator": "identity"},
        {"operator": "fc"},
        {"acts_on": "shift"},
        {"acts_on": "both"},
        {"activation": "tanh"},
        {"activation": "softmax"},
        {"noise": (0.8, 0.5)},
    ],
    ids=str,
)
def test_gradients_of_iebn_options(options):
    norm = randomized(make_norm("iebn", 3, **options)).train()
    x = random_input(2, 3, 4, 4).requires_grad_()
    assert torch.autograd.gradcheck(norm, (x,), eps=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_mean_that_gates_look_at_has_autograd_s_gradient(dtype, layout):
    """Bit for bit: it only takes less time, in the memory layout that the input has."""
    x, direction = torch.randn(2, 3, 5, 7), torch.randn(2, 3)
    x = x.to(dtype).contiguous(memory_format=layout).requires_grad_()
    ours, plain = spatial_mean(x), x.mean(dim=(2, 3), dtype=torch.float32)
    assert torch.equal(ours, plain)
    (found,), (expected,) = (torch.autograd.grad((m * direction).sum(), x) for m in (ours, plain))
    assert torch.equal(found, expected)
    assert found.dtype == dtype


@pytest.mark.parametrize("training", [True, False])
def test_fresh_iebn_is_bn_with_a_damped_scale(training):
    x = random_input(4, 6, 5, 5)
    bn, iebn = make_norm("bn", 6).double(), make_norm("iebn", 6).double()
    with torch.no_grad():
        for norm in (bn, iebn):
            norm.weight.copy_(torch.linspace(-1, 2, 6))
            norm.bias.copy_(torch.linspace(3, -1, 6))
    bn.train(training)
    iebn.train(training)
    damped = torch.sigmoid(torch.tensor(-1.0, dtype=torch.float64))
    shift = iebn.bias[None, :, None, None]
    torch.testing.assert_close(iebn(x) - shift, (bn(x) - shift) * damped)


@pytest.mark.parametrize("operator", ["linear", "identity", "fc", "full"])
@pytest.mark.parametrize("acts_on", ["scale", "shift", "both"])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu", "softmax"])
def test_iebn_options(operator, acts_on, activation):
    norm = randomized(make_norm("iebn", 4, operator=operator, acts_on=acts_on, activation=activation)).eval()
    x = random_input(3, 4, 5, 6)
    m = x.mean((2, 3))
    if operator == "linear":
        m = norm.gate_weight * m + norm.gate_bias
    elif operator == "fc":
        m = (m @ norm.squeeze.weight.T + norm.squeeze.bias).clamp(min=0)
        m = m @ norm.excite.weight.T + norm.excite.bias
    elif operator == "full":
        m = m @ norm.gate_weight.T + norm.gate_bias
    delta = {
        "sigmoid": lambda: 1 / (1 + (-m).exp()),
        "tanh": lambda: m.tanh(),
        "relu": lambda: m.clamp(min=0),
        "softmax": lambda: m.exp() / m.exp().sum(1, keepdim=True),
    }[activation]()
    ones = torch.ones_like(delta)
    scale = norm.weight * (delta if acts_on != "shift" else ones)
    shift = norm.bias * (delta if acts_on != "scale" else ones)
    expected = standardized(x, False, norm) * scale[:, :, None, None] + shift[:, :, None, None]
    torch.testing.assert_close(norm(x), expected)


def test_the_last_layer_of_the_fc_operator_starts_at_the_offset():
    fc = make_norm("iebn", 5, operator="fc")
    assert fc.excite.bias.tolist() == [-1.0] * 5
    assert fc.squeeze.weight.shape == (4, 5)


def test_the_full_operator_starts_as_the_linear_one():
    x = random_input(2, 5, 4, 4)
    linear = make_norm("iebn", 5, init=(0.3, -1.0)).double()
    full = make_norm("iebn", 5, init=(0.3, -1.0), operator="full").double()
    torch.testing.assert_close(linear(x), full(x))


@pytest.mark.parametrize("name", ["bn", "bn+se", "iebn"])
@pytest.mark.parametrize("training", [True, False])
def test_noise_acts_on_the_normalized_step(name, training):
    plain, noisy = (randomized(make_norm(name, 4, **options)) for options in ({}, {"noise": (0.8, 0.5)}))
    x = random_input(3, 4, 5, 5)
    plain.train(training)
    noisy.train(training)
    expected = standardized(x, training, plain) * 0.8 + 0.5
    torch.testing.assert_close(noisy.standardize(x), expected)
    assert not torch.allclose(noisy(x), plain(x), atol=1e-3)


IEBN_OPTIONS = [
    {"operator": operator, "acts_on": acts_on, "activation": activation}
    for operator in ("linear", "identity", "fc")
    for acts_on in ("scale", "shift", "both")
    for activation in ("sigmoid", "tanh", "relu", "softmax")
]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, {}) for name in NORMS),
        *((name, {"noise": (0.8, 0.5)}) for name in ("bn", "bn+se", "iebn")),
        ("bn+se", {"reduction": 2}),
        *(("iebn", options) for options in IEBN_OPTIONS),
        ("iebn", {"acts_on": "both", "operator": "fc", "noise": (0.8, 0.5)}),
    ],
    ids=str,
)
def test_as_affine_is_forward_in_evaluation(name, options):
    norm = randomized(make_norm(name, 5, **options)).eval()
    x = random_input(3, 5, 6, 7)
    with torch.no_grad():
        a, b = norm.as_affine(*moments(x))
        expected = norm(x)
    assert a.shape == b.shape == (3, 5)
    assert a.dtype == b.dtype == torch.float32
    torch.testing.assert_close(
        a.double()[..., None, None] * x + b.double()[..., None, None], expected, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(("name", "count"), [("bn", 0), ("in", 2), ("bn+se", 1), ("iebn", 1)])
def test_no_norm_looks_at_more_moments_than_it_says(name, count):
    norm = randomized(make_norm(name, 5)).eval()
    assert count == norm.MOMENTS
    mean, variance = moments(random_input(3, 5, 6, 7))
    with torch.no_grad():
        plain, other_variance = norm.as_affine(mean, variance), norm.as_affine(mean, variance + 1)
        other_mean = norm.as_affine(mean + 1, variance)
    assert torch.equal(plain[0], other_variance[0]) == (count < 2)
    assert torch.equal(plain[1], other_mean[1]) == (count < 1)


def test_moments_of_half_precision_are_taken_in_float32():
    x = torch.full((1, 2, 300, 300), 1.5, dtype=torch.float16)
    mean, variance = moments(x)
    assert mean.dtype == variance.dtype == torch.float32
    torch.testing.assert_close(mean, torch.full((1, 2), 1.5))
    torch.testing.assert_close(variance, torch.zeros(1, 2))


@pytest.mark.parametrize("channels", [1, 7, 64])
def test_parameter_counts(channels):
    def count(name, **options):
        return sum(p.numel() for p in make_norm(name, channels, **options).parameters())

    assert count("bn") == count("in") == 2 * channels
    assert count("iebn") == count("bn") + 2 * channels
    assert count("iebn", operator="identity") == count("bn")
    hidden = max(channels // 16, 4)
    assert count("bn+se") == count("bn") + 2 * channels * hidden + hidden + channels
    assert count("iebn", operator="fc") == count("bn+se")


@pytest.mark.parametrize("name", ["bn", "iebn", "bn+se"])
def test_evaluation_does_not_depend_on_the_rest_of_the_batch(name):
    norm = randomized(make_norm(name, 4)).eval()
    x = random_input(5, 4, 6, 6)
    torch.testing.assert_close(norm(x)[2:3], norm(x[2:3]), rtol=0, atol=1e-14)


def test_gate_of_half_precision_input_is_computed_in_float32():
    norm = make_norm("iebn", 2, init=(1.0, 0.0)).eval()
    x = torch.full((1, 2, 300, 300), 1.5, dtype=torch.float16)  # a float16 sum overflows at 65,504
    assert norm.gate(x).dtype == torch.float32
    torch.testing.assert_close(norm.gate(x), torch.full((1, 2), 1 / (1 + math.exp(-1.5))))


@pytest.mark.parametrize(
    ("spelling", "name"),
    [("bn", "bn"), ("IN", "in"), ("IEBN", "iebn"), (" bn+se ", "bn+se"), ("bn-se", "bn+se"), ("SE", "bn+se")],
)
def test_names_and_aliases(spelling, name):
    assert canonical_norm(spelling) == name
    assert type(make_norm(spelling, 3)) is NORMS[name]


def test_slugs_and_titles_cover_the_table():
    assert [norm_slug(name) for name in NORMS] == ["bn", "in", "bn-se", "iebn"]
    assert NORM_TITLES.keys() == NORMS.keys()


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(UnknownNormError, match=r"'layer'.*bn, in, bn\+se, iebn"):
        make_norm("layer", 3)


@pytest.mark.parametrize("options", [{"operator": "mlp"}, {"acts_on": "input"}, {"activation": "gelu"}])
def test_unknown_option_values(options):
    with pytest.raises(ValueError, match="must be"):
        make_norm("iebn", 3, **options)


@pytest.mark.parametrize("noise", ["ab", (1,), (1, 2, 3), (1, None)])
def test_noise_that_is_no_pair(noise):
    with pytest.raises(ValueError, match="two numbers"):
        make_norm("bn", 3, noise=noise)


def test_reduction_of_nothing():
    with pytest.raises(ValueError, match="reduction must be at least 1"):
        make_norm("bn+se", 3, reduction=0)


def test_option_of_another_norm():
    with pytest.raises(TypeError):
        make_norm("in", 3, noise=(0.8, 0.8))


def test_plain_batch_norm_is_torchs():
    x = random_input(3, 4, 5, 5).float()
    torch.testing.assert_close(BatchNorm(4)(x), nn.BatchNorm2d(4)(x), rtol=0, atol=0)


@pytest.mark.parametrize("batch", [1, 3])
def test_instance_norm_trained_with_channels_last_is_the_plain_one(batch):
    norm = randomized(make_norm("in", 5))
    x = random_input(batch, 5, 6, 7)
    above = random_input(batch, 5, 6, 7, seed=2)
    wanted, found = [], []
    for layout, kept in ((torch.contiguous_format, wanted), (torch.channels_last, found)):
        laid_out = x.contiguous(memory_format=layout).requires_grad_()
        y = norm(laid_out)
        kept += [y, *torch.autograd.grad(y, [laid_out, norm.weight, norm.bias], above)]
    assert found[0].is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found, wanted)
