"""Make vgg16_conv4_3.fp16.safetensors again from torchvision's weights, and compare the two.

python -m transformer_net.training.losses.weights.make_vgg16            downloads, compares, prints SHA-256
python -m transformer_net.training.losses.weights.make_vgg16 --out F    writes the file to F as well
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from transformer_net.training.losses.vgg import WEIGHTS, convolution_indices, vgg16_state_dict

SHA256 = "d1164efb1be15ba6eb6f98237be29213ac2ed6598e2e97c49feefcc6ecee4d8d"
"""Checksum of the file in the repository."""


def pack(state_dict: Mapping[str, Tensor]) -> bytes:
    """The file's bytes: the ten convolutions up to conv4_3, rounded to float16, in a fixed order."""
    names = [f"features.{i}.{kind}" for i in convolution_indices() for kind in ("weight", "bias")]
    return save({name: state_dict[name].to(torch.float16).contiguous() for name in names})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, help="where to write the file")
    arguments = parser.parse_args()
    data = pack(vgg16_state_dict("torchvision"))
    made, shipped = hashlib.sha256(data).hexdigest(), hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
    if arguments.out:
        arguments.out.write_bytes(data)
    print(f"from torchvision  {made}\nin the repository {shipped}")
    print("equal" if made == shipped else "DIFFERENT")
    return 0 if made == shipped else 1


if __name__ == "__main__":
    sys.exit(main())
