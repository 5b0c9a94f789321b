"""The four normalizers behind one factory: `bn`, `in`, `bn+se` and `iebn`.

- Batch normalization: Ioffe and Szegedy 2015, arXiv 1502.03167.
- Instance normalization: Ulyanov et al. 2016, arXiv 1607.08022.
- Squeeze-and-excitation: Hu et al. 2018, arXiv 1709.01507.
- Instance enhancement batch normalization: Liang et al. 2020, arXiv 1908.04008, Algorithm 1.

All take and return (B, C, H, W). Channel parameters have shape (C,); `torch.func.functional_call` may replace
them by (B, C), a set for each sample. Spatial means are taken in float32, so that the gate is right in half
precision and for very large pictures, too.

In evaluation mode each norm is y = a·x + b for a given picture, with one a and one b a channel. `as_affine`
computes them from the picture's `moments`; `MOMENTS` says how many of these the norm needs. So a picture can
be painted in tiles as if it were whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, Protocol, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transformer_net.errors import UnknownNormError
from transformer_net.spatial import spatial_mean

Noise = tuple[float, float]


class OverRanks(Protocol):
    """Processes that share a batch, each with as many samples of it.

    Attributes:
        count: How many there are.
    """

    @property
    def count(self) -> int: ...

    def average(self, value: Tensor) -> Tensor:
        """The mean of every process's `value`, with gradient."""


class BatchNorm(nn.BatchNorm2d):
    """Batch normalization, with the constant noise of the paper's section 4.

    y = (x̂·N_a + N_b)·γ + β with x̂ = (x − μ_B) / sqrt(σ²_B + ε). Without `noise` it is `nn.BatchNorm2d`.

    Args:
        channels: Number of channels C.
        noise: (N_a, N_b), or None. It acts in training and in evaluation alike.

    Attributes:
        MOMENTS: How many moments of its input a norm looks at in evaluation mode: 0, 1 (the mean) or
            2 (and the variance).
    """

    MOMENTS: ClassVar[int] = 0

    over_ranks: OverRanks | None = None
    """Set by `synchronize`: where the batch that statistics are taken of is shared by several processes."""

    def __init__(self, channels: int, noise: Noise | None = None) -> None:
        if noise is not None and not (len(noise) == 2 and all(isinstance(n, int | float) for n in noise)):
            raise ValueError(f"noise must be two numbers (N_a, N_b), not {noise!r}")
        super().__init__(channels, eps=1e-5, momentum=0.1)
        self.noise = noise

    def standardize(self, x: Tensor) -> Tensor:
        """x̂·N_a + N_b, before γ and β; updates the running statistics in training mode."""
        assert self.momentum is not None
        if self.training and self.over_ranks is not None:
            x_hat = self._standardize_over_ranks(x, self.over_ranks)
        else:
            x_hat = F.batch_norm(
                x, self.running_mean, self.running_var, None, None, self.training, self.momentum, self.eps
            )
        if self.noise is not None:
            x_hat = x_hat * self.noise[0] + self.noise[1]
        return x_hat

    def forward(self, x: Tensor) -> Tensor:
        if self.noise is None and self.over_ranks is None and self.weight.ndim == 1:
            return super().forward(x)
        return torch.addcmul(_per_channel(self.bias), self.standardize(x), _per_channel(self.weight))

    def _standardize_over_ranks(self, x: Tensor, over_ranks: OverRanks) -> Tensor:
        """x̂ by the mean and variance of all ranks' x: Var = avg(Var_r + (μ_r − μ)²), all of the same size."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        own_variance, own_mean = torch.var_mean(wide, dim=(0, 2, 3), correction=0)
        mean = over_ranks.average(own_mean)
        variance = over_ranks.average(own_variance + (own_mean - mean).square())
        with torch.no_grad():
            count = over_ranks.count * x.numel() / x.shape[1]
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
            unbiased = variance.to(self.running_var.dtype) * (count / (count - 1))
            self.running_var.lerp_(unbiased, self.momentum)
        slope = torch.rsqrt(variance + self.eps)
        return ((wide - _per_channel(mean)) * _per_channel(slope)).to(x.dtype)

    def as_affine(self, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """a and b, (B, C) in float32, with `forward(x)` = a·x + b in evaluation mode.

        Args:
            mean: Mean of each sample's x over height and width, (B, C); see `moments`.
            variance: Likewise. Norms of fewer `MOMENTS` ignore what they do not look at.
        """
        slope, offset = self.standardizing()
        a, b = slope * self.weight.float(), offset * self.weight.float() + self.bias.float()
        return a.expand_as(mean), b.expand_as(mean)

    def standardizing(self) -> tuple[Tensor, Tensor]:
        """(C,) each: what `standardize` multiplies by and adds in evaluation mode, in float32."""
        assert self.running_mean is not None
        assert self.running_var is not None
        slope = torch.rsqrt(self.running_var.float() + self.eps)
        offset = -self.running_mean.float() * slope
        if self.noise is not None:
            slope, offset = slope * self.noise[0], offset * self.noise[0] + self.noise[1]
        return slope, offset


class InstanceNorm(nn.InstanceNorm2d):
    """Instance normalization with γ and β and no running statistics: it is the same in training and use."""

    MOMENTS: ClassVar[int] = 2

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-5, affine=True, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        last = x.is_contiguous(memory_format=torch.channels_last)
        if not (last and x.device.type == "cpu" and x.requires_grad and torch.is_grad_enabled()):
            if self.weight.ndim == 1:
                y: Tensor = super().forward(x)
                return y
            x_hat = F.instance_norm(x, eps=self.eps)
            return torch.addcmul(_per_channel(self.bias), x_hat, _per_channel(self.weight))
        # Batch norms of one sample each are the same, and leave channels last as they are: half the time of
        # nn.InstanceNorm2d, which turns them round and back.
        each = zip(
            torch.split(x, 1), self.weight.expand(x.shape[:2]), self.bias.expand(x.shape[:2]), strict=True
        )
        return torch.cat([F.batch_norm(one, None, None, w, b, True, 0.0, self.eps) for one, w, b in each])

    def as_affine(self, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """As `BatchNorm.as_affine`."""
        a = torch.rsqrt(variance.float() + self.eps) * self.weight.float()
        return a, self.bias.float() - mean.float() * a


def _bottleneck(channels: int, reduction: int = 16) -> tuple[nn.Linear, nn.Linear]:
    """The two layers of squeeze-and-excitation, with max(`channels` // `reduction`, 4) units between them."""
    if reduction < 1:
        raise ValueError(f"reduction must be at least 1, not {reduction}")
    hidden = max(channels // reduction, 4)
    return nn.Linear(channels, hidden), nn.Linear(hidden, channels)


def _through(squeeze: nn.Linear, excite: nn.Linear, mean: Tensor) -> Tensor:
    """W₂·relu(W₁·mean), (B, C); W₂'s bias may be (B, C)."""
    hidden = F.relu(squeeze(mean.to(squeeze.weight.dtype)))
    if excite.bias.ndim > 1:
        return F.linear(hidden, excite.weight) + excite.bias
    return excite(hidden)  # type: ignore[no-any-return]


class SqueezeExcitedBatchNorm(BatchNorm):
    """Batch normalization followed by squeeze-and-excitation.

    y = BN(x)·s, s = sigmoid(W₂·relu(W₁·AVG(BN(x)))), both layers with bias, as in the SE paper.

    Args:
        channels: Number of channels C.
        reduction: The bottleneck has max(C // reduction, 4) units. 16 is the SE paper's; the floor of 4
            is ours, because C // 16 leaves a single unit in the narrow layers of this network.
        noise: As in `BatchNorm`.
    """

    MOMENTS: ClassVar[int] = 1

    def __init__(self, channels: int, reduction: int = 16, noise: Noise | None = None) -> None:
        super().__init__(channels, noise)
        self.squeeze, self.excite = _bottleneck(channels, reduction)

    def gate(self, normalized: Tensor) -> Tensor:
        """s in (0, 1), shape (B, C), for the batch-normalized input (B, C, H, W)."""
        return self._gate_of(spatial_mean(normalized))

    def _gate_of(self, mean: Tensor) -> Tensor:
        return torch.sigmoid(_through(self.squeeze, self.excite, mean))

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y * self.gate(y).to(y.dtype)[:, :, None, None]

    def as_affine(self, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """As `BatchNorm.as_affine`."""
        a, b = super().as_affine(mean, variance)
        gate = self._gate_of(a * mean.float() + b).float()  # the mean of a·x + b
        return a * gate, b * gate


class InstanceEnhancementBatchNorm(BatchNorm):
    """Instance enhancement batch normalization, Algorithm 1 of arXiv 1908.04008.

    m = AVG(x), δ = sigmoid(γ̂·m + β̂), y = x̂·(γ·δ) + β; m is the spatial mean of the raw input, one per
    sample and channel. With γ̂ = 0 and β̂ = −1 it starts as batch normalization whose scale is damped by
    sigmoid(−1) ≈ 0.27. Two more parameters a channel than batch normalization.

    Args:
        channels: Number of channels C.
        operator: `linear` (the paper's: γ̂·m + β̂), `identity` (m itself, no parameters) or `fc`, that of
            its Table 4: W₂·relu(W₁·m), both layers with bias. The paper does not give their width: it is the
            bottleneck of `SqueezeExcitedBatchNorm`. W₂'s bias is β̂. `full`, one C×C layer that starts at
            γ̂·I and β̂, is for model files of before: they call it `fc`.
        acts_on: What δ multiplies: the `scale` γ (the paper's), the `shift` β, or `both`.
        init: Start values of γ̂ and β̂; (0, −1) is the paper's. `fc` has no γ̂: its matrices start at random.
        activation: `sigmoid` (the paper's), `tanh`, `relu` or `softmax` over the channels.
        noise: As in `BatchNorm`.
    """

    MOMENTS: ClassVar[int] = 1

    def __init__(
        self,
        channels: int,
        operator: Literal["linear", "identity", "fc", "full"] = "linear",
        acts_on: Literal["scale", "shift", "both"] = "scale",
        init: tuple[float, float] = (0.0, -1.0),
        activation: Literal["sigmoid", "tanh", "relu", "softmax"] = "sigmoid",
        noise: Noise | None = None,
    ) -> None:
        if operator not in ("linear", "identity", "fc", "full"):
            raise ValueError(f"operator must be linear, identity, fc or full, not {operator!r}")
        if acts_on not in ("scale", "shift", "both"):
            raise ValueError(f"acts_on must be scale, shift or both, not {acts_on!r}")
        if activation not in ("sigmoid", "tanh", "relu", "softmax"):
            raise ValueError(f"activation must be sigmoid, tanh, relu or softmax, not {activation!r}")
        super().__init__(channels, noise)
        self.operator, self.acts_on, self.init, self.activation = operator, acts_on, init, activation
        if operator in ("linear", "full"):
            shape = (channels,) if operator == "linear" else (channels, channels)
            self.gate_weight = nn.Parameter(torch.empty(shape))
            self.gate_bias = nn.Parameter(torch.empty(channels))
        elif operator == "fc":
            self.squeeze, self.excite = _bottleneck(channels)
        self.reset_gate()

    def reset_gate(self) -> None:
        """Reset γ̂ and β̂ to `init`."""
        slope, offset = self.init
        if self.operator == "fc":
            nn.init.constant_(self.excite.bias, offset)
        elif self.operator != "identity":
            one = torch.ones(self.num_features)
            with torch.no_grad():
                self.gate_weight.copy_(slope * (one.diag() if self.operator == "full" else one))
            nn.init.constant_(self.gate_bias, offset)

    def gate(self, x: Tensor) -> Tensor:
        """δ, shape (B, C), of the raw input x (B, C, H, W); in (0, 1) for the sigmoid."""
        return self._gate_of(spatial_mean(x))

    def _gate_of(self, m: Tensor) -> Tensor:
        if self.operator == "linear":
            m = self.gate_weight * m + self.gate_bias
        elif self.operator == "fc":
            m = _through(self.squeeze, self.excite, m)
        elif self.operator == "full":
            m = F.linear(m.to(self.gate_weight.dtype), self.gate_weight, self.gate_bias)
        if self.activation == "softmax":
            return m.softmax(dim=1)
        if self.activation == "tanh":
            return m.tanh()
        if self.activation == "relu":
            return m.relu()
        return m.sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        scale, shift = self._gated(self.gate(x))
        scale, shift = scale.to(x.dtype), shift.to(x.dtype)
        return torch.addcmul(shift[:, :, None, None], self.standardize(x), scale[:, :, None, None])

    def _gated(self, delta: Tensor) -> tuple[Tensor, Tensor]:
        """γ and β, (B, C) or (1, C), after δ acted on one of them or on both."""
        scale = self.weight * delta if self.acts_on in ("scale", "both") else self.weight.expand_as(delta)
        shift = self.bias * delta if self.acts_on in ("shift", "both") else self.bias.expand_as(delta)
        return scale, shift

    def as_affine(self, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """As `BatchNorm.as_affine`."""
        scale, shift = self._gated(self._gate_of(mean.float()))
        slope, offset = self.standardizing()
        a, b = slope * scale.float(), offset * scale.float() + shift.float()
        return a.expand_as(mean), b.expand_as(mean)


Norm: TypeAlias = BatchNorm | InstanceNorm
"""Every normalizer: the other two are batch norms."""


NORMS: dict[str, type[nn.Module]] = {
    "bn": BatchNorm,
    "in": InstanceNorm,
    "bn+se": SqueezeExcitedBatchNorm,
    "iebn": InstanceEnhancementBatchNorm,
}

NORM_TITLES = {
    "bn": "batch norm",
    "in": "instance norm",
    "bn+se": "batch norm + SE",
    "iebn": "IEBN",
}

_ALIASES = {"bn-se": "bn+se", "se": "bn+se"}


def canonical_norm(name: str) -> str:
    """One of the keys of `NORMS`, for any accepted spelling.

    Raises:
        UnknownNormError: `name` is neither a normalizer nor an alias of one.
    """
    key = name.strip().lower()
    key = _ALIASES.get(key, key)
    if key not in NORMS:
        raise UnknownNormError(f"There is no normalizer {name!r}; choose one of {', '.join(NORMS)}.")
    return key


def norm_slug(name: str) -> str:
    """The normalizer's name in file names and URLs: `bn+se` becomes `bn-se`."""
    return canonical_norm(name).replace("+", "-")


def make_norm(name: str, channels: int, **options: Any) -> nn.Module:
    """The normalizer called `name` for (B, `channels`, H, W).

    Args:
        name: `bn`, `in`, `bn+se` or `iebn`, in any case; `bn-se` and `se` mean `bn+se`.
        channels: Number of channels C.
        options: Keyword arguments of the class in `NORMS`.

    Raises:
        UnknownNormError: `name` is not in the table.
        TypeError: an option that this normalizer does not have.
    """
    return NORMS[canonical_norm(name)](channels, **options)


def synchronize(network: nn.Module, over_ranks: OverRanks) -> None:
    """Let the batch norms in `network` take their training statistics over all processes' samples.

    nn.SyncBatchNorm would do this on GPUs alone, and only for the plain batch norm.
    """
    for module in network.modules():
        if isinstance(module, BatchNorm):
            module.over_ranks = over_ranks


@contextmanager
def running_statistics_kept(network: nn.Module) -> Iterator[None]:
    """Lets what `network` sees in training mode leave the running statistics of its batch norms alone."""
    norms = [module for module in network.modules() if isinstance(module, BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def gate_of(norm: nn.Module, x: Tensor) -> Tensor | None:
    """The gate that `norm` has for its input x (B, C, H, W), shape (B, C); None where it has no gate."""
    if isinstance(norm, SqueezeExcitedBatchNorm):
        return norm.gate(BatchNorm.forward(norm, x))
    return norm.gate(x) if isinstance(norm, InstanceEnhancementBatchNorm) else None


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of x (B, C, H, W) over H and W, (B, C) each, in float32 or x's own wider type."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    variance, mean = torch.var_mean(wide, dim=(2, 3), correction=0)
    return mean, variance


def _per_channel(parameter: Tensor) -> Tensor:
    """(C,) or (B, C) as (1 or B, C, 1, 1)."""
    return parameter.view(-1, parameter.shape[-1], 1, 1)
