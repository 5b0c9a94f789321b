"""A hand-laid mosaic: sun, moon, plumes and sea, in the spirit of opus vermiculatum.

The picture is planned as flat regions, tesserae are laid in rows that run
parallel to the outlines, gaps are filled with chips, and each tile is then
lit on its own.  The plan is always made on a board of 1024 units; only the
rendering knows the size in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.spatial import cKDTree

from styles.gallery.painters import primitives as pr
from styles.gallery.painters import run
from styles.gallery.painters.primitives import Array, Point, Rng

BOARD = 1024  # side of the plan, in units; one unit is one pixel at size 1024
LIGHT = np.array([-0.6, -0.8])  # light falls from the upper left (x right, y down)


@dataclass
class Region:
    """How one region is laid: hue family, mean tone (0..1) and row height (units)."""

    family: str
    tone: float
    row: float


@dataclass
class Plan:
    """The cartoon under the mosaic: a label per board unit and a region per label."""

    labels: Array = field(default_factory=lambda: np.zeros((BOARD, BOARD), np.int32))
    regions: list[Region] = field(default_factory=list)

    def add(self, mask: Array, family: str, tone: float = 0.5, row: float = 17.0) -> None:
        """Paint ``mask`` over what is there as a new region."""
        self.labels[mask] = len(self.regions)
        self.regions.append(Region(family, tone, row))


def rings(plan: Plan, r: Array, inside: Array, spec: list[tuple[float, str, float]]) -> None:
    """Add nested rings; ``spec`` lists (outer radius, family, tone), widest first."""
    for radius, family, tone in spec:
        plan.add(inside & (r < radius), family, tone)


def add_sky(plan: Plan, x: Array, y: Array, sun: Array, rng: Rng) -> None:
    """Spiral arms of colour wound about the sun; warm and cool arms alternate."""
    arms = [
        ("ultramarine", 0.5, 64),
        ("gold", 0.6, 34),
        ("violet", 0.55, 50),
        ("ivory", 0.6, 34),
        ("emerald", 0.5, 34),
        ("vermilion", 0.5, 50),
        ("navy", 0.5, 50),
        ("orange", 0.5, 50),
        ("turquoise", 0.6, 64),
        ("rose", 0.55, 50),
    ]
    dx, dy = x - sun[0], y - sun[1]
    turn = sum(width for *_, width in arms)
    warp = 16 * pr.noise(BOARD, 170, rng)
    phase = np.hypot(dx, dy) + turn * (np.arctan2(dy, dx) / (2 * np.pi) + rng.random()) + warp
    phase = phase % turn
    start = 0
    for family, tone, width in arms:
        plan.add((phase >= start) & (phase < start + width), family, tone)
        start += width


def add_sun(plan: Plan, x: Array, y: Array, sun: Array, rng: Rng) -> None:
    """A large sun: curved red and gold rays on a turquoise halo about a disc of rings."""
    dx, dy = x - sun[0], y - sun[1]
    r, angle = np.hypot(dx, dy), np.arctan2(dy, dx) + rng.random()
    swirl = (angle + r / 420) * 12 / (2 * np.pi)
    blade = 1 - np.abs(2 * np.mod(swirl, 1.0) - 1)
    rays = r < 138 + 112 * blade**0.75
    rings(plan, r, r < 300, [(276, "navy", 0.4), (258, "turquoise", 0.53)])
    plan.add(rays, "vermilion", 0.5)
    plan.add(rays & (np.mod(swirl, 2.0) < 1), "gold", 0.55)
    rings(
        plan,
        r,
        r < 150,
        [
            (142, "navy", 0.5),
            (125, "ivory", 0.6),
            (107, "vermilion", 0.5),
            (73, "orange", 0.6),
            (39, "gold", 0.7),
            (19, "ivory", 0.9),
        ],
    )


def add_rosette(plan: Plan, r: Array, families: list[str], radius: float) -> None:
    """A round flower of equal rings; tones alternate so that the rings read apart."""
    step = radius / len(families)
    spec = [(radius - i * step, fam, (0.35, 0.65)[i % 2]) for i, fam in enumerate(families)]
    rings(plan, r, np.ones_like(r, bool), spec)


def add_sea(plan: Plan, x: Array, y: Array, rng: Rng) -> None:
    """Overlapping scales, as in fish or wave patterns, that swell from row to row."""
    suits = [
        ("navy", "turquoise", "ivory", "ultramarine", "orange"),
        ("ivory", "emerald", "orange", "violet", "rose"),
        ("ultramarine", "ivory", "turquoise", "vermilion", "gold"),
        ("orange", "turquoise", "navy", "rose", "ivory"),
    ]
    y = y + 20 * np.sin(x / 150 + rng.random() * 6) + 5 * pr.noise(BOARD, 120, rng)
    for row, base in enumerate(np.arange(815, 1200, 88)):
        for col in range(-1, 7):
            centre = (col + 0.5 * (row % 2)) * 226 + 40
            suit = suits[int(rng.integers(len(suits)))]
            add_rosette(plan, np.hypot(x - centre, (y - base) * 1.05), list(suit), 126)


def add_plume(
    plan: Plan, x: Array, y: Array, root: Point, angle: float, length: float, bend: float, suit: Sequence[str]
) -> None:
    """One bent feather from ``root``: rim, vane, gold rib and an eye near the tip."""
    c, s = np.cos(angle), np.sin(angle)
    along = (c * (x - root[0]) + s * (y - root[1])) / length
    across = -s * (x - root[0]) + c * (y - root[1]) - bend * length * along**2
    inside = (along > 0) & (along < 1)
    width = 88 * np.sin(np.pi * np.clip(along, 0, 1) ** 1.7) ** 0.8
    rim, vane, inner, eye = suit
    plan.add(inside & (np.abs(across) < width), rim, 0.5)
    plan.add(inside & (np.abs(across) < width - 17), vane, 0.5)
    plan.add(inside & (np.abs(across) < width - 50), inner, 0.6)
    plan.add(inside & (np.abs(across) < 9) & (np.abs(along - 0.5) < 0.38), "gold", 0.7)
    r = np.hypot((along - 0.69) * length * 0.8, across)
    add_rosette(plan, r, list(eye), 62)


def add_plumes(plan: Plan, x: Array, y: Array, rng: Rng) -> None:
    """A peacock fan that sweeps up from the lower left."""
    eyes = [
        ("navy", "gold", "turquoise", "vermilion"),
        ("ivory", "vermilion", "navy", "gold"),
        ("gold", "navy", "turquoise", "ivory"),
    ]
    suits = [
        ("navy", "emerald", "turquoise"),
        ("ivory", "vermilion", "orange"),
        ("navy", "emerald", "gold"),
        ("orange", "ultramarine", "turquoise"),
        ("navy", "rose", "ivory"),
        ("violet", "emerald", "turquoise"),
    ]
    angles = np.deg2rad(np.linspace(-88, -10, len(suits)) + rng.uniform(-3, 3, len(suits)))
    for k in rng.permutation(len(suits)):
        length = 700 + rng.uniform(-50, 50)
        add_plume(plan, x, y, (5, 975), angles[k], length, 0.16, suits[k] + (eyes[k % 3],))


def compose(rng: Rng) -> Plan:
    """Draw the cartoon, from the sky forward."""
    plan = Plan()
    x, y = pr.grid(BOARD)
    x = x + 4 * pr.noise(BOARD, 90, rng)
    y = y + 4 * pr.noise(BOARD, 90, rng)
    sun = rng.uniform((660, 270), (720, 330))
    add_sky(plan, x, y, sun, rng)
    add_sun(plan, x, y, sun, rng)
    moon = ["ivory", "navy", "turquoise", "gold", "vermilion", "ivory"]
    add_rosette(plan, np.hypot(x - 150, y - 130), moon, 118)
    add_sea(plan, x, y, rng)
    add_plumes(plan, x, y, rng)
    return plan


def cut(path: Array, row: float, rng: Rng) -> Array:
    """Cut a row into tiles: rows of (x, y, angle, half length, half height)."""
    arc = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])
    base = np.clip(row, 13, 19)
    lengths = base * rng.uniform(0.8, 1.5, max(1, round(arc[-1] / (1.15 * base))))
    ends = np.concatenate([[0.0], np.cumsum(lengths)]) * arc[-1] / lengths.sum()
    ends_xy = np.stack([np.interp(ends, arc, path[:, i]) for i in (0, 1)], axis=1)
    middle = np.stack([np.interp((ends[1:] + ends[:-1]) / 2, arc, path[:, i]) for i in (0, 1)], 1)
    dx, dy = np.diff(ends_xy, axis=0).T
    high = np.full(len(dx), row / 2)
    return np.column_stack([middle, np.arctan2(dy, dx), np.diff(ends) / 2, high])


def lay_rows(plan: Plan, depth: Array, angle: Array, rng: Rng) -> Array:
    """Lay every region row by row, from its outline inwards; adds the label as a sixth column."""
    laid = []
    for label, region in enumerate(plan.regions):
        own = plan.labels == label
        deepest = float(np.percentile(depth[own], 98)) if own.sum() > 60 else 0.0
        if deepest < 3:
            continue
        levels, row = pr.row_levels(deepest, region.row)
        for level in levels:
            for line in pr.iso_lines(level, max(2, int(0.5 * row)), own, depth, angle):
                if len(line) > 4:
                    tiles = cut(line, row, rng)
                    laid.append(np.column_stack([tiles, np.full(len(tiles), label)]))
    return thin(np.concatenate(laid))


def thin(tiles: Array) -> Array:
    """Drop each tile whose centre lies well inside an earlier one, as where rows collide."""
    keep = np.ones(len(tiles), bool)
    for i, j in sorted(cKDTree(tiles[:, :2]).query_pairs(12.0)):
        gap = np.hypot(*(tiles[i, :2] - tiles[j, :2]))
        keep[j] &= not keep[i] or gap > 0.62 * min(tiles[i, 3:5].sum(), tiles[j, 3:5].sum())
    return tiles[keep]


def quad_planes(tiles: Array, rng: Rng) -> Array:
    """Four half-planes (nx, ny, offset) per tile: a rectangle with sides knocked askew."""
    sides = tiles[:, 2, None] + np.arange(4) * np.pi / 2 + rng.normal(0, 0.075, (len(tiles), 4))
    reach = np.stack([tiles[:, 3], tiles[:, 4]] * 2, axis=1) + rng.normal(0, 0.5, sides.shape)
    return np.stack([np.cos(sides), np.sin(sides), reach], axis=-1)


def partition(tiles: Array, planes: Array, side: int) -> tuple[Array, Array, Array]:
    """Share ``side`` x ``side`` pixels out among the tiles, see ``primitives.partition``."""
    reach = 1.2 * np.hypot(tiles[:, 3], tiles[:, 4]) + 4
    return pr.partition(tiles[:, :2], planes, reach, side, BOARD)


def fillers(tiles: Array, planes: Array, plan: Plan, angle: Array, rng: Rng) -> Array:
    """Chips for the gaps that the rows leave, the widest gap first."""
    _, best, _ = partition(tiles, planes, BOARD)
    room = ndimage.distance_transform_edt(best > 1.0)
    ys, xs = np.nonzero((room == ndimage.maximum_filter(room, 7)) & (room > 3.2))
    chips, blocked = [], np.zeros(room.shape, bool)
    for n in np.argsort(-room[ys, xs], kind="stable"):
        py, px, r = ys[n], xs[n], min(room[ys[n], xs[n]], 11.0)
        if blocked[py, px]:
            continue
        pr.stamp(blocked, np.array([[px, py]]), int(1.4 * r))
        half = r * rng.uniform(1.0, 1.35), r + 0.5
        chips.append((px + 0.5, py + 0.5, angle[py, px], *half, plan.labels[py, px]))
    return np.array(chips).reshape(-1, 6)


def tile_colours(tiles: Array, plan: Plan, depth: Array, rng: Rng) -> Array:
    """Colour per tile: a tone of its region's family, as if picked by hand from a tray.

    Tone alternates with depth, so that rows read apart, and drifts slowly across
    the board like light; one tile in ten is of a kindred family, one in forty gold.
    """
    kin = {
        "navy": "ultramarine",
        "ultramarine": "turquoise",
        "turquoise": "emerald",
        "emerald": "turquoise",
        "vermilion": "orange",
        "orange": "vermilion",
        "gold": "orange",
        "ivory": "gold",
        "rose": "violet",
        "violet": "ultramarine",
    }
    drift = pr.noise(BOARD, 110, rng)
    ix, iy = (np.clip(tiles[:, i].astype(int), 0, BOARD - 1) for i in (0, 1))
    tone = 0.13 * drift[iy, ix] + 0.10 * np.sin(0.19 * depth[iy, ix])
    tone += rng.normal(0, 0.13, len(tiles))
    dice = rng.random(len(tiles))
    out = np.empty((len(tiles), 3))
    for i, label in enumerate(tiles[:, 5].astype(int)):
        family = plan.regions[label].family
        if dice[i] < 0.10:
            family = kin[family]
        elif dice[i] > 0.975:
            family = "gold"
        out[i] = pr.ramp(family, plan.regions[label].tone + tone[i])
    return out * (1 + rng.normal(0, 0.025, out.shape))


def shade(tiles: Array, colours: Array, cells: tuple[Array, Array, Array], side: int, rng: Rng) -> Array:
    """Light the tiles: grout, bevels, a tilt per tile, grain and a glint on some.

    ``edge`` is the depth below a tile's rim in units; ``joint`` is half the width
    of the grout, and wanders so that joints open and close as in hand work.
    """
    (owner, best, lead), k = cells, side / BOARD
    chipping = 0.35 * pr.noise(side, 5 * k, rng) + 0.15 * pr.grain(side, max(k, 0.5), rng)
    joint = 1.0 + 0.2 * pr.noise(side, 60 * k, rng)
    edge = np.minimum(lead / 2, 2.5 - best + joint) - joint + chipping
    body = pr.smoothstep(-0.5, 0.5, edge)[..., None]
    soft = ndimage.gaussian_filter(np.clip(edge, -1, 4), 0.7 * k)
    gy, gx = np.gradient(soft, 1 / k)
    bevel = gx * LIGHT[0] + gy * LIGHT[1]
    u, v = (at / k - tiles[owner, i] for i, at in enumerate(pr.grid(side)))
    tilt = rng.normal(0, 0.008, (len(tiles), 2))
    lean = np.clip(tilt[owner, 0] * u + tilt[owner, 1] * v, -0.2, 0.2)
    surface = 0.03 * pr.grain(side, 0.8 * k, rng) + 0.025 * pr.noise(side, 6 * k, rng)
    light = 1 + lean - 0.16 * bevel + surface
    spot = rng.normal(0, 3.0, (len(tiles), 2)) + 3 * LIGHT
    glint = rng.exponential(0.09, len(tiles))[owner]
    glint *= np.exp(-((u - spot[owner, 0]) ** 2 + (v - spot[owner, 1]) ** 2) / 14)
    tile_rgb = colours[owner] * light[..., None] + glint[..., None] * np.array([1, 0.97, 0.9])
    tone = 0.5 + 0.2 * pr.noise(side, 25 * k, rng) + 0.1 * pr.grain(side, k, rng)
    grout = np.array([0.16, 0.12, 0.17]) + np.clip(tone, 0, 1)[..., None] * [0.2, 0.15, 0.12]
    return grout * (1 - body) + tile_rgb * body


def paint(size: int = 1024, seed: int = 7) -> Image.Image:
    """Paint the mosaic at ``size`` pixels square; the same arguments give the same pixels."""
    rng = np.random.default_rng(seed)
    plan = compose(rng)
    depth, angle = pr.flow(plan.labels)
    tiles = lay_rows(plan, depth, angle, rng)
    planes = quad_planes(tiles, rng)
    for _ in range(2):
        chips = fillers(tiles, planes, plan, angle, rng)
        tiles = np.concatenate([tiles, chips])
        planes = np.concatenate([planes, quad_planes(chips, rng)])
    colours = tile_colours(tiles, plan, depth, rng)
    side = 2 * size  # twice as fine, then box-filtered, for smooth edges
    cells = partition(tiles, planes, side)
    return pr.to_image(shade(tiles, colours, cells, side, rng), size)


if __name__ == "__main__":
    run(paint, __doc__)
