"""A walled town, a bridge and garden flowers in pen and wash, after the old engravers.

The drawing is a stack of regions.  Each says how dark it is and along which curves
its hatching runs, so that lines turn with the form; where it is darker the lines
swell and second and third sets cross them.  Washes are laid loosely underneath.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from styles.gallery.painters import primitives as pr
from styles.gallery.painters import run
from styles.gallery.painters import shapes as sh
from styles.gallery.painters.engraving import (
    Plate,
    about,
    across,
    fields,
    flat,
    hatch,
    slant,
    spokes,
    upright,
)
from styles.gallery.painters.primitives import Array, Rng

BOARD = 1024  # side of the drawing, in units; one unit is one pixel at size 1024
PAPER = pr.hex_rgb("#f7e4ba")
WASHES = {
    "none": "#ffffff",
    "indigo": "#3a78c8",
    "sepia": "#c07430",
    "ochre": "#f0b040",
    "red": "#e2401e",
    "verdigris": "#5fae8c",
}
PENS = {
    "none": "#2a1a22",
    "indigo": "#0c1440",
    "sepia": "#3a1a0c",
    "ochre": "#3a1a0c",
    "red": "#4a0c10",
    "verdigris": "#0c2430",
}
SUN = (690.0, 205.0)


def box(x0: float, y0: float, x1: float, y1: float) -> Array:
    """An upright rectangle with many points along its sides."""
    t = np.linspace(0, 1, 12)[:, None]
    corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], float)
    return np.concatenate([a + (b - a) * t for a, b in zip(corners, np.roll(corners, -1, 0), strict=True)])


def scallops(cx: float, cy: float, rx: float, ry: float, count: int, rng: Rng) -> Array:
    """A cloud-like outline of ``count`` lobes."""
    t = np.linspace(0, 2 * np.pi, 14 * count, endpoint=False)
    bulge = 1 + 0.16 * np.abs(np.sin(t * count / 2 + rng.random() * 6)) ** 0.7
    bulge *= 1 + 0.10 * np.sin(2 * t + rng.random() * 6)
    return np.column_stack([cx + rx * bulge * np.cos(t), cy + ry * bulge * np.sin(t)])


def add_sky(plate: Plate, rng: Rng) -> None:
    """Rings of light from the sun out into a dark sky, a disc with rays, and banks of cloud."""

    def night(x: Array, y: Array) -> Array:
        return 0.08 + 0.75 * pr.smoothstep(150, 700, np.hypot(x - SUN[0], y - SUN[1]))

    plate.add(box(-9, -9, 1033, 700), night, about(*SUN), "indigo", 0.55, 0)
    plate.add(scallops(*SUN, 172, 165, 13, rng), night, about(*SUN), "ochre", 0.4, 0)
    for i in range(24):
        turn, reach = i * np.pi / 12, 205 if i % 2 else 165
        c, s = np.cos(turn), np.sin(turn)
        path = np.array(SUN) + np.outer(np.linspace(95, reach, 8), [c, s])
        path += np.outer(np.sin(np.linspace(0, 6.3, 8)) * 7 * (i % 2), [-s, c])
        ray = sh.ribbon(path, np.linspace(24, 1, 8))
        plate.add(ray, 0.12, slant(turn), ("ochre", "red")[i % 2], 0.9, 2)
    for radius, curve, colour in ((96, about(*SUN), "red"), (74, flat, "indigo"), (54, upright, "ochre")):
        turned = across(SUN[0] - 0.65 * radius, SUN[0] + 1.1 * radius, 0.02, 0.45)
        plate.add(sh.circle(SUN, radius), turned, curve, colour, 0.9)
    for cx, cy, rx, ry in [
        (150, 120, 150, 50),
        (300, 265, 130, 42),
        (930, 330, 150, 44),
        (960, 70, 120, 40),
        (430, 60, 110, 30),
    ]:
        for dx, dy, size in [(0.6, -0.3, 0.6), (-0.6, -0.1, 0.65), (0, 0.1, 1.0)]:
            x0, y0 = cx + dx * rx, cy + dy * ry

            def shade(x: Array, y: Array, y0: float = y0, ry: float = ry) -> Array:
                return 0.03 + 0.65 * pr.smoothstep(-0.5 * ry, 1.2 * ry, y - y0)

            plate.add(
                scallops(x0, y0, rx * size, ry * size, 9, rng), shade, about(x0, y0 - ry, 1.8), "none", 0, 3.4
            )


def add_hills(plate: Plate, rng: Rng) -> None:
    """Ridges whose hatching follows their backs."""
    ridges = [(430, 50, "indigo", 0.4, 0.2), (490, 36, "none", 0.0, 0.3), (560, 30, "ochre", 0.9, 0.15)]
    for base, high, wash, strength, low in ridges:
        knots = [(x, base + rng.uniform(-high, high)) for x in range(-60, 1200, 115)]
        ridge = sh.spline(knots, 160)

        def comb(x: Array, y: Array, ridge: Array = ridge) -> Array:
            return y - np.interp(x, ridge[:, 0], ridge[:, 1]) * 0.9 + x * 0.25

        def shade(x: Array, y: Array, ridge: Array = ridge, low: float = low) -> Array:
            slope = np.interp(x, ridge[:, 0], np.gradient(ridge[:, 1], ridge[:, 0]))
            return low + 0.9 * np.clip(slope, -0.2, 0.6) + 0.15 * np.sin(y / 17)

        outline = np.concatenate([ridge, [(1140, 760), (-70, 760)]])
        plate.add(outline, shade, comb, wash, strength, 4)


def add_windows(plate: Plate, x0: float, y0: float, x1: float, y1: float, rng: Rng) -> None:
    """Rows of dark arched windows."""
    for cx in np.arange(x0 + 13, x1 - 10, 25):
        for cy in np.arange(y0 + 18, y1 - 14, 38):
            sill = [(cx + 6.5, cy + 14), (cx - 6.5, cy + 14)]
            arch = sh.circle((cx, cy), 6.5, 24)[12:]
            plate.add(np.concatenate([arch, sill]), 0.95, flat, "none", 0, 2)


def add_house(plate: Plate, x: float, base: float, wide: float, high: float, wash: str, rng: Rng) -> None:
    """A front in light, a side in shade, and a tiled roof."""
    top, turn = base - high, x + 0.68 * wide
    plate.add(box(turn, top, x + wide, base), 0.68, flat, wash, 0.9)
    plate.add(box(x, top, turn, base), across(x, turn, 0.02, 0.22), flat, wash, 0.7)
    add_windows(plate, x, top + 6, turn, base, rng)
    ridge = top - 0.42 * wide
    gable = np.array([(x - 6, top + 3), ((x + turn) / 2, ridge), (turn + 5, top + 3)])
    tiles = np.array(
        [((x + turn) / 2, ridge), (x + 0.84 * wide, ridge), (x + wide + 6, top + 3), (turn + 5, top + 3)]
    )
    plate.add(tiles, 0.42, slant(1.05), "red", 1.0, 4)
    plate.add(gable, 0.15, flat, "red" if rng.random() < 0.3 else wash, 0.7, 4)


def add_tower(
    plate: Plate, cx: float, base: float, wide: float, high: float, cap: str, wash: str, rng: Rng
) -> None:
    """A round tower: hatching bends about it; a cone, dome or crown of merlons on top."""
    half, top = wide / 2, base - high

    def rings(x: Array, y: Array) -> Array:
        return y - 0.3 * half * np.sqrt(np.clip(1 - ((x - cx) / half) ** 2, 0, 1))

    round_tone = across(cx - 0.3 * half, cx + 1.1 * half, 0.03, 0.95)
    plate.add(box(cx - half, top, cx + half, base), round_tone, rings, wash, 0.8, 4)
    add_windows(plate, cx - half + 6, top + 16, cx + 0.4 * half, base - 10, rng)
    plate.add(box(cx - half - 7, top - 8, cx + half + 7, top + 10), round_tone, upright, wash, 0.8)
    if cap == "cone":
        eaves, tip = half + 10, top - 1.9 * wide
        cone = np.array([(cx - eaves, top - 8), (cx, tip), (cx + eaves, top - 8)])
        plate.add(cone, across(cx - half, cx + half, 0.1, 0.8), rings, "red", 1.0, 4)
    elif cap == "dome":
        t = np.linspace(np.pi, 2 * np.pi, 40)
        dome = np.column_stack([cx + (half + 4) * np.cos(t), top - 8 + 1.35 * half * np.sin(t)])
        plate.add(
            dome,
            round_tone,
            lambda x, y: (x - cx) / np.sqrt(np.clip(1.02 - ((y - top + 8) / (1.4 * half)) ** 2, 0.03, 1)),
            "verdigris",
            0.95,
            4,
        )
        tip = top - 8 - 1.35 * half
        lantern = across(cx - 9, cx + 9, 0, 0.9)
        plate.add(box(cx - 9, tip - 26, cx + 9, tip + 4), lantern, flat, wash)
        spike = np.array([(cx - 13, tip - 26), (cx, tip - 66), (cx + 13, tip - 26)])
        plate.add(spike, 0.6, flat, "red")
    else:
        for x in np.arange(cx - half - 7, cx + half, 20):
            plate.add(box(x, top - 26, x + 12, top - 6), round_tone, flat, wash, 0.8)


def add_town(plate: Plate, rng: Rng) -> None:
    """Houses in rows, towers between them, the cathedral in the middle."""
    add_tower(plate, 455, 560, 130, 230, "dome", "ochre", rng)
    add_tower(plate, 365, 570, 50, 270, "cone", "sepia", rng)
    add_tower(plate, 548, 570, 50, 250, "cone", "sepia", rng)
    add_tower(plate, 905, 600, 84, 190, "crown", "ochre", rng)
    add_tower(plate, 215, 600, 66, 150, "cone", "none", rng)
    for row, base in enumerate((590, 640)):
        x = -20.0 - 30 * row
        while x < 1010:
            wide, high = rng.uniform(70, 120), rng.uniform(50, 95)
            wash = ("none", "ochre", "sepia", "none", "none", "indigo")[int(rng.integers(6))]
            add_house(plate, x, base + rng.uniform(-8, 8), wide, high, wash, rng)
            x += wide * rng.uniform(1.0, 1.25)


def add_river(plate: Plate, rng: Rng) -> None:
    """Water in level strokes under a stone bridge."""

    def ripple(x: Array, y: Array) -> Array:
        return y + 3 * np.sin(x / 23 + y / 9)

    def shade(x: Array, y: Array) -> Array:
        return 0.36 + 0.34 * np.sin(x / 57 + 1.2 * np.sin(y / 31))

    plate.add(box(-9, 650, 1033, 1033), shade, ripple, "indigo", 0.5, 4)
    deck = sh.spline([(-20, 690), (250, 655), (520, 640), (790, 655), (1044, 690)], 60)
    wall = sh.ribbon(deck + np.array([0, 62]), 124)
    plate.add(wall, across(0, 1000, 0.12, 0.35), flat, "ochre", 0.9, 4)
    for cx, reach in [(130, 82), (345, 96), (585, 100), (820, 92), (1020, 70)]:
        foot = np.interp(cx, *deck.T) + 130
        for grow, tone, wash in [(16, 0.3, "sepia"), (0, 0.9, "indigo")]:
            t = np.linspace(np.pi, 2 * np.pi, 40)
            ring = np.column_stack([np.cos(t), np.sin(t)]) * [reach + grow, 92 + grow]
            curve = spokes(cx, foot, 60) if grow else about(cx, foot)
            plate.add(ring + np.array([cx, foot]), tone, curve, wash, 0.9, 4)
    plate.add(sh.ribbon(deck, 22), 0.08, upright, "none", 0, 4)


def add_leaf(plate: Plate, root: Array, turn: float, length: float, bend: float, wash: str) -> None:
    """A leaf in two halves, one in light and one in shade, hatched along its veins."""
    rib = sh.hook(root, turn, length, bend, 24)
    t = np.linspace(0, 1, 24)
    wide = 0.42 * length * np.sin(np.pi * t**0.8) ** 0.9 * (1 + 0.06 * np.sin(t * 40))
    c, s = np.cos(turn + bend / 2), np.sin(turn + bend / 2)
    for sense, tone in ((-1, 0.18), (1, 0.62)):
        edge = rib + sh.normals(rib) * (sense * wide / 2)[:, None]

        def veins(x: Array, y: Array, sense: int = sense) -> Array:
            u, v = c * (x - root[0]) + s * (y - root[1]), c * (y - root[1]) - s * (x - root[0])
            return 0.85 * u - 0.6 * sense * v

        plate.add(np.concatenate([rib, edge[::-1]]), tone, veins, wash, 0.7, 3.4)
    plate.drawing.swell(rib, 3, 7)


def add_flower(plate: Plate, centre: Array, radius: float, petals: int, wash: str, rng: Rng) -> None:
    """Two rings of petals hatched from the heart, and a stippled heart."""
    cx, cy = centre
    for ring, grow in ((0, 1.0), (1, 0.68)):
        for i in range(petals):
            turn = 2 * np.pi * (i + 0.5 * ring) / petals + rng.normal(0, 0.06)
            rib = sh.hook(centre, turn, radius * grow, rng.normal(0, 0.2), 16)
            t = np.linspace(0, 1, 16)
            wide = 5.6 * radius * grow / petals
            petal = sh.ribbon(rib, wide * np.sin(np.pi * t**1.5) ** 0.8)

            def shade(x: Array, y: Array, grow: float = grow) -> Array:
                return 0.75 - 0.75 * np.hypot(x - cx, y - cy) / (radius * grow)

            plate.add(petal, shade, spokes(cx, cy, 0.55 * radius), wash, 0.95, 3.4)
    plate.add(sh.circle(centre, 0.24 * radius), 0.6, about(cx, cy), "ochre", 1.0, 4)


def add_garden(plate: Plate, rng: Rng) -> None:
    """Leaves and flowers close to the eye, along the foot and up both sides."""
    for across_foot in range(-10, 1060, 74):
        for _ in range(2):
            turn, length = rng.uniform(-2.3, -0.85), rng.uniform(150, 230)
            root = np.array([across_foot + rng.uniform(-30, 30), 1040.0])
            add_leaf(
                plate,
                root,
                turn,
                length,
                rng.uniform(-0.7, 0.7),
                ("verdigris", "verdigris", "none", "ochre", "sepia")[int(rng.integers(5))],
            )
    spots = [
        (70, 640, 70),
        (130, 830, 92),
        (350, 915, 84),
        (560, 960, 66),
        (740, 905, 90),
        (930, 800, 84),
        (985, 620, 60),
        (25, 480, 50),
    ]
    for (px, py, radius), petals in zip(spots, [7, 8, 6, 7, 8, 7, 6, 7], strict=True):
        stem = sh.spline([(px, py), (px + rng.uniform(-20, 20), (py + 1040) / 2), (px, 1050)], 20)
        plate.add(sh.ribbon(stem, 11), 0.5, flat, "verdigris", 0.9, 3)
        for at, turn in ((6, -2.6), (10, -0.5)):
            add_leaf(plate, stem[at], turn, radius * 1.2, 0.5, "verdigris")
        add_flower(
            plate,
            np.array([px, py]) + rng.uniform(-9, 9, 2),
            radius,
            petals,
            ("red", "red", "none", "red")[int(rng.integers(4))],
            rng,
        )


def compose(side: int, rng: Rng) -> Plate:
    """Draw the plate, from the sky forward."""
    plate = Plate(sh.Drawing.blank(side, BOARD, range(4096)), rng)
    add_sky(plate, rng)
    add_hills(plate, rng)
    add_town(plate, rng)
    add_river(plate, rng)
    add_garden(plate, rng)
    return plate


def wash(plate: Plate, label: Array, tone: Array, grain: Array, rng: Rng) -> tuple[Array, Array]:
    """Paper under loose washes that pool in the dark and dry with an edge; pen colour there."""
    side = len(label)
    k = side / BOARD
    loose = np.stack([pr.soft_noise(side, 55 * k, rng) for _ in range(2)]) * 4 * k
    iy, ix = np.clip(np.indices(label.shape) + loose, 0, side - 1).astype(int)
    under = label[iy, ix]
    kinds = list(WASHES)
    kind = np.array([kinds.index(r.wash) for r in plate.regions])[under]
    strength = np.array([r.strength for r in plate.regions], np.float32)[under]
    tide = np.exp(-pr.border_distance(kind) / (5 * k))
    pool = 0.75 + 0.25 * pr.soft_noise(side, 60 * k, rng) + 0.45 * tide + 0.08 * grain
    amount = strength * np.clip(pool + 0.6 * (tone - 0.3), 0.1, 1.6)
    tints, pens = (np.stack([pr.hex_rgb(c) for c in table.values()]) for table in (WASHES, PENS))
    paper = PAPER * (1 + 0.03 * grain)[..., None]
    return paper * tints[kind] ** amount[..., None], pens[kind]


def paint(size: int = 1024, seed: int = 6) -> Image.Image:
    """Draw the town at ``size`` pixels square; the same arguments give the same pixels."""
    rng = np.random.default_rng(seed)
    side, k = 2 * size, 2 * size / BOARD
    plate = compose(side, rng)
    tone, phase, label = fields(plate)
    lines = np.maximum(hatch(tone, phase, BOARD, rng), np.asarray(plate.drawing.key) / 255)
    grain = 0.6 * pr.grain(side, k, rng) + 0.4 * pr.soft_noise(side, 7 * k, rng)
    picture, pens = wash(plate, label, tone, grain, rng)
    cover = (lines * np.clip(0.93 - 0.05 * grain, 0, 1))[..., None]
    return pr.to_image(picture + (pens - picture) * cover, size)


if __name__ == "__main__":
    run(paint, __doc__)
