"""Brush strokes: bent, bristled marks laid one over another, and the light on thick paint.

Strokes are rows of ``(x, y, angle, half length, half width, bend)`` in board units; a
stroke follows the parabola ``across = bend * along**2`` about its own middle.  Later
rows lie on top.  Angles are radians, clockwise on screen as ``y`` points down.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from styles.gallery.painters import primitives as pr
from styles.gallery.painters.primitives import Array, Rng

FAMILIES = list(pr.FAMILIES)  # a plan stores a family as its place in this list
BRISTLES = 24  # hairs across a brush


@dataclass
class Plan:
    """What to paint where: family, tone and brush angle of every unit of the board.

    ``rank`` tells near from far, so that strokes of near things can be laid last.
    """

    board: int
    family: Array = field(init=False)
    tone: Array = field(init=False)
    angle: Array = field(init=False)
    rank: Array = field(init=False)

    def __post_init__(self) -> None:
        shape = (self.board, self.board)
        self.family, self.rank = (np.zeros(shape, np.int32) for _ in range(2))
        self.tone, self.angle = (np.zeros(shape, np.float32) for _ in range(2))

    def add(self, mask: Array, family: str, tone: float | Array, angle: float | Array | None = None) -> None:
        """Lay a shape over what is there; without ``angle`` strokes follow its outline."""
        if angle is None:
            angle = pr.flow(mask.astype(int))[1]
        self.family[mask] = FAMILIES.index(family)
        for to, value in ((self.tone, tone), (self.angle, angle)):
            to[mask] = np.broadcast_to(value, mask.shape)[mask]

    def window(self, view: tuple[slice, slice]) -> Plan:
        """The part of the plan under ``view``; what is painted there is painted here."""
        part = copy(self)
        for name in ("family", "tone", "angle", "rank"):
            setattr(part, name, getattr(self, name)[view])
        return part

    def in_front(self, mask: Array) -> None:
        """Bring ``mask`` one step nearer than everything so far."""
        self.rank[mask] = self.rank.max() + 1


def kindred(pairs: dict[str, str]) -> Array:
    """Table from family code to the code of its partner, or to itself where none is named."""
    return np.array([FAMILIES.index(pairs.get(name, name)) for name in FAMILIES])


def tints(family: Array, tone: Array) -> Array:
    """Colours of family codes at tones."""
    out = np.empty((*tone.shape, 3))
    for code, name in enumerate(FAMILIES):
        out[family == code] = pr.ramp(name, tone[family == code])
    return out


def matched(family: Array, like: Array, tone: Array) -> Array:
    """Tones at which ``family`` comes nearest in luma to family ``like`` at ``tone``."""
    target, scale = pr.luminance(tints(like, tone)), np.linspace(0, 1, 32)
    out = np.empty_like(target)
    for code, name in enumerate(FAMILIES):
        pick = family == code
        out[pick] = np.interp(target[pick], pr.luminance(pr.ramp(name, scale)), scale)
    return out


def scatter(spacing: float, board: int, rng: Rng) -> Array:
    """Shuffled points (x, y) about ``spacing`` apart: a jittered lattice over the board."""
    axis = np.arange(-0.5, board / spacing + 0.5)
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    points = (points + rng.random(points.shape)) * spacing
    return rng.permutation(points)


def look_up(field: Array, points: Array) -> Array:
    """Value of ``field`` (one cell per unit) at each point; the border extends outwards."""
    high = len(field) - 1
    ix, iy = (np.clip(points[:, i].astype(int), 0, high) for i in (0, 1))
    return field[iy, ix]


def curvature(angle: Array) -> Array:
    """Curvature (1/units) of the lines that run along ``angle``."""
    c, s = np.cos(angle), np.sin(angle)
    (cy, cx), (sy, sx) = np.gradient(c), np.gradient(s)
    return c * (c * sx + s * sy) - s * (c * cx + s * cy)


def bends(angle: Array) -> Array:
    """The ``bend`` of strokes that follow the field ``angle``, smoothed and held in bounds."""
    return np.clip(ndimage.gaussian_filter(curvature(angle), 3), -0.04, 0.04) / 2


def along_flow(
    points: Array, angle: Array, bend: Array, half_length: float, half_width: float, rng: Rng
) -> Array:
    """One stroke per point, laid along the fields ``angle`` and ``bend``, sizes varied."""
    n = len(points)
    length = half_length * rng.uniform(0.7, 1.3, n)
    width = half_width * rng.uniform(0.75, 1.25, n)
    lean = look_up(angle, points) + rng.normal(0, 0.07, n)
    return np.column_stack([points, lean, length, width, look_up(bend, points)])


def cover(strokes: Array, side: int, board: int, rng: Rng, blunt: bool = True) -> Array:
    """Index of the topmost stroke on each of ``side`` x ``side`` pixels, -1 where bare.

    Ends are ragged: each hair starts and stops a little early or late.  Without
    ``blunt`` a stroke is an ellipse, as from a point.
    """
    k = side / board
    owner = np.full((side, side), -1, np.int32)
    hairs = rng.normal(0, 0.10, 4096).astype(np.float32)
    axis = (np.arange(side, dtype=np.float32) + 0.5) / k
    c, s = np.abs(np.cos(strokes[:, 2])), np.abs(np.sin(strokes[:, 2]))
    thick = strokes[:, 4] + np.abs(strokes[:, 5]) * strokes[:, 3] ** 2
    reach = np.stack([c * strokes[:, 3] + s * thick, s * strokes[:, 3] + c * thick], 1) * 1.15
    low = np.clip((strokes[:, :2] - reach) * k, 0, side).astype(int)
    high = np.clip((strokes[:, :2] + reach) * k + 1, 0, side).astype(int)
    for i, stroke in enumerate(strokes.astype(np.float32)):
        view = np.s_[low[i, 1] : high[i, 1], low[i, 0] : high[i, 0]]
        u, v = own_frame(stroke, axis[view[1]], axis[view[0]][:, None])
        hair = (v * (BRISTLES / 3) + (BRISTLES + 31 * i)).astype(np.int32) & 4095
        reach_u = u * u * (1 + hairs[hair])
        owner[view][(reach_u * reach_u if blunt else reach_u) + v * v < 1] = i
    return owner


def own_frame(stroke: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """Place along and across a stroke, each -1..1 on its body.

    ``stroke`` holds the six columns first; they may be scalars or arrays like ``x``.
    """
    sx, sy, angle, half_length, half_width, bend = stroke
    dx, dy = x - sx, y - sy
    c, s = np.cos(angle), np.sin(angle)
    u = c * dx + s * dy
    v = c * dy - s * dx - bend * u * u
    return u / half_length, v / half_width


def frames(owner: Array, strokes: Array, board: int) -> tuple[Array, Array]:
    """Place along and across the owning stroke of every pixel."""
    side = len(owner)
    x, y = (at * np.float32(board / side) for at in pr.grid(side))
    return own_frame(strokes.astype(np.float32).T[:, owner], x, y)


def bristle(owner: Array, u: Array, v: Array, rng: Rng) -> Array:
    """Streaks that hairs leave along a stroke: mean 0, deviation about 1."""
    table = ndimage.gaussian_filter1d(rng.standard_normal((512, 64, 8)).astype(np.float32), 0.8, 1)
    table = ndimage.gaussian_filter1d(table, 1.5, 2)
    table /= table.std()
    hair = np.clip((v + 1.2) * (BRISTLES / 2.4), 0, 62)
    part = np.clip((u + 1.2) * 3, 0, 7).astype(np.int32)
    row, low = owner & 511, hair.astype(np.int32)
    rest = hair - low
    return table[row, low, part] * (1 - rest) + table[row, low + 1, part] * rest


def impasto(height: Array, k: float, light: tuple[float, float] = (-0.6, -0.8)) -> tuple[Array, Array]:
    """Light on a paint surface: a factor about 1 and a glint of 0 or more.

    ``height`` is in units, ``k`` pixels to the unit, ``light`` points to the lamp.
    """
    soft = ndimage.gaussian_filter(height, 0.6 * k)
    gy, gx = np.gradient(soft, 1 / k)
    facing = -(gx * light[0] + gy * light[1]) / np.sqrt(1 + gx**2 + gy**2)
    factor = 1 + 0.30 * np.maximum(facing, 0) + 0.45 * np.minimum(facing, 0)
    return factor, 0.5 * np.maximum(facing - 0.45, 0)
