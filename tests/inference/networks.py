"""Small networks whose norms have something to do: a fresh one's running statistics are 0 and 1."""

from __future__ import annotations

import torch
from torch import nn

from transformer_net.network import TransformerNet


def random_network(
    norm: str, width: int = 4, seed: int = 0, upsampling: str = "bilinear", **options: object
) -> TransformerNet:
    """A network in evaluation mode with random weights, vectors and gates, and statistics that fit them.

    With others, the photo's contrast would be lost on the way, and all paintings alike.
    """
    torch.manual_seed(seed)
    network = TransformerNet(norm, width, options, upsampling)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            if tensor.ndim == 1 and not name.startswith("head"):
                tensor.add_(torch.randn_like(tensor) * 0.3)
        network.head.weight.mul_(5)
        network.train()(torch.rand(2, 3, 64, 64))
    return network.eval()
