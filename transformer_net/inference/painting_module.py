"""A model as a plain PyTorch module, for programs that bring their own pictures."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from transformer_net.grain import grain
from transformer_net.network import TransformerNet


class PaintingModule(nn.Module):
    """Photos in, paintings out; both (B, 3, H, W), RGB in [0, 1], H and W at least `MIN_SIDE`.

    Args:
        network: What paints. It is put into evaluation mode.
        grain: Strength of the grain that is added to the photos; 0 for none. It is a model's own, and without
            it skies stay bare; see `transformer_net.grain`.
    """

    def __init__(self, network: TransformerNet, grain: float = 0.0) -> None:
        super().__init__()
        self.network = network.eval()
        self.grain = grain

    def forward(self, photo: Tensor) -> Tensor:
        """The paintings, clamped to [0, 1]."""
        if self.grain:
            noise = torch.from_numpy(grain(*photo.shape[-2:]))
            photo = photo + self.grain * noise.to(photo.device, photo.dtype)
        painting: Tensor = self.network(photo).clamp(0, 1)
        return painting
