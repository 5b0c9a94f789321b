"""The base networks: one for each normalizer, trained to reproduce the photo, where the gallery begins.

A network that already paints the plain photo needs no warm-up and keeps the photo's structure while it learns
a style. Models that are trained from the same base also stay near each other in weight space.
`python -m transformer_net.training.make_pretrained` makes the files.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from transformer_net.checkpoint import load_model
from transformer_net.network import TransformerNet
from transformer_net.norms import norm_slug

BASES = Path(__file__).parents[1] / "bases"

WIDTH = 16
"""Width of the shipped bases, and so of the gallery; other widths start from random weights."""


def base_file(norm: str) -> Path:
    """The base network's model file for a normalizer.

    Raises:
        UnknownNormError: There is no such normalizer.
    """
    return BASES / f"{norm_slug(norm)}.safetensors"


def base_sha256(norm: str) -> str:
    """Checksum of the base network's file; models record with it where they started."""
    return hashlib.sha256(base_file(norm).read_bytes()).hexdigest()


def load_base(norm: str) -> TransformerNet:
    """The base network for a normalizer, in float32.

    Raises:
        UnknownNormError: There is no such normalizer.
        ModelFileError: The file is missing or damaged.
    """
    return load_model(base_file(norm))[0]
