"""Engraved tone: regions whose hatching turns with the form, and swells where it is dark."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from styles.gallery.painters import primitives as pr
from styles.gallery.painters import shapes as sh
from styles.gallery.painters.primitives import Array, Rng

SPACING = 11.0  # units between hatching lines

Curve = Callable[[Array, Array], Array]


@dataclass
class Region:
    """Tone (0 paper .. 1 black) and hatching curves at points x, y, and the wash below."""

    tone: Curve
    phase: Curve
    wash: str
    strength: float


@dataclass
class Plate:
    """The drawing and its regions, in the order they were laid."""

    drawing: sh.Drawing
    rng: Rng
    regions: list[Region] = field(default_factory=list)

    def add(
        self,
        outline: Array,
        tone: Curve | float,
        phase: Curve,
        wash: str = "none",
        strength: float = 0.8,
        line: float = 3.0,
    ) -> None:
        """Lay a region over what is there and go round it with the pen."""
        dark: Curve = tone if callable(tone) else lambda x, y: np.full_like(x, tone)
        self.drawing.fill(outline, len(self.regions))
        self.regions.append(Region(dark, phase, wash, strength))
        if line:
            ring = np.concatenate([outline, outline[:1]])
            for part in np.array_split(np.arange(len(ring) - 1), max(1, len(ring) // 14)):
                path = ring[part[0] : part[-1] + 2]
                self.drawing.swell(path, line * self.rng.uniform(0.6, 0.9), 1.5 * line)


def flat(x: Array, y: Array) -> Array:
    """Level hatching."""
    return y


def upright(x: Array, y: Array) -> Array:
    """Upright hatching."""
    return x


def slant(angle: float) -> Curve:
    """Straight hatching along ``angle``."""
    c, s = np.cos(angle), np.sin(angle)
    return lambda x, y: c * y - s * x


def about(cx: float, cy: float, squash: float = 1.0) -> Curve:
    """Hatching in rings about a point."""
    return lambda x, y: np.hypot(x - cx, (y - cy) * squash)


def spokes(cx: float, cy: float, spread: float) -> Curve:
    """Hatching that radiates from a point, as wide apart as on a circle of radius ``spread``."""
    return lambda x, y: spread * np.arctan2(y - cy, x - cx)


def across(x0: float, x1: float, left: float, right: float) -> Curve:
    """Tone from ``left`` to ``right`` between two abscissae."""
    return lambda x, y: left + (right - left) * pr.smoothstep(x0, x1, x)


def fields(plate: Plate) -> tuple[Array, Array, Array]:
    """Tone, hatching phase, and the index of the wash, of every pixel."""
    label = np.asarray(plate.drawing.label)
    tone, phase = (np.zeros(label.shape, np.float32) for _ in range(2))
    for i, view in enumerate(ndimage.find_objects(label + 1)):
        if view is None:
            continue
        own = label[view] == i
        y, x = ((np.nonzero(own)[n] + view[n].start + 0.5) / plate.drawing.k for n in (0, 1))
        tone[view][own] = plate.regions[i].tone(x, y)
        phase[view][own] = plate.regions[i].phase(x, y)
    return tone, phase, label


def lines(phase: Array, width: Array) -> Array:
    """Ink where the fraction ``width`` of each spacing is covered."""
    return np.abs(2 * np.mod(phase / SPACING, 1.0) - 1) < width


def hatch(tone: Array, phase: Array, board: int, rng: Rng) -> Array:
    """Up to three crossing sets of lines that render ``tone``."""
    side = len(tone)
    k = side / board
    x, y = (at / k for at in pr.grid(side))
    shake = 1.6 * pr.soft_noise(side, 45 * k, rng) + 0.5 * pr.soft_noise(side, 12 * k, rng)
    press = 0.10 * pr.soft_noise(side, 20 * k, rng) + 0.05 * pr.grain(side, k, rng)
    first = np.where(tone > 0.07, 0.14 + 0.5 * tone, 0) + press * (tone > 0.07)
    ink = lines(phase + shake, first)
    ink |= lines(0.80 * x + 0.60 * y + 2 * shake, np.clip(1.1 * tone - 0.36 + press, 0, 0.6))
    return ink | lines(0.50 * x - 0.87 * y - 2 * shake, np.clip(1.5 * tone - 0.9 + press, 0, 0.7))
