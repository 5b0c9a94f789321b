"""Two styles in one painting, chosen by a mask."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from PIL import Image

from transformer_net.imaging.arrays import fit
from transformer_net.imaging.decode import Photo
from transformer_net.inference.options.mask import merged
from transformer_net.inference.options.style_options import DEFAULT_OPTIONS, StyleOptions
from transformer_net.inference.stylizer import Stylizer
from transformer_net.inference.tiling.tiles import DEFAULT_MEMORY, ProgressCallback


class MaskedStylizer:
    """Paints as a `Stylizer` does: the whole photo in both styles, then mixed by the mask.

    Args:
        first: Paints where the mask is black.
        second: Paints where it is white; in between, they are mixed in linear light.
        mask: Mode L. It is stretched to the size of each photo.
    """

    def __init__(self, first: Stylizer, second: Stylizer, mask: Image.Image) -> None:
        self.first, self.second, self.mask = first, second, mask
        self.info = replace(first.info, style=f"{first.info.style}-{second.info.style}")

    def fingerprint(self, options: StyleOptions = DEFAULT_OPTIONS) -> str:
        """As `Stylizer.fingerprint`: that of both styles, and of the mask."""
        styles = [self.first.fingerprint(options), self.second.fingerprint(options)]
        return " ".join([*styles, str(self.mask.size), hashlib.sha256(self.mask.tobytes()).hexdigest()])

    def check(self, options: StyleOptions) -> None:
        """As `Stylizer.check`."""
        self.first.check(options)
        self.second.check(options)

    def paint_photo(
        self,
        photo: Photo,
        max_side: int | None = None,
        options: StyleOptions = DEFAULT_OPTIONS,
        *,
        max_memory: int = DEFAULT_MEMORY,
        exact: bool = False,
        overwrite: bool = False,
        on_progress: ProgressCallback = lambda share: None,
    ) -> Image.Image:
        """As `Stylizer.paint_photo`; both styles have the same options, each with its own palette."""
        opaque = Photo(fit(photo.rgb, max_side))
        first = self.first.paint_photo(
            opaque, None, options, max_memory=max_memory, exact=exact,
            on_progress=lambda share: on_progress(share / 2),
        )  # fmt: skip
        second = self.second.paint_photo(
            opaque, None, options, max_memory=max_memory, exact=exact,
            overwrite=overwrite or opaque.rgb is not photo.rgb,
            on_progress=lambda share: on_progress((1 + share) / 2),
        )  # fmt: skip
        return photo.with_alpha(merged(first, second, self.mask))
