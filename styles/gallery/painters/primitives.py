"""Primitives shared by the painters: palettes, noise, flow fields, canvas helpers.

Conventions: colours are float RGB in 0..1 (sRGB values, not linear light),
arrays are indexed ``[y, x]``, lengths are pixels unless a docstring says
otherwise, and all randomness comes from a ``numpy.random.Generator`` that the
caller passes in, so a seed fixes the whole picture.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy import ndimage

Array = np.ndarray
Rng = np.random.Generator
Point = Sequence[float] | Array
Points = Sequence[Point] | Array

# Each family runs from dark to light in four stops, so that one number in 0..1
# picks a tone without leaving the hue family.
FAMILIES: dict[str, tuple[str, str, str, str]] = {
    "navy": ("#0a1140", "#13216e", "#1f3a9e", "#3f62c4"),
    "ultramarine": ("#141f86", "#1c3cc4", "#2f63e6", "#7ba6f6"),
    "turquoise": ("#046a80", "#08a0ac", "#25c8c8", "#9cf0e4"),
    "emerald": ("#04482f", "#0a7d45", "#22b35c", "#9be27e"),
    "vermilion": ("#7d0f18", "#c41f1a", "#ec3f22", "#ff7d57"),
    "orange": ("#b8480a", "#ea6c0c", "#ff9321", "#ffc069"),
    "gold": ("#a86a08", "#dc9c10", "#f8c62a", "#ffe98a"),
    "ivory": ("#d8bd8c", "#f0dcb0", "#fbf0d2", "#fffaf0"),
    "rose": ("#8a1450", "#c92a72", "#ec5c98", "#fbb0c4"),
    "violet": ("#33135f", "#5c259c", "#8748c8", "#c195ec"),
    "ochre": ("#6e3f0c", "#b8741a", "#e2a436", "#f6d68a"),
    "sienna": ("#4a1a0c", "#8c3616", "#c65f28", "#eda066"),
    "teal": ("#06323e", "#0d5f6c", "#1f949a", "#84cfc6"),
    "blush": ("#7a2436", "#bf4a58", "#e88684", "#f9ccbc"),
    "cream": ("#b99a68", "#dcc494", "#f2e2bc", "#fdf6e2"),
    "umber": ("#1a0f10", "#3a211c", "#6a4430", "#a47c56"),
    "sage": ("#2c3a16", "#5a7024", "#93a648", "#d2d892"),
}


def hex_rgb(code: str) -> Array:
    """Return ``#rrggbb`` as three floats in 0..1."""
    return np.array([int(code[i : i + 2], 16) for i in (1, 3, 5)]) / 255.0


RAMPS: dict[str, Array] = {
    name: np.stack([hex_rgb(code) for code in codes]) for name, codes in FAMILIES.items()
}


def ramp(family: str, tone: float | Array) -> Array:
    """Colour of ``family`` at ``tone`` (0 dark .. 1 light, clipped); adds an RGB axis."""
    stops = RAMPS[family]
    at = np.linspace(0.0, 1.0, len(stops))
    return np.stack([np.interp(tone, at, stops[:, c]) for c in range(3)], axis=-1)


def luminance(rgb: Array) -> Array:
    """Luma in 0..1 (Rec. 709 weights on sRGB values)."""
    return rgb @ np.array([0.2126, 0.7152, 0.0722])


def grid(size: int) -> tuple[Array, Array]:
    """Return float32 ``x, y`` of the pixel centres of a square canvas."""
    axis = np.arange(size, dtype=np.float32) + 0.5
    x, y = np.meshgrid(axis, axis)
    return x, y


def noise(size: int, scale: float, rng: Rng) -> Array:
    """Smooth noise with mean 0 and deviation 1 and blobs about ``scale`` pixels wide.

    Drawn on a coarse lattice and enlarged with cubic splines, which costs the
    same for every ``scale``.
    """
    cells = max(2, int(np.ceil(size / max(scale, 1.0)))) + 3
    lattice = rng.standard_normal((cells, cells)).astype(np.float32)
    step = min(1.0 / max(scale, 1.0), (cells - 3) / size)
    at = 1.0 + np.arange(size, dtype=np.float32) * step
    rows, cols = np.meshgrid(at, at, indexing="ij")
    field = ndimage.map_coordinates(lattice, [rows, cols], order=3, mode="nearest")
    return (field - field.mean()) / (field.std() + 1e-6)


def soft_noise(size: int, scale: float, rng: Rng) -> Array:
    """Like ``noise``, from cubic B-splines; softer, and so cheap that plans can be lavish."""
    at = np.arange(size, dtype=np.float32) / scale
    cell, t = at.astype(int), at % 1
    weights = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, 3 * (t + t**2 - t**3) + 1, t**3]
    field = rng.standard_normal((cell[-1] + 4, cell[-1] + 4)).astype(np.float32)
    for _ in range(2):
        field = sum(w[:, None] * field[cell + i] for i, w in enumerate(weights)).T
    return (field - field.mean()) / (field.std() + 1e-6)


def grain(size: int, sigma: float, rng: Rng) -> Array:
    """Fine noise, mean 0 and deviation 1, blurred by ``sigma`` pixels."""
    field = ndimage.gaussian_filter(rng.standard_normal((size, size)).astype(np.float32), sigma, mode="wrap")
    return field / (field.std() + 1e-6)


def border_distance(labels: Array) -> Array:
    """Distance of each pixel to the nearest change of label.

    Its iso-lines run parallel to the outlines of all regions at once, which
    makes it the flow field for strokes or tiles that follow the shapes.
    """
    edge = np.zeros(labels.shape, dtype=bool)
    edge[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    edge[1:, :] |= labels[1:, :] != labels[:-1, :]
    return ndimage.distance_transform_edt(~edge).astype(np.float32)


def flow(labels: Array) -> tuple[Array, Array]:
    """Depth below the nearest outline (pixels) and the angle along it (radians)."""
    depth = ndimage.gaussian_filter(border_distance(labels), 1.2)
    gy, gx = np.gradient(ndimage.gaussian_filter(depth, 1.5))
    return depth, np.arctan2(gy, gx) + np.pi / 2


def stamp(taken: Array, points: Array, radius: int) -> None:
    """Mark squares of half side ``radius`` about ``points`` (x, y) as used."""
    for px, py in points.astype(int):
        taken[max(0, py - radius) : py + radius + 1, max(0, px - radius) : px + radius + 1] = True


def walk(
    start: Point, sense: int, level: float, free: Array, depth: Array, angle: Array
) -> list[tuple[float, float]]:
    """Follow an iso-line of ``depth`` in steps of two pixels while ``free`` holds.

    Each step is pulled back towards ``level``, so the line keeps its distance
    from the outline however long it is; it ends where it meets itself.
    """
    size = len(depth)
    px, py = start
    path: list[tuple[float, float]] = []
    seen: dict[tuple[int, int], int] = {}
    while 0 <= px < size and 0 <= py < size:
        ix, iy = int(px), int(py)
        if not free[iy, ix] or len(path) - seen.setdefault((ix // 3, iy // 3), len(path)) > 6:
            break
        path.append((px, py))
        c, s = np.cos(angle[iy, ix]), np.sin(angle[iy, ix])
        pull = min(1.0, max(-1.0, depth[iy, ix] - level))
        px += sense * 2 * c - pull * s
        py += sense * 2 * s + pull * c
    return path


def iso_lines(level: float, gap: int, own: Array, depth: Array, angle: Array) -> list[Array]:
    """All lines (x, y points) at ``depth == level`` inside ``own``, at least ``gap`` apart."""
    free, lines = own.copy(), []
    for py, px in np.argwhere(own & (np.abs(depth - level) < 0.8)):
        if not free[py, px]:
            continue
        start = (px + 0.5, py + 0.5)
        ahead = walk(start, 1, level, free, depth, angle)
        closed = len(ahead) > 8 and np.hypot(*np.subtract(ahead[-1], start)) < 6
        back = [] if closed else walk(start, -1, level, free, depth, angle)[1:]
        line = np.array(back[::-1] + ahead)
        lines.append(line)
        used = np.zeros_like(free)
        stamp(used, line, gap)
        free &= ~used
    return lines


def row_levels(deepest: float, row: float) -> tuple[list[float], float]:
    """Depths of the row centres and the row height that fits them to a region.

    A thin region gets one row along its spine; a wider one gets whole rows from
    the outline inwards, so that no sliver is left in the middle.
    """
    if deepest < 0.75 * row:
        return [0.75 * deepest], 2 * deepest
    count = max(1, round(deepest / row))
    height = float(np.clip(deepest / count, 0.75 * row, 1.3 * row))
    return [(k + 0.5) * height for k in range(count)], height


def partition(
    centres: Array, planes: Array, reach: Array, side: int, board: int
) -> tuple[Array, Array, Array]:
    """Give each pixel to the convex cell that it lies deepest in.

    Cell ``i`` is the set of points whose offset ``d`` from ``centres[i]`` has
    ``d.x * nx + d.y * ny <= offset`` for each ``(nx, ny, offset)`` in ``planes[i]``;
    it is only looked for within ``reach[i]``.  These are in units of a board
    ``board`` wide, drawn on ``side`` pixels.  Returns the owner's index, the signed
    distance to its cell (negative inside) and the lead over the runner-up.
    """
    k = side / board
    best = np.full((side, side), 1e3, np.float32)
    second, owner = best.copy(), np.zeros((side, side), np.int32)
    low = np.clip((centres - reach[:, None]) * k, 0, side).astype(int)
    high = np.clip((centres + reach[:, None]) * k, 0, side).astype(int)
    axis = (np.arange(side, dtype=np.float32) + 0.5) / k
    cells = zip(centres.astype(np.float32), planes.astype(np.float32), strict=True)
    for i, ((cx, cy), cell) in enumerate(cells):
        view = np.s_[low[i, 1] : high[i, 1], low[i, 0] : high[i, 0]]
        dx, dy = axis[view[1]] - cx, (axis[view[0]] - cy)[:, None]
        d = np.maximum.reduce([dx * nx + dy * ny - offset for nx, ny, offset in cell])
        closer = d < best[view]
        second[view] = np.where(closer, best[view], np.minimum(second[view], d))
        owner[view] = np.where(closer, i, owner[view])
        best[view] = np.where(closer, d, best[view])
    return owner, best, second - best


def smoothstep(low: float, high: float, value: Array) -> Array:
    """Ease from 0 at ``low`` to 1 at ``high``."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def to_image(rgb: Array, size: int) -> Image.Image:
    """Turn float RGB into an 8-bit image of ``size`` pixels, box-filtered down."""
    data = (np.clip(rgb, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    image = Image.fromarray(data, "RGB")
    return image if image.width == size else image.resize((size, size), Image.Resampling.BOX)
