"""The models for PyTorch Hub: torch.hub.load(<repository>, "stylizer", style="mosaic", norm="iebn")"""

from __future__ import annotations

from torch import nn as _nn

dependencies = ["torch", "numpy", "PIL", "safetensors"]


def stylizer(style: str = "mosaic", norm: str = "iebn") -> _nn.Module:
    """A shipped model, in float32 and evaluation mode.

    It takes photos and gives paintings; both (B, 3, H, W), RGB in [0, 1], any H and W from 20 up. The grain
    that the model was trained with is added inside: the same photo gives the same painting.

    Args:
        style: A style of the catalogue.
        norm: bn, in, bn+se or iebn.

    Raises:
        UnknownStyleError, UnknownNormError: There is no such model; the sentence lists the existing ones.
        ModelFileError: Its file is unusable.
    """
    from styles.catalog import find_style
    from transformer_net.checkpoint import load_model
    from transformer_net.inference.painting_module import PaintingModule

    network, info = load_model(find_style(style).model(norm))
    return PaintingModule(network, info.grain).eval()
