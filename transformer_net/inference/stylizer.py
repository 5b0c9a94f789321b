"""A photo becomes a painting: the one call behind the command line, the HTTP API and the web page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from transformer_net.checkpoint import ModelInfo, load_model
from transformer_net.grain import grain
from transformer_net.images import DEFAULT_LIMITS, Limits, Photo, Source, decode, fit, from_array, to_array
from transformer_net.network import MIN_SIDE, TransformerNet


class Stylizer:
    """One trained network, ready to paint. Safe to share between threads.

    Args:
        network: In evaluation mode.
        info: What its model file says of it.
        device: Where to compute.
        limits: What `paint` accepts.
    """

    def __init__(
        self,
        network: TransformerNet,
        info: ModelInfo,
        device: str | torch.device = "cpu",
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.device = torch.device(device)
        self.network = network.eval().to(self.device).to(memory_format=torch.channels_last)
        self.info, self.limits = info, limits

    @classmethod
    def from_style(cls, style: str, norm: str, device: str | torch.device = "cpu") -> Stylizer:
        """The shipped model of a style of the catalogue.

        Raises:
            UnknownStyleError, UnknownNormError: The catalogue has no such model.
            ModelFileError: Its file is unusable.
        """
        from styles.catalog import find_style  # the catalogue builds on this package, not the reverse

        return cls.from_file(find_style(style).model(norm), device)

    @classmethod
    def from_file(cls, path: Path | str, device: str | torch.device = "cpu") -> Stylizer:
        """The model in a file.

        Raises:
            ModelFileError: The file is unusable; the sentence says why.
        """
        network, info = load_model(path)
        return cls(network, info, device)

    def paint(self, source: Source, max_side: int | None = None) -> Image.Image:
        """Decode `source` and paint it; see `paint_photo`.

        Args:
            source: Bytes or path of an image file, a PIL image, or an array (H, W[, C]).
            max_side: Shrink the photo first so that its longer side has at most this many pixels.

        Raises:
            StylizerError: `source` is no picture that we read, or is too large or too small.
        """
        return self.paint_photo(decode(source, self.limits), max_side)

    def paint_photo(self, photo: Photo, max_side: int | None = None) -> Image.Image:
        """The painting of `photo`, of the photo's size (after shrinking to `max_side`).

        Mode RGB, or RGBA with the photo's transparency where it has any. The same photo gives the same
        pixels each time.
        """
        rgb = fit(photo.rgb, max_side)
        pixels = to_array(_large_enough(rgb))
        if self.info.grain:
            pixels += self.info.grain * grain(*pixels.shape[1:])
        with torch.inference_mode():
            batch = torch.from_numpy(pixels)[None]
            painted = self.network(batch.to(self.device, memory_format=torch.channels_last))
        painting = from_array(painted[0].float().clamp(0, 1).cpu().numpy())
        return photo.with_alpha(painting.crop((0, 0, *rgb.size)))


def _large_enough(rgb: Image.Image) -> Image.Image:
    """`rgb`, edge pixels repeated to the right and below where a side is under the network's minimum.

    Only a long strip gets there, 5000 x 20 say, when `max_side` shrinks it.
    """
    right, below = max(0, MIN_SIDE - rgb.width), max(0, MIN_SIDE - rgb.height)
    if not right and not below:
        return rgb
    return Image.fromarray(np.pad(np.asarray(rgb), ((0, below), (0, right), (0, 0)), mode="edge"))
