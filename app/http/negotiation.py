"""Which kind of answer the client asked for: RFC 9110, section 12.5.1, for the four kinds that there are."""

from __future__ import annotations

import math
from typing import Final

from app.errors import NotAcceptableError
from transformer_net.imaging.encode import MEDIA_TYPES

ZIP: Final = "application/zip"

FORMATS: Final = ("png", "jpeg", "webp")
"""What paintings are written as, the preferred first."""


def negotiate(accept: str | None, format: str | None) -> tuple[str, bool]:
    """Gives the format of the pictures, and whether they go into a zip archive.

    Args:
        accept: The Accept header; None is `*/*`.
        format: The picture format named in the request itself, which the header cannot overrule.

    Raises:
        NotAcceptableError: No format is named, and the header allows none of these formats.
    """
    ranges = _ranges(accept or "*/*")
    qualities = {name: _quality(ranges, MEDIA_TYPES[name]) for name in FORMATS}
    best = max(FORMATS, key=lambda name: qualities[name])
    archive = _quality(ranges, ZIP)
    if archive > qualities[best] or (archive == qualities[best] > 0 and ZIP in (accept or "").lower()):
        return format or "png", True
    if format is None and qualities[best] <= 0:
        raise NotAcceptableError(
            f"The answer can be {', '.join(MEDIA_TYPES[name] for name in FORMATS)} or {ZIP}."
        )
    return format or best, False


def _ranges(accept: str) -> dict[str, float]:
    """Media ranges with their weights; a weight that is not a number within 0 and 1 counts as 1."""
    ranges = {}
    for item in accept.lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                weight = _number(parameter[2:])
        ranges[name] = weight
    return ranges


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 1.0
    return min(1.0, max(0.0, value)) if math.isfinite(value) else 1.0


def _quality(ranges: dict[str, float], media_type: str) -> float:
    """The weight of the most specific range that matches."""
    for pattern in (media_type, media_type.split("/")[0] + "/*", "*/*"):
        if pattern in ranges:
            return ranges[pattern]
    return 0.0
