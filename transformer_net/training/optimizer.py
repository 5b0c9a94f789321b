"""Muon for the convolutions, Adam for everything else.

Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) makes each step's change of a weight matrix
orthogonal, so that all directions are learned at the same rate. On this network it reaches Adam's loss of 300
steps in 150 to 200 (docs/training.md). Vectors, and the first and the last layer, which map from and to three
colours, stay with Adam.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

MUON_LR = 25.0
"""Muon's learning rate as a multiple of Adam's."""

_FACTORS = {"muon": MUON_LR, "adam": 1.0, "predictor": 0.06}
"""Learning rates as multiples of Adam's. The predictor's first layer has 1,983 inputs: each step moves their
sum, so a rate that suits the vectors of the network is too large there."""

_PREDICTOR_CLIP = 5.0

_COLOURS = 3

# Newton-Schulz iteration x ← a·x + b·xxᵀx + c·(xxᵀ)²x: these coefficients, Jordan's, bring all singular
# values between 0.7 and 1.2 in five rounds, and nearer to 1 is not needed.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ROUNDS = 5


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalized. A weight (out, in, k, k) counts as the matrix (out, in · k · k).

    torch.optim.Muon takes matrices only, and computes in bfloat16, which makes this network's step eight
    times slower (0.16 s to 0.02 s) on processors that have no instructions for it.

    Args:
        parameters: Weights of convolutions.
        lr: Learning rate: the size of the singular values of a step.
        momentum: Of the gradients' running mean, applied as Nesterov's.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float = 0.02, momentum: float = 0.9) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step along the gradients; `closure` is not supported."""
        if closure is not None:
            raise NotImplementedError("Muon takes no closure")
        for group in self.param_groups:
            # On a GPU, weights of the same shape, as the ten layers of the residual blocks are, go together:
            # a third of the kernels. On a CPU, batched products are slower than as many plain ones.
            alike: dict[object, list[Tensor]] = {}
            for weight in group["params"]:
                if weight.grad is not None:
                    alike.setdefault(weight.shape if weight.is_cuda else weight, []).append(weight)
            for weights in alike.values():
                self._move(weights, group["lr"], group["momentum"])

    def _move(self, weights: list[Tensor], lr: float | Tensor, momentum: float) -> None:
        """The step of weights that all have the same shape."""
        directions = []
        for weight in weights:
            state: dict[str, Any] = self.state[weight]
            if not state:
                state["momentum"] = torch.zeros_like(weight)
            assert weight.grad is not None
            mean = state["momentum"].lerp_(weight.grad, 1 - momentum)
            directions.append(weight.grad.lerp(mean, momentum).flatten(1))
        matrices = orthogonal(torch.stack(directions))
        tall = max(1.0, matrices.shape[1] / matrices.shape[2]) ** 0.5
        for weight, change in zip(weights, matrices * (tall * lr), strict=True):
            weight.sub_(change.view(weight.shape))


def orthogonal(matrices: Tensor) -> Tensor:
    """`matrices` (..., m, n) with their singular values near 1, their singular vectors kept."""
    x: Tensor = matrices / torch.linalg.matrix_norm(matrices, keepdim=True).clamp(min=1e-12)
    flip = x.shape[-2] > x.shape[-1]
    if flip:
        x = x.mT
    for _ in range(_ROUNDS):
        gram = x @ x.mT
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    return (x.mT if flip else x).contiguous()


class MuonAdam:
    """Muon and Adam, each for its share of a network's parameters.

    Args:
        network: What is trained.
        predictor: Part of it whose gradients are clipped, and which learns at a rate of its own.
    """

    def __init__(self, network: nn.Module, predictor: nn.Module | None = None) -> None:
        self._predicting = list(predictor.parameters()) if predictor else []
        apart = set(self._predicting)
        parameters = [p for p in network.parameters() if p not in apart]
        others = [p for p in parameters if not _is_matrix(p)]
        on_gpu = others[0].is_cuda
        self._optimizers: dict[str, torch.optim.Optimizer] = {
            "muon": Muon(p for p in parameters if _is_matrix(p)),
            "adam": torch.optim.Adam(others, capturable=on_gpu),
        }
        if predictor:
            self._optimizers["predictor"] = torch.optim.Adam(self._predicting, capturable=on_gpu)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for optimizer in self._optimizers.values():
            optimizer.zero_grad(set_to_none=True)

    def step(self, lr: float | Tensor) -> None:
        """One step along the gradients, with Adam's learning rate `lr`; a tensor lies beside the weights."""
        if self._predicting:
            nn.utils.clip_grad_norm_(self._predicting, _PREDICTOR_CLIP)
        for name, optimizer in self._optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = _FACTORS[name] * lr
            optimizer.step()

    def state_tensors(self) -> dict[str, Tensor]:
        """The whole state, flat: `muon.INDEX.NAME` and `adam.INDEX.NAME`."""
        return {
            f"{optimizer}.{index}.{name}": tensor
            for optimizer, one in self._optimizers.items()
            for index, slots in one.state_dict()["state"].items()
            for name, tensor in slots.items()
        }

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Continue from what `state_tensors` gave.

        Raises:
            KeyError, ValueError: The tensors are not of this network.
        """
        states: dict[str, dict[int, dict[str, Tensor]]] = {name: {} for name in self._optimizers}
        for key, tensor in tensors.items():
            optimizer, index, name = key.split(".")
            if tensor.ndim == 4:
                tensor = tensor.contiguous(memory_format=torch.channels_last)
            states[optimizer].setdefault(int(index), {})[name] = tensor
        for name, one in self._optimizers.items():
            one.load_state_dict({**one.state_dict(), "state": states[name]})


def _is_matrix(parameter: Tensor) -> bool:
    return parameter.ndim == 4 and min(parameter.shape[:2]) > _COLOURS
