"""What goes into the answer to a request for paintings: a picture, a side-by-side picture, or an archive."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Sequence
from typing import Final

from app.painting.service import Painting
from transformer_net.imaging.decode import Photo
from transformer_net.imaging.encode import encode
from transformer_net.inference.sheet import side_by_side
from transformer_net.norms import NORM_TITLES, norm_slug

SHEET_PANEL_SIDE: Final = 640
"""Longest side of a panel of the side-by-side picture, in pixels, as on the command line."""


class ServerTiming:
    """Measures the steps of a request."""

    def __init__(self) -> None:
        self._last = time.perf_counter()
        self._steps: list[tuple[str, float]] = []

    def lap(self, step: str, less: float = 0.0) -> None:
        """Ends a step; `less` are seconds of it that belong to another."""
        now = time.perf_counter()
        self.add(step, max(0.0, now - self._last - less))
        self._last = now

    def add(self, step: str, seconds: float) -> None:
        """Adds a step that was measured elsewhere."""
        self._steps.append((step, seconds))

    def header(self) -> str:
        """The steps as a Server-Timing header."""
        return ", ".join(f"{step};dur={1000 * seconds:.1f}" for step, seconds in self._steps)


def response_body(photo: Photo, paintings: Sequence[Painting], kind: str, archive: bool) -> bytes:
    """The body of the answer.

    Args:
        photo: What was painted.
        paintings: At least one.
        kind: Format of the pictures.
        archive: Whether every painting is wanted, in a zip archive.
    """
    if len(paintings) == 1 and not archive:
        return encode(paintings[0].image, kind)
    files = {_name(p.style, [p.norm], kind): encode(p.image, kind) for p in paintings} if archive else {}
    if len(paintings) > 1:
        panels = [("photo", photo.with_alpha(photo.rgb))]
        panels += ((NORM_TITLES[painting.norm], painting.image) for painting in paintings)
        sheet = encode(side_by_side(panels, panel_side=SHEET_PANEL_SIDE), kind)
        if not archive:
            return sheet
        files[_name(paintings[0].style, [p.norm for p in paintings], kind)] = sheet
    return _zipped(files)


def _zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:  # pictures are compressed already
        for name, data in files.items():
            # A fixed date, and "made on Unix" wherever it is made: the same request gives the same bytes.
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, data)
    return buffer.getvalue()


def _name(style: str, norms: Sequence[str], kind: str) -> str:
    suffix = "jpg" if kind == "jpeg" else kind
    return f"{style}-{norm_slug(norms[0])}.{suffix}" if len(norms) == 1 else f"{style}.{suffix}"


def content_disposition(style: str, norms: Sequence[str], kind: str, archive: bool) -> str:
    """A Content-Disposition header; it is made of our own names only, never of the client's."""
    if archive:
        return f'attachment; filename="{style}.zip"'
    return f'inline; filename="{_name(style, norms, kind)}"'
