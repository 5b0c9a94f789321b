"""Sound files that Pillow refuses or gets wrong, read by libvips (https://www.libvips.org)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyvips
from PIL import Image

from transformer_net.imaging.pixel_layouts import from_16_bits

pyvips.cache_set_max(0)  # or it would keep the last pictures


def open_avif(data: bytes, check: Callable[[tuple[int, int]], None]) -> Image.Image:
    """An AVIF picture; upright, as the container says.

    Args:
        data: The file.
        check: Called with width and height before any pixel is decoded.
    """
    found = pyvips.Image.heifload_buffer(data, fail_on="error")
    check((found.width, found.height))
    samples = found.numpy()
    image = Image.fromarray(np.squeeze(from_16_bits(samples) if samples.dtype == np.uint16 else samples))
    for field, key in (("icc-profile-data", "icc_profile"), ("exif-data", "exif")):
        if found.get_typeof(field):
            image.info[key] = found.get(field)
    return image
