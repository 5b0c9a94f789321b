"""A low sun over a river and a park, in dots of pure colour, in the spirit of Seurat and Signac.

A plan gives each point a colour family, a tone and a direction.  No paint is mixed:
every dot has the family of its place, a kindred one or the complement, and the eye
does the rest.  Tones are pushed apart where light meets shade.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy import ndimage

from styles.gallery.painters import primitives as pr
from styles.gallery.painters import run
from styles.gallery.painters import shapes as sh
from styles.gallery.painters import strokes as st
from styles.gallery.painters.primitives import Array, Rng

BOARD = 1024  # side of the plan, in units; one unit is one pixel at size 1024
KIN = st.kindred(
    {
        "navy": "violet",
        "ultramarine": "turquoise",
        "turquoise": "ultramarine",
        "emerald": "sage",
        "sage": "gold",
        "gold": "orange",
        "orange": "gold",
        "vermilion": "rose",
        "rose": "violet",
        "violet": "ultramarine",
        "ivory": "gold",
    }
)
COMPLEMENT = st.kindred(
    {
        "navy": "orange",
        "ultramarine": "orange",
        "turquoise": "vermilion",
        "emerald": "rose",
        "sage": "violet",
        "gold": "violet",
        "orange": "ultramarine",
        "vermilion": "turquoise",
        "rose": "emerald",
        "violet": "gold",
        "ivory": "turquoise",
    }
)
SUN, HORIZON = (610.0, 265.0), 455


def add_sky(plan: st.Plan, x: Array, y: Array, rng: Rng) -> None:
    """Rings of light about the sun, gold to blue, with banks of rosy cloud."""
    dx, dy = x - SUN[0], y - SUN[1]
    r = np.hypot(dx, 1.15 * dy) + 9 * pr.soft_noise(BOARD, 90, rng)
    angle = np.arctan2(dy, dx) + np.pi / 2
    rings = [
        (2000, "navy", 0.7),
        (640, "ultramarine", 0.55),
        (540, "turquoise", 0.45),
        (470, "ultramarine", 0.75),
        (405, "violet", 0.8),
        (350, "turquoise", 0.8),
        (295, "rose", 0.75),
        (245, "ivory", 0.7),
        (205, "orange", 0.7),
        (160, "gold", 0.7),
        (118, "orange", 0.5),
        (92, "gold", 0.85),
        (66, "vermilion", 0.55),
        (54, "ivory", 0.9),
    ]
    for radius, family, tone in rings:
        plan.add(r < radius, family, tone, angle)
    cloud = pr.soft_noise(BOARD, 150, rng) + 0.9 * np.sin(y / 34 + pr.soft_noise(BOARD, 200, rng))
    cloud = cloud - 1.5 * np.exp(-((r / 130) ** 2)) - (y > 400)
    for low, family, tone in [(0.95, "violet", 0.75), (1.2, "rose", 0.8), (1.5, "ivory", 0.6)]:
        plan.add((cloud > low) & (y < HORIZON), family, tone, 0.0)


def add_bank(plan: st.Plan, x: Array, y: Array, rng: Rng) -> None:
    """The far side: blue hills, trees, and houses that catch the light."""
    for top, high, family, tone in [(400, 26, "violet", 0.55), (425, 16, "ultramarine", 0.6)]:
        ridge = top + high * pr.soft_noise(BOARD, 130, rng)[0] + 0 * y
        plan.add((y > ridge) & (y < HORIZON), family, tone, 0.0)
        plan.add((y > ridge) & (y < ridge + 14) & (y < HORIZON), "rose", 0.75, 0.0)
    crown = 432 - 9 * np.abs(np.sin(x / 31 + pr.soft_noise(BOARD, 90, rng)[0]))
    plan.add((y > crown) & (y < HORIZON + 6), "emerald", 0.3, np.pi / 2)
    plan.add((y > crown) & (y < crown + 11) & (y < HORIZON), "gold", 0.4, 0.0)
    for left in np.arange(330, 1000, 74) + rng.uniform(-16, 16, 10):
        wide, tall = rng.uniform(30, 44), rng.uniform(22, 34)
        house = (x > left) & (x < left + wide) & (y > HORIZON - tall) & (y < HORIZON)
        plan.add(house, "ivory", 0.7, np.pi / 2)
        plan.add(house & (x > left + 0.6 * wide), "violet", 0.6, np.pi / 2)
        roof = np.abs(x - left - wide / 2) < (y - HORIZON + tall + 20) * 1.1
        plan.add(roof & (y < HORIZON - tall) & (y > HORIZON - tall - 20), "vermilion", 0.5, 0.0)


def add_river(plan: st.Plan, x: Array, y: Array, rng: Rng) -> None:
    """Flat ripples that mirror the sky, the bank and a broken path of sunlight."""
    water = y > HORIZON
    depth = np.clip((y - HORIZON) / 330, 0, 1)
    far = np.arange(BOARD) // 4  # noise drawn out sideways
    ripple = np.sin((y - HORIZON) / (6 + 10 * depth) + 2 * pr.soft_noise(BOARD, 60, rng)[:, far])
    swell = pr.soft_noise(BOARD, 36, rng)[:, far]
    plan.add(water, "ultramarine", 0.5 + 0.15 * ripple, 0.0)
    plan.add(water & (ripple > 0.3), "turquoise", 0.55, 0.0)
    plan.add(water & (ripple < -0.55), "navy", 0.6, 0.0)
    plan.add(water & (swell > 0.9) & (ripple > -0.2), "rose", 0.75, 0.0)
    plan.add(water & (y < HORIZON + 46) & (ripple < 0.2), "emerald", 0.3, 0.0)
    plan.add(water & (y < HORIZON + 70) & (ripple < -0.4), "violet", 0.4, 0.0)
    path = np.abs(x - SUN[0] + 12 * ripple) / (46 + 85 * depth)
    for wide, family, tone in [(1.0, "rose", 0.7), (0.75, "orange", 0.6), (0.5, "gold", 0.75)]:
        plan.add(water & (path < wide) & (ripple > path * 1.3 - 0.9), family, tone, 0.0)
    plan.add(water & (path < 0.35) & (ripple > 0.2), "ivory", 0.9, 0.0)


def add_sail(
    plan: st.Plan, at: tuple[float, float], high: float, suit: tuple[str, str], x: Array, y: Array, rng: Rng
) -> None:
    """A sailing boat and its reflection."""
    left, base = at
    for flip, dim in ((-0.8, 0.75), (1.0, 1.0)):
        up = (base - y) * flip / high
        lean = x - left - 5 * np.sin(y / 7) * (flip < 0)
        for sense, family in ((1, suit[0]), (-1, suit[1])):
            reach = 0.42 * high * (1 - up) * (1 if sense > 0 else 0.7)
            sail = (up > 0.08) & (up < 1) & (lean * sense > 0) & (lean * sense < reach)
            plan.add(sail, family, 0.8 * dim, np.pi / 2 if flip > 0 else 0.0)
        hull = (up > -0.08) & (up < 0.08) & (np.abs(lean) < 0.46 * high - up * 40)
        plan.add(hull, "navy", 0.2 * dim, 0.0)


def add_lawn(plan: st.Plan, x: Array, y: Array, rng: Rng) -> None:
    """A bank of grass in bars of light and long blue shadow, sown with flowers."""
    edge = 770 - 0.16 * x + 26 * np.sin(x / 170) + 8 * pr.soft_noise(BOARD, 60, rng)
    lawn = y > edge
    bars = np.sin((y - edge) / 27 + x / 300 + 0.9 * pr.soft_noise(BOARD, 160, rng))
    tuft = 0.12 * pr.soft_noise(BOARD, 26, rng)
    plan.add(lawn, "sage", 0.7 + tuft, np.pi / 2 + 0.4)
    plan.add(lawn & (bars > 0.45), "gold", 0.6 + tuft, 0.2)
    plan.add(lawn & (bars < -0.15), "emerald", 0.35 + tuft, np.pi / 2 - 0.4)
    plan.add(lawn & (bars < -0.55), "ultramarine", 0.35 + tuft, 0.2)
    plan.add(lawn & (bars < -0.8), "violet", 0.3 + tuft, 0.2)
    plan.add(lawn & (y < edge + 12), "orange", 0.45, -0.1)
    for family in ("vermilion", "rose", "ivory", "orange"):
        spots = rng.uniform((0, 700), (1024, 1024), (40, 2))
        blooms = sh.mask([sh.circle(p, rng.uniform(5, 12), 16) for p in spots], BOARD)
        plan.add(blooms & lawn, family, 0.6, 0.0)
    plan.in_front(lawn)


def add_tree(
    plan: st.Plan,
    root: tuple[float, float],
    crowns: Sequence[tuple[float, float, float]],
    x: Array,
    y: Array,
    rng: Rng,
) -> None:
    """A trunk and masses of leaves, gold towards the sun and blue away from it."""
    rx, ry = root
    top = min(c[1] for c in crowns)
    sway = 14 * np.sin(y / 90 + rng.random() * 6)
    wide = 15 + 26 * np.exp((y - ry) / 60) + (y - top) / 60
    trunk = (np.abs(x - rx - sway) < wide) & (y < ry) & (y > top)
    plan.add(trunk, "violet", 0.3, np.pi / 2)
    toward = np.sign(SUN[0] - rx)
    plan.add(trunk & ((x - rx - sway) * toward > 0.35 * wide), "orange", 0.5, np.pi / 2)
    plan.in_front(trunk)
    ragged = 13 * pr.soft_noise(BOARD, 34, rng) + 8 * pr.soft_noise(BOARD, 14, rng)
    for cx, cy, radius in crowns:
        r = np.hypot(x - cx, (y - cy) * 1.25) + ragged
        lit = ((x - cx) * toward - 0.9 * (y - cy)) / radius + 0.35 * pr.soft_noise(BOARD, 40, rng)
        angle = np.arctan2(y - cy, x - cx) + np.pi / 2
        leaf = r < radius
        plan.add(leaf, "emerald", 0.3 + 0.15 * lit, angle)
        for low, family, tone in [(0.25, "sage", 0.6), (0.7, "gold", 0.6), (1.05, "orange", 0.6)]:
            plan.add(leaf & (lit > low), family, tone, angle)
        plan.add(leaf & (lit < -0.4), "ultramarine", 0.2, angle)
        plan.add(leaf & (lit < -0.8), "violet", 0.2, angle)
        plan.in_front(leaf)


def add_figure(
    plan: st.Plan,
    foot: tuple[float, float],
    high: float,
    suit: tuple[str, ...],
    parasol: bool,
    x: Array,
    y: Array,
) -> None:
    """A walker in profile: skirt, bodice, head, hat, and perhaps a parasol; shadow at the foot."""

    def shape(points: list[tuple[float, float]]) -> Array:
        return sh.mask([sh.loop(points) * [high, -high] + foot], BOARD)

    skirt, bodice, hat, shade = suit
    cast = shape([(0, 0.02), (-0.5, -0.06), (-1.0, -0.16), (-0.5, -0.12), (0.1, -0.05)])
    plan.add(cast, "navy", 0.4, 0.3)
    gown = [(-0.24, 0), (-0.22, 0.25), (-0.07, 0.5), (0.07, 0.52), (0.12, 0.25), (0.17, 0)]
    waist = [(-0.07, 0.5), (-0.09, 0.68), (0, 0.76), (0.08, 0.68), (0.06, 0.5)]
    face = [(-0.06, 0.81), (0, 0.88), (0.07, 0.81), (0, 0.72)]
    brim = [(-0.1, 0.86), (0, 0.95), (0.1, 0.85), (0, 0.84)]
    parts = [
        (shape(gown), skirt, 0.35),
        (shape(waist), bodice, 0.45),
        (shape(face), "blush", 0.9),
        (shape(brim), hat, 0.4),
    ]
    if parasol:
        level = np.abs(foot[1] - 0.8 * high - y)
        stick = (np.abs(x - foot[0] - 0.13 * high) < 4) & (level < 0.26 * high)
        dome = [
            (-0.22, 0.98),
            (-0.1, 1.14),
            (0.13, 1.22),
            (0.36, 1.12),
            (0.46, 0.95),
            (0.3, 1.0),
            (0.12, 0.97),
            (-0.06, 1.01),
        ]
        parts += [(stick, "orange", 0.2), (shape(dome), shade, 0.5)]
    for mask, family, tone in parts:
        plan.add(mask, family, tone, np.pi / 2)
        rim = mask & ~np.roll(mask, -round(0.05 * high), axis=1)
        plan.add(rim, "gold", 0.7, np.pi / 2)
        fold = mask & (np.sin((x - foot[0]) / (0.022 * high) + y / (0.3 * high)) > 0.45)
        plan.add(fold, "ultramarine" if family in ("navy", "violet") else family, 0.5, np.pi / 2)
        dark = mask & ~np.roll(mask, round(0.05 * high), axis=1)
        plan.add(dark, "navy", 0.25, np.pi / 2)
        plan.in_front(mask)


def compose(rng: Rng) -> st.Plan:
    """Plan the picture, from the sky forward."""
    plan = st.Plan(BOARD)
    x, y = pr.grid(BOARD)
    add_sky(plan, x, y, rng)
    add_bank(plan, x, y, rng)
    add_river(plan, x, y, rng)
    for at, high, suit in [
        ((195, 520), 84, ("ivory", "orange")),
        ((515, 590), 170, ("rose", "ivory")),
        ((860, 505), 80, ("vermilion", "ivory")),
    ]:
        add_sail(plan, (at[0] + rng.uniform(-25, 25), at[1]), high, suit, x, y, rng)
    add_lawn(plan, x, y, rng)
    right = [(980, 120, 150), (1010, 290, 120), (900, 50, 95)]
    left = [(60, 60, 190), (250, 70, 130), (40, 270, 150), (190, 210, 120)]
    add_tree(plan, (955, 760), right, x, y, rng)
    add_tree(plan, (120, 830), left, x, y, rng)
    walkers = [
        ((760, 870), 330, ("violet", "vermilion", "navy", "orange"), True),
        ((630, 910), 190, ("ivory", "rose", "vermilion", ""), False),
        ((330, 985), 430, ("navy", "rose", "violet", "vermilion"), True),
    ]
    for (fx, fy), high, dress, parasol in walkers:
        add_figure(plan, (fx + rng.uniform(-20, 20), fy), high, dress, parasol, x, y)
    return plan


def dots(plan: st.Plan, rng: Rng) -> tuple[Array, Array]:
    """All dots and their colours: a ground of broad dabs, then ever finer points."""
    edge = plan.tone - ndimage.gaussian_filter(plan.tone, 22)
    tone = plan.tone + np.clip(edge, -0.2, 0.2)
    layers = [(19, 20, 12, 0.1), (11, 11.5, 9, 0.36), (10.5, 9.5, 8, 0.36), (12, 7, 6, 0.42)]
    bend = st.bends(plan.angle)
    rows, colours = [], []
    for spacing, half_length, half_width, stray in layers:
        points = st.scatter(spacing, BOARD, rng)
        points = points[np.argsort(st.look_up(plan.rank, points), kind="stable")]
        rows.append(st.along_flow(points, plan.angle, bend, half_length, half_width, rng))
        own = st.look_up(plan.family, points)
        shade = st.look_up(tone, points) + rng.normal(0, 0.13, len(points))
        dice = rng.random(len(points))
        family = np.where(dice < stray, KIN[own], own)
        family = np.where(dice < 0.33 * stray, COMPLEMENT[own], family)
        colours.append(st.tints(family, 0.35 * shade + 0.65 * st.matched(family, own, shade)))
    return np.concatenate(rows), np.concatenate(colours)


def paint(size: int = 1024, seed: int = 4) -> Image.Image:
    """Paint the river at ``size`` pixels square; the same arguments give the same pixels."""
    rng = np.random.default_rng(seed)
    strokes, colours = dots(compose(rng), rng)
    side, k = 2 * size, 2 * size / BOARD
    owner = st.cover(strokes, side, BOARD, rng, blunt=False)
    u, v = st.frames(owner, strokes, BOARD)
    hair = st.bristle(owner, u, v, rng)
    dome = 2.2 * np.sqrt(np.clip(1.05 - u * u - v * v, 0, 1)) + 0.25 * hair
    step = rng.uniform(0, 1.2, len(strokes)).astype(np.float32)[owner]
    factor, glint = st.impasto(dome + step + 0.2 * pr.grain(side, k, rng), k)
    colour = colours[owner] * (1 + 0.04 * hair[..., None])
    return pr.to_image(colour * factor[..., None] + 0.6 * glint[..., None], size)


if __name__ == "__main__":
    run(paint, __doc__)
