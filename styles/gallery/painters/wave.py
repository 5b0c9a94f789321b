"""Great waves under a red sun, as a Japanese woodblock print, in the spirit of Hokusai.

The design is cut into blocks: one per ink, and a key block for the lines.  Each is
printed on its own, a little out of register, so slivers of paper and darker
overlaps show along the edges; grain of wood and paper comes through the inks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image
from scipy import ndimage

from styles.gallery.painters import primitives as pr
from styles.gallery.painters import run
from styles.gallery.painters import shapes as sh
from styles.gallery.painters.primitives import Array, Point, Rng

BOARD = 1024  # side of the design, in units; one unit is one pixel at size 1024
INKS = {
    "bare": "#ffffff",
    "prussian": "#07237e",
    "blue": "#1670c8",
    "pale": "#62c4d8",
    "vermilion": "#e83616",
    "ochre": "#fba726",
    "rose": "#fb8e78",
}
KEY = pr.hex_rgb("#0b1740")
PAPER = pr.hex_rgb("#f8e9c6")

# Back and face of a breaking wave from its foot to its tip, x right and y up.
BACK = [
    (-0.35, -0.10),
    (-0.10, 0.16),
    (0.08, 0.46),
    (0.22, 0.72),
    (0.40, 0.91),
    (0.60, 0.99),
    (0.80, 0.93),
    (0.94, 0.78),
    (0.98, 0.62),
]
FACE = [
    (1.25, -0.10),
    (0.92, 0.02),
    (0.68, 0.14),
    (0.54, 0.30),
    (0.51, 0.47),
    (0.58, 0.63),
    (0.70, 0.72),
    (0.83, 0.73),
    (0.97, 0.61),
]


def gradate(
    design: sh.Drawing,
    outline_of: Callable[[float, float], Array],
    inks: list[tuple[str, float, float]],
    steps: int,
) -> None:
    """Bokashi: slices of a shape in passing strengths; ``inks`` are (ink, from, to) in turn."""
    for i in range(steps):
        at = i / steps * len(inks)
        ink, start, end = inks[int(at)]
        design.fill(outline_of(i / steps, (i + 1) / steps), ink, start + (end - start) * (at % 1))


def add_sky(design: sh.Drawing, rng: Rng) -> None:
    """Blue from above and warm from the horizon, each wiped away towards the middle."""

    def band(a: float, b: float) -> Array:
        top, low = 700 * a, 700 * b + 1
        return np.array([(0, top), (BOARD, top), (BOARD, low), (0, low)])

    gradate(
        design,
        band,
        [
            ("prussian", 1.0, 0.62),
            ("blue", 1.0, 0.05),
            ("ochre", 0.05, 0.8),
            ("rose", 0.75, 1.0),
            ("vermilion", 0.6, 0.9),
        ],
        100,
    )


def add_sun(design: sh.Drawing, centre: Point, radius: float) -> None:
    """A vermilion disc, paler at its foot, with a thin ring about it."""
    design.fill(sh.circle(centre, radius + 26, 90), "ochre", 0.55)
    design.fill(sh.circle(centre, radius + 13, 90), "bare")
    design.fill(sh.circle(centre, radius, 90), "vermilion", 1.0, 3.0)


def add_cloud(design: sh.Drawing, x: float, y: float, length: float, ink: str, rng: Rng) -> None:
    """A bank of mist: round-ended bars stacked askew."""
    bars = []
    for i in range(int(rng.integers(3, 6))):
        start = x + rng.uniform(-0.3, 0.3) * length
        ends = [(start, y + 21 * i), (start + length * rng.uniform(0.6, 1.1), y + 21 * i)]
        near, far = (sh.circle(end, 11.5) for end in ends)
        bars.append(np.concatenate([near[12:37], far[36:], far[:13]]))
    design.cluster(bars, ink, 0.8, 2.4)
    for bar in bars:
        inset = bar.mean(axis=0) + (bar - bar.mean(axis=0)) * [0.88, 0.3]
        design.fill(inset, "rose" if ink == "bare" else "bare", 0.7)


def add_mountain(design: sh.Drawing, peak: Point, width: float, height: float, rng: Rng) -> None:
    """A snow-capped cone combed by gullies."""
    px, py = peak
    t = np.linspace(-1, 1, 41)
    slope = np.column_stack([px + t * width, py + height * np.abs(t) ** 0.75])
    foot = [(px + width, py + height + 40), (px - width, py + height + 40)]
    design.fill(np.concatenate([slope, foot]), "prussian", 0.95, 4)
    for i in range(17):
        x = px + (i - 8) / 9 * width
        top = py + height * abs((i - 8) / 9) ** 0.75 + 6
        low = py + height + 30
        path = np.column_stack([np.linspace(x, x + (i - 8) * 5, 8), np.linspace(top, low, 8)])
        if low - top > 10:
            design.fill(sh.ribbon(path, np.linspace(9, 2, 8)), "blue", 0.8)
    snow = slope[(np.abs(t) < 0.5)]
    teeth = [
        (px + u * width, py + height * (0.40 + 0.20 * (i % 2) - 0.12 * abs(u)))
        for i, u in enumerate(np.linspace(0.42, -0.42, 13))
    ]
    design.fill(np.concatenate([snow, teeth]), "bare", 0.0, 3)


def claw(start: Point, angle: float, length: float, curl: float, depth: int, rng: Rng) -> list[Array]:
    """A finger of foam and the smaller ones that spring from it, as paths."""
    path = sh.hook(start, angle, length, curl)
    paths = [path]
    if depth:
        for at, sense in ((3, 1), (4, -1), (6, 1)):
            lean = angle + sense * rng.uniform(0.4, 0.9) + 0.3 * curl
            paths += claw(
                path[at], lean, length * rng.uniform(0.42, 0.6), curl * rng.uniform(0.7, 1.2), depth - 1, rng
            )
    return paths


def finger(path: Array) -> Array:
    """Outline of a claw path: plump, then pointed."""
    length = np.hypot(*np.diff(path, axis=0).T).sum()
    t = np.linspace(0, 1, len(path))
    return sh.ribbon(path, (0.34 * length + 3) * np.minimum((1 - t) ** 0.7, 0.3 + 4 * t) + 1)


def foam(design: sh.Drawing, edge: Array, out: Array, reach: Array, turn: float, rng: Rng) -> None:
    """Lather along ``edge`` with claws that leave along ``out`` and curl by ``turn``."""
    design.cluster(
        [
            sh.circle(p - 0.1 * r * n, 0.3 * r * rng.uniform(0.8, 1.2) + 3, 20)
            for p, n, r in zip(edge, out, reach, strict=True)
        ],
        "bare",
        0.0,
        2.6,
    )
    for p, n, r in zip(edge, out, reach, strict=True):
        angle = np.arctan2(n[1], n[0]) + rng.normal(0, 0.2)
        length, curl = r * rng.uniform(0.8, 1.35), turn * rng.uniform(0.7, 1.3)
        paths = claw(p - 0.25 * r * n, angle, length, curl, 1 + int(r > 60), rng)
        design.cluster([finger(path) for path in paths], "bare", 0.0, 2.4)
        vein = sh.ribbon(paths[0][:7] - 0.06 * r * n, np.linspace(0.13 * r, 1, 7))
        design.fill(vein, "pale" if rng.random() < 0.7 else "blue", 0.9)


def add_wave(
    design: sh.Drawing, left: float, foot: float, wide: float, high: float, flip: bool, bands: int, rng: Rng
) -> None:
    """One breaking wave: ribbons of blue that run up to the tip, and foam that claws forward."""
    side = -1 if flip else 1
    frame = np.array([side * wide, -high])
    back, face = (np.array([left, foot]) + sh.spline(c, 90) * frame for c in (BACK, FACE))
    body = np.concatenate([back, face[::-1]])
    design.fill(body, "blue", 0.6)
    suits = [
        "prussian",
        "pale",
        "blue",
        "bare",
        "prussian",
        "blue",
        "ochre",
        "prussian",
        "pale",
        "bare",
        "blue",
        "prussian",
        "rose",
    ]
    cuts = np.linspace(0, 1, bands + 1) + np.append(0, np.append(rng.normal(0, 0.16 / bands, bands - 1), 0))
    for j in range(bands):
        near, far = (back + (face - back) * s for s in cuts[j : j + 2])
        ink = suits[j % 13]
        for i in range(0, 89, 4):
            quad = np.concatenate([near[i : i + 6], far[i : i + 6][::-1]])
            design.fill(quad, ink, 0.9 - 0.2 * np.sin(i / 28 + j))
        design.line(far, 2.6)
    design.line(back, 6)
    design.line(face, 4)
    grow, ahead = np.linspace(0, 1, 90), np.array([0.55 * side, 0.25])
    cap, lip = slice(30, 90, 2), slice(58, 90, 2)
    out = sh.normals(back) * -side
    foam(
        design,
        back[cap],
        out[cap] * 0.6 + np.gradient(back, axis=0)[cap] / wide * 30,
        high * (0.02 + 0.085 * grow[cap] ** 2),
        1.5 * side,
        rng,
    )
    out = sh.normals(face) * side
    foam(
        design, face[lip], out[lip] * 0.7 + ahead, high * (0.03 + 0.28 * (grow[lip] - 0.62)), 0.9 * side, rng
    )
    spray(design, back[80] + [side * 0.16 * wide, 0], 0.22 * high, int(wide / 12), rng)


def spray(design: sh.Drawing, centre: Point, spread: float, count: int, rng: Rng) -> None:
    """Drops thrown off a crest."""
    for p in rng.normal(0, 1, (count, 2)) * spread + centre:
        design.fill(sh.circle(p, rng.uniform(2.5, 7), 14), "bare", 0.0, 2)


def add_swell(
    design: sh.Drawing, base: float, high: float, long: float, suit: Sequence[str], rng: Rng
) -> None:
    """A low sea across the whole width: lines that follow its back, and a lathered top."""
    x = np.linspace(-20, BOARD + 20, 160)
    phase = rng.random() * 6
    back = base - high * (0.6 * np.sin(x / long + phase) + 0.4 * np.sin(x / long * 2.1 + phase))
    for i, ink in enumerate(suit):
        top = back + 19 * i * (1 + 0.25 * np.sin(x / 90 + i))
        outline = np.column_stack([np.append(x, x[::-1]), np.append(top, np.full(160, 1100.0))])
        design.fill(outline, ink, 0.95, 2.6)


def add_scales(design: sh.Drawing, base: float, radius: float, rng: Rng) -> None:
    """Seigaiha: overlapping scales of rings from ``base`` down to the foot of the picture."""
    suits = [
        ("prussian", "bare", "blue", "bare", "vermilion"),
        ("prussian", "pale", "bare", "prussian", "ochre"),
        ("blue", "bare", "prussian", "bare", "rose"),
        ("prussian", "ochre", "bare", "vermilion", "bare"),
    ]
    phase = rng.random() * 6
    for row in range(int((1150 - base) / (radius / 2))):
        for col in range(-1, int(BOARD / radius / 2) + 2):
            cx = (col + 0.5 * (row % 2)) * 2 * radius
            cy = base + row * radius / 2 + 22 * np.sin(cx / 170 + phase)
            suit = suits[int(rng.choice(4, p=[0.4, 0.2, 0.25, 0.15]))]
            for i, ink in enumerate(suit):
                ring = sh.circle((cx, cy), radius * (1 - i / 5.0) - (i == 0), 40)
                design.fill(ring, ink, 1 - 0.1 * i, 2.6 if i == 0 else 1.8)


def add_boat(design: sh.Drawing, x: float, y: float, length: float, tilt: float, rng: Rng) -> None:
    """A long skiff with bowed rowers."""
    t = np.linspace(-1, 1, 30)
    turn = np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])

    def place(px: Array, py: Array) -> Array:
        return np.asarray(np.column_stack([px, py]) * length / 2 @ turn + (x, y))

    for u in np.linspace(-0.55, 0.5, 6):
        centre = place(np.array([u]), np.array([-0.10 - 0.1 * u * u]))[0]
        design.fill(sh.circle(centre, 0.055 * length, 20), "vermilion", 1, 2.6)
        head = centre + np.array([4, -0.06 * length])
        design.fill(sh.circle(head, 0.028 * length, 16), "bare", 0, 2.4)
    hull = np.concatenate([place(t, -0.22 * t**4), place(t[::-1], 0.13 - 0.33 * t**4)])
    design.fill(hull, "ochre", 1, 3.4)
    design.line(place(t[3:-3], (0.05 - 0.26 * t**4)[3:-3]), 2.4)


def add_birds(design: sh.Drawing, rng: Rng) -> None:
    """Plovers that wheel before the wave."""
    for p in [*rng.uniform((400, 400), (640, 560), (9, 2)).tolist(), [900, 470], [40, 350]]:
        lean, size = rng.uniform(-0.5, 0.5), rng.uniform(15, 26)
        limbs = [
            sh.hook(p, turn + lean, size * reach, curl, 7)
            for turn, reach, curl in ((-0.5, 1.0, 1.0), (3.6, 1.0, -1.0), (1.7, 0.8, 0.3))
        ]
        outlines = [sh.ribbon(path, size * np.linspace(0.42, 0.03, 7)) for path in limbs]
        design.cluster(outlines, "bare" if rng.random() < 0.6 else "prussian", 1.0, 2.2)


def compose(side: int, rng: Rng) -> sh.Drawing:
    """Cut the blocks, from the sky forward."""
    design = sh.Drawing.blank(side, BOARD, list(INKS))
    add_sky(design, rng)
    add_sun(design, rng.uniform((770, 190), (800, 220)), 118)
    for x, y, length, ink in [
        (520, 60, 260, "bare"),
        (700, 330, 330, "blue"),
        (10, 40, 220, "bare"),
        (-30, 200, 200, "ochre"),
        (250, 8, 200, "rose"),
        (930, 30, 160, "ochre"),
        (-20, 400, 90, "bare"),
    ]:
        add_cloud(design, x + rng.uniform(-30, 30), y, length, ink, rng)
    add_mountain(design, (rng.uniform(640, 680), 470), 190, 120, rng)
    add_birds(design, rng)
    add_swell(design, 610, 16, 70, ["pale", "prussian", "blue", "bare", "prussian", "pale"], rng)
    for x in (480, 800):
        add_wave(design, x + rng.uniform(-30, 30), 745, 150, 160, rng.random() < 0.5, 7, rng)
    add_wave(design, 1090, 800, 420, 360, True, 19, rng)
    add_swell(
        design,
        735,
        30,
        110,
        ["bare", "blue", "prussian", "pale", "vermilion", "prussian", "bare", "blue"],
        rng,
    )
    add_boat(design, 690, 735, 250, -0.16, rng)
    add_wave(design, 30, 880, 640, 770, False, 36, rng)
    add_swell(design, 880, 26, 120, ["bare", "prussian", "pale", "blue", "ochre", "prussian"], rng)
    for x in (560, 800, 980):
        add_wave(design, x + rng.uniform(-30, 30), 940, 170, 170, rng.random() < 0.5, 9, rng)
    add_boat(design, 300, 868, 230, 0.14, rng)
    add_scales(design, 965, 62, rng)
    return design


def press(design: sh.Drawing, rng: Rng) -> Array:
    """Print the blocks one by one on laid paper."""
    side, k = design.label.width, design.k
    fibre = 0.6 * pr.grain(side, 1.2 * k, rng) + 0.4 * pr.soft_noise(side, 9 * k, rng)
    paper = PAPER * (1 + 0.025 * fibre)[..., None]
    x, y = (at / k for at in pr.grid(side))
    wood = np.sin(y / 2.1 + 5 * pr.soft_noise(side, 190 * k, rng) + 0.6 * np.sin(x / 130))
    thin = 0.07 * wood + 0.07 * fibre + 0.06 * pr.soft_noise(side, 60 * k, rng)
    ink, amount = np.asarray(design.label), np.asarray(design.amount) / np.float32(255)
    for code, name in enumerate(INKS):
        if name == "bare":
            continue
        strength = np.where(ink == code, amount, 0) * np.clip(1 - np.abs(thin), 0, 1)
        shift = np.rint(rng.uniform(-2.4, 2.4, 2) * k).astype(int)
        strength = ndimage.shift(strength, shift, order=0, mode="nearest")[..., None]
        paper *= np.maximum(pr.hex_rgb(INKS[name]), 0.04) ** strength
    lines = np.asarray(design.key) / np.float32(255) * np.clip(1 - 0.1 * np.abs(fibre), 0, 1)
    return paper * (1 - lines[..., None] * (1 - KEY))


def paint(size: int = 1024, seed: int = 5) -> Image.Image:
    """Print the waves at ``size`` pixels square; the same arguments give the same pixels."""
    rng = np.random.default_rng(seed)
    return pr.to_image(press(compose(2 * size, rng), rng), size)


if __name__ == "__main__":
    run(paint, __doc__)
