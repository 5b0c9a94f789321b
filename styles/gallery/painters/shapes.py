"""Drawn pictures: splines, ribbons and hooks, and the flat drawing they are cut into.

Points are arrays of (x, y) rows in board units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from scipy.interpolate import CubicSpline

from styles.gallery.painters.primitives import Array, Point, Points


def spline(points: Points, count: int) -> Array:
    """``count`` points on a smooth curve through ``points``, evenly spaced in length."""
    points = np.asarray(points, float)
    arc = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    return CubicSpline(arc, points)(np.linspace(0.0, arc[-1], count))


def loop(points: Points, count: int = 80) -> Array:
    """``count`` points on a smooth closed curve through ``points``."""
    points = np.asarray([*points, points[0]], float)
    arc = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    at = np.linspace(0.0, arc[-1], count, endpoint=False)
    return CubicSpline(arc, points, bc_type="periodic")(at)


def normals(path: Array) -> Array:
    """Unit normals of a path, to its right on screen when it is walked in order."""
    along = np.gradient(path, axis=0)
    along /= np.hypot(*along.T)[:, None] + 1e-9
    return np.column_stack([-along[:, 1], along[:, 0]])


def ribbon(path: Array, width: Array | float) -> Array:
    """Outline of a band of ``width`` (one number, or one per point) about ``path``."""
    side = normals(path) * np.broadcast_to(np.asarray(width, float) / 2, len(path))[:, None]
    return np.concatenate([path + side, (path - side)[::-1]])


def hook(start: Point, angle: float, length: float, curl: float, count: int = 9) -> Array:
    """A path from ``start`` that sets out along ``angle`` and turns ``curl`` radians in all."""
    turn = angle + curl * np.linspace(0, 1, count) ** 1.4
    steps = np.column_stack([np.cos(turn), np.sin(turn)]) * length / (count - 1)
    return np.asarray(start, float) + np.concatenate([[[0.0, 0.0]], np.cumsum(steps[:-1], 0)])


def mask(outlines: Sequence[Array], side: int) -> Array:
    """True inside any of the outlines, given in pixels of a square of ``side``."""
    image = Image.new("1", (side, side))
    for outline in outlines:
        ImageDraw.Draw(image).polygon([tuple(p) for p in outline], fill=1)
    return np.array(image)


def circle(centre: Point, radius: float, count: int = 48) -> Array:
    """Points on a circle."""
    turn = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.asarray(centre) + radius * np.column_stack([np.cos(turn), np.sin(turn)])


def clip(polygon: Array, point: Array, normal: Array) -> Array:
    """The part of a convex polygon on the side of the line that ``normal`` points to."""
    depth = (polygon - point) @ normal
    out = []
    for i, (p, d) in enumerate(zip(polygon, depth, strict=True)):
        q, e = polygon[i - 1], depth[i - 1]
        if (d > 0) != (e > 0):
            out.append(q + (p - q) * e / (e - d))
        if d > 0:
            out.append(p)
    return np.array(out).reshape(-1, 2)


@dataclass
class Drawing:
    """Flat shapes with lines: a label and an amount (0..255) per pixel, and a line image."""

    label: Image.Image
    amount: Image.Image
    key: Image.Image
    k: float
    names: Sequence[str | int]

    @classmethod
    def blank(cls, side: int, board: int, names: Sequence[str | int]) -> Drawing:
        """An empty drawing of ``side`` pixels; it starts filled with the first name."""
        label, amount, key = (Image.new(mode, (side, side)) for mode in "ILL")
        return cls(label, amount, key, side / board, names)

    def fill(self, outline: Array, name: str | int, amount: float = 1.0, line: float = 0.0) -> None:
        """Lay a shape over what is there, with an outline if ``line`` is a width."""
        points = [tuple(p) for p in outline * self.k]
        for image, value in (
            (self.label, self.names.index(name)),
            (self.key, 0),
            (self.amount, round(255 * min(max(amount, 0.0), 1.0))),
        ):
            ImageDraw.Draw(image).polygon(points, fill=value)
        if line:
            self.line(np.concatenate([outline, outline[:1]]), line)

    def line(self, path: Array, width: float) -> None:
        """Draw a line over what is there."""
        pen = ImageDraw.Draw(self.key)
        points = [tuple(p) for p in path * self.k]
        pen.line(points, fill=255, width=max(1, round(width * self.k)), joint="curve")

    def swell(self, path: Array, thin: float, thick: float) -> None:
        """Draw a line that swells from ``thin`` to ``thick`` in the middle."""
        last = len(path) - 1
        for i in range(last):
            self.line(path[i : i + 2], thin + (thick - thin) * np.sin(np.pi * (i + 0.5) / last))

    def cluster(self, outlines: list[Array], name: str, amount: float, line: float) -> None:
        """Fill many shapes as one, with a line only about the whole."""
        for outline in outlines:
            self.line(np.concatenate([outline, outline[:1]]), 2 * line)
        for outline in outlines:
            self.fill(outline, name, amount)
