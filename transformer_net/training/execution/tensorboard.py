"""A run in TensorBoard: curves, sample pictures, and the gates of every layer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from transformer_net.optional import require


def require_tensorboard() -> Any:
    """PyTorch's module for TensorBoard.

    Raises:
        SettingError: TensorBoard is not installed.
    """
    return require("torch.utils.tensorboard", "--tensorboard needs TensorBoard, which", "tensorboard")


class TensorBoardWriter:
    """Writes what TensorBoard reads: tensorboard --logdir runs

    Args:
        folder: Where its event files go, a run folder.
        iteration: Steps done before. What an earlier sitting wrote beyond them is not shown.

    Raises:
        SettingError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, iteration: int = 0) -> None:
        self._writer = require_tensorboard().SummaryWriter(
            str(folder), purge_step=iteration + 1 if iteration else None
        )

    def training(self, iteration: int, values: Mapping[str, float]) -> None:
        """Losses, learning rate and speed of the last few steps."""
        for name, value in values.items():
            self._writer.add_scalar(f"training/{name}", value, iteration)

    def evaluation(
        self, iteration: int, losses: Mapping[str, float], sample: Image.Image, gates: Mapping[str, Tensor]
    ) -> None:
        """Validation losses, the painted sample, and a histogram of each layer's gate for it."""
        for name, value in losses.items():
            self._writer.add_scalar(f"validation/{name}", value, iteration)
        self._writer.add_image("sample", np.asarray(sample), iteration, dataformats="HWC")
        for layer, gate in gates.items():
            self._writer.add_histogram(f"gate/{layer}", gate, iteration)
        self._writer.flush()

    def close(self) -> None:
        """Write what is still in memory."""
        self._writer.close()
