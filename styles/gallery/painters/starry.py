"""A night of whirling stars over a village, in thick strokes, in the spirit of Van Gogh.

A plan gives each point of the board a colour family, a tone and the angle of the
brush; strokes of several sizes then follow the angle, big ones first, and the
paint is lit from the upper left.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy import ndimage

from styles.gallery.painters import primitives as pr
from styles.gallery.painters import run
from styles.gallery.painters import strokes as st
from styles.gallery.painters.primitives import Array, Rng

Light = tuple[float, float, float, float]  # x, y, reach, and sense of the turn
BOARD = 1024  # side of the plan, in units; one unit is one pixel at size 1024
KIN = st.kindred(
    {
        "navy": "ultramarine",
        "ultramarine": "turquoise",
        "turquoise": "emerald",
        "ivory": "gold",
        "gold": "ivory",
        "orange": "vermilion",
        "emerald": "turquoise",
        "violet": "ultramarine",
        "vermilion": "orange",
        "rose": "violet",
    }
)  # families that stray strokes are picked from


def streams(lights: list[Light], x: Array, y: Array, rng: Rng) -> Array:
    """Brush angle of the sky: drift to the right, two whirls, rings about every light."""
    drift = 0.25 * np.sin(x / 120 + rng.random() * 6) + 0.3 * pr.soft_noise(BOARD, 260, rng)
    tx, ty = np.cos(drift), np.sin(drift)
    for cx, cy, reach, sense in lights:
        dx, dy = x - cx, y - cy
        r = np.hypot(dx, dy) + 1
        pull = 9 * np.exp(-((r / reach) ** 2))
        draw = 0.32 * pull * float(reach > 100)
        tx, ty = tx - (sense * pull * dy + draw * dx) / r, ty + (sense * pull * dx - draw * dy) / r
    return np.arctan2(ty, tx)


def smear(angle: Array, scale: float, reach: int, rng: Rng) -> Array:
    """Noise drawn out along ``angle``: bands that follow the stream, deviation 1."""
    small = angle[::4, ::4]
    seed = pr.soft_noise(len(small), scale / 4, rng)
    total, n = np.zeros_like(seed), len(small)
    for sense in (1, -1):
        px, py = pr.grid(n)
        for _ in range(reach // 4):
            at = [py - 0.5, px - 0.5]
            total += ndimage.map_coordinates(seed, at, order=1, mode="reflect")
            ix, iy = (np.clip(p.astype(int), 0, n - 1) for p in (px, py))
            px, py = px + sense * np.cos(small[iy, ix]), py + sense * np.sin(small[iy, ix])
    total = ndimage.zoom(total, BOARD / n, order=1, mode="nearest", grid_mode=True)
    return (total - total.mean()) / total.std()


def add_sky(plan: st.Plan, lights: list[Light], x: Array, y: Array, rng: Rng) -> None:
    """Bands of blue with crests of light, drawn out along the stream."""
    angle = streams(lights, x, y, rng)
    band = smear(angle, 34, 150, rng)
    hue = smear(angle, 60, 110, rng)
    everywhere = np.ones_like(x, bool)
    plan.add(everywhere, "ultramarine", 0.45 + 0.3 * band, angle)
    streaks: list[tuple[Array, str, float | Array]] = [
        (band < -0.55, "navy", 0.75 + 0.3 * band),
        (band > 0.75, "turquoise", 0.3 + 0.25 * band),
        ((hue > 0.7) & (band < 0.5), "turquoise", 0.35 + 0.2 * band),
        ((hue < -1.0) & (band < 0.2), "violet", 0.4 + 0.2 * band),
        ((hue < -0.9) & (band > 0.3), "emerald", 0.5 + 0.2 * band),
        (band > 1.25, "ivory", 0.1 + 0.4 * band),
        ((band > 1.25) & (hue > 0.5), "gold", 0.75),
    ]
    for mask, family, tone in streaks:
        plan.add(mask, family, tone, angle)


def add_light(
    plan: st.Plan, cx: float, cy: float, core: float, reach: float, x: Array, y: Array, rng: Rng
) -> None:
    """A star: a white heart in rings of gold, then broken rings that fade into the sky."""
    left, top = (max(0, int(c - 1.3 * reach)) for c in (cx, cy))
    view = np.s_[top : int(cy + 1.3 * reach), left : int(cx + 1.3 * reach)]
    plan, dx, dy = plan.window(view), x[view] - cx, y[view] - cy
    r = np.hypot(dx, dy) + 3 * pr.soft_noise(BOARD, 40, rng)[view]
    angle = np.arctan2(dy, dx) + np.pi / 2
    step = core * 0.55
    halo = ["gold", "turquoise", "ivory", "emerald", "gold", "turquoise", "ultramarine"]
    rings = np.arange(core, reach, step)[::-1]
    patches = pr.soft_noise(BOARD, 30, rng)[view]
    for i, radius in enumerate(rings):
        fade = (radius - core) / (reach - core)
        broken = np.roll(patches, 97 * i, 0) > 2.6 * fade - 2.0
        plan.add(
            (r < radius + step) & (r > radius) & broken, halo[(len(rings) - i) % 7], 0.85 - 0.45 * fade, angle
        )
    for radius, family, tone in [(1, "orange", 0.5), (0.8, "gold", 0.7), (0.5, "ivory", 0.95)]:
        plan.add(r < core * radius, family, tone, angle)


def add_moon(plan: st.Plan, cx: float, cy: float, x: Array, y: Array, rng: Rng) -> None:
    """A crescent within a wide golden glow."""
    add_light(plan, cx, cy, 66, 150, x, y, rng)
    r = np.hypot(x - cx, y - cy)
    angle = np.arctan2(y - cy, x - cx) + np.pi / 2
    plan.add(r < 66, "gold", 0.8, angle)
    horn = (r < 60) & (np.hypot(x - cx + 32, y - cy + 14) > 48)
    plan.add(horn, "orange", 0.5, angle)
    plan.add(horn & (r < 46), "vermilion", 0.7, angle)


def add_hills(plan: st.Plan, x: Array, y: Array, rng: Rng) -> None:
    """Rolling ridges, the farther the bluer, each combed along its back."""
    ridges = [
        (640, 46, 210, "ultramarine", "turquoise"),
        (700, 40, 150, "violet", "rose"),
        (745, 34, 180, "navy", "emerald"),
    ]
    for base, high, long, dark, lit in ridges:
        wave = np.sin(x / long * 2 + rng.random() * 6) + 0.5 * np.sin(x / long * 4.3 + rng.random())
        top = base - high * wave + 6 * pr.soft_noise(BOARD, 60, rng)
        slope = np.arctan(np.gradient(ndimage.gaussian_filter(top, 8), axis=1))
        comb = np.sin((y - top) / 8 + 1.5 * pr.soft_noise(BOARD, 70, rng))
        body = y > top
        plan.add(body, dark, 0.5 + 0.2 * comb, slope)
        plan.add(body & (comb > 0.35), lit, 0.4 + 0.15 * comb, slope)
        plan.add(body & (y < top + 11), "navy", 0.1, slope)
        plan.add(body & (y < top + 24) & (y > top + 11), "gold", 0.6, slope)
        plan.in_front(body)


def add_fields(plan: st.Plan, x: Array, y: Array, rng: Rng) -> None:
    """Strips of wheat, grass and poppy that roll towards the viewer."""
    roll = y - 845 + 34 * np.sin(x / 140 + rng.random() * 6) + 22 * pr.soft_noise(BOARD, 230, rng)
    slope = np.arctan(-np.gradient(ndimage.gaussian_filter(roll, 6), axis=1))
    suits = [
        "navy",
        "gold",
        "emerald",
        "orange",
        "ivory",
        "ultramarine",
        "gold",
        "emerald",
        "vermilion",
        "navy",
        "gold",
        "turquoise",
    ]
    bands = np.sqrt(np.maximum(roll, 0)) * 0.95 + 0.25 * pr.soft_noise(BOARD, 90, rng)
    for i in range(14):
        mask = (roll > 0) & (bands.astype(int) == i)
        plan.add(mask, suits[i % len(suits)], 0.5 + 0.12 * pr.soft_noise(BOARD, 40, rng), slope)
    plan.in_front(roll > 0)


def add_house(
    plan: st.Plan, left: float, base: float, wide: float, high: float, suit: Sequence[str], x: Array, y: Array
) -> None:
    """A house front, roof, lit windows and dark outlines; ``suit`` is wall and roof."""
    wall, roof = suit
    middle, eaves = left + wide / 2, base - high
    front = (np.abs(x - middle) < wide / 2) & (y < base) & (y > eaves)
    rise = np.abs(x - middle) * 1.25 - wide * 0.62
    gable = (y < eaves) & (y > eaves + rise) & (rise < 4)
    plan.add(front, wall, 0.35, np.pi / 2)
    plan.add(gable, roof, 0.45, np.arctan(1.25) * np.sign(x - middle))
    for at in (-0.2, 0.2):
        pane = (np.abs(x - middle - at * wide) < 10) & (np.abs(y - base + 0.55 * high) < 13)
        plan.add(pane, "gold", 0.85, np.pi / 2)
    whole = front | gable
    outline = whole & ~ndimage.minimum_filter(whole, 15)
    plan.add(outline, "navy", 0.05, plan.angle)
    plan.in_front(whole)


def add_village(plan: st.Plan, x: Array, y: Array, rng: Rng) -> None:
    """A row of houses about a church whose spire breaks the skyline."""
    suits = [
        ("ultramarine", "vermilion"),
        ("violet", "orange"),
        ("emerald", "rose"),
        ("navy", "ivory"),
        ("turquoise", "vermilion"),
        ("ultramarine", "orange"),
    ]
    spire_x = rng.uniform(600, 650)
    spire = (y > 560) & (y < 790) & (np.abs(x - spire_x) < (y - 555) / 8.5)
    plan.add(spire, "navy", 0.2, np.pi / 2)
    plan.add(spire & (x < spire_x - 4), "ultramarine", 0.7, np.pi / 2)
    plan.in_front(spire)
    left = 330.0
    while left < 1000:
        wide, high = rng.uniform(92, 130), rng.uniform(52, 78)
        base = rng.uniform(842, 895)
        add_house(plan, left, base, wide, high, suits[int(rng.integers(len(suits)))], x, y)
        left += wide * rng.uniform(1.0, 1.35)


def add_cypress(plan: st.Plan, root: float, top: float, wide: float, x: Array, y: Array, rng: Rng) -> None:
    """A dark flame of a tree: licks of green, blue and rust that twist upwards."""
    t = np.clip((y - top) / (1060 - top), 0, 1)
    sway = root + 26 * np.sin(t * 7 + rng.random() * 6) * t + 7 * pr.soft_noise(BOARD, 50, rng)
    half = wide * t**0.75 * (1 - 0.35 * t) + 10 * np.sin(y / 26 + rng.random() * 6) * np.sqrt(t)
    across = (x - sway) / np.maximum(half, 1)
    body = (np.abs(across) < 1) & (y > top)
    lick = np.sin(across * 4.5 + y / 80 + 1.1 * pr.soft_noise(BOARD, 90, rng))
    angle = np.pi / 2 + 0.35 * across + 0.3 * np.sin(y / 60 + 2 * across)
    plan.add(body, "emerald", 0.16, angle)
    for mask, family, tone in [
        (lick > 0.35, "emerald", 0.42),
        (lick > 0.93, "gold", 0.3),
        (lick < -0.3, "navy", 0.12),
        (lick < -0.93, "orange", 0.2),
        (np.abs(across) > 0.86, "navy", 0.0),
    ]:
        plan.add(body & mask, family, tone, angle)
    plan.in_front(body)


def compose(rng: Rng) -> st.Plan:
    """Plan the picture, from the sky forward."""
    plan = st.Plan(BOARD)
    x, y = pr.grid(BOARD)
    whirls = [
        (*rng.uniform((430, 280), (480, 320)).tolist(), 160.0, 1.0),
        (*rng.uniform((620, 400), (660, 440)).tolist(), 115.0, -1.0),
    ]
    spots = [
        (265, 90, 24),
        (90, 300, 26),
        (420, 75, 17),
        (610, 110, 27),
        (735, 250, 20),
        (940, 400, 27),
        (300, 500, 28),
        (800, 520, 19),
        (520, 545, 17),
        (45, 60, 18),
        (760, 60, 15),
    ]
    stars = [
        (sx + rng.uniform(-15, 15), sy + rng.uniform(-15, 15), 2.9 * core, 1.0) for sx, sy, core in spots
    ]
    moon_x, moon_y = rng.uniform((870, 130), (895, 150)).tolist()
    add_sky(plan, [*whirls, *stars, (moon_x, moon_y, 180.0, 1.0)], x, y, rng)
    for sx, sy, reach, _ in stars:
        add_light(plan, sx, sy, reach / 2.9, reach, x, y, rng)
    add_moon(plan, moon_x, moon_y, x, y, rng)
    add_hills(plan, x, y, rng)
    add_village(plan, x, y, rng)
    add_fields(plan, x, y, rng)
    add_cypress(plan, rng.uniform(150, 180), 150, 105, x, y, rng)
    add_cypress(plan, rng.uniform(265, 285), 420, 62, x, y, rng)
    return plan


def brush(plan: st.Plan, rng: Rng) -> tuple[Array, Array]:
    """All strokes and their colours, ordered by layer, then from far to near."""
    layers = [(17, 46, 13, 0.0), (12, 30, 8.5, 0.0), (9, 20, 6, 0.35)]
    bend = st.bends(plan.angle)
    rows, tints = [], []
    for spacing, half_length, half_width, skip in layers:
        points = st.scatter(spacing, BOARD, rng)
        points = points[rng.random(len(points)) >= skip]
        laid = st.along_flow(points, plan.angle, bend, half_length, half_width, rng)
        order = np.argsort(st.look_up(plan.rank, points), kind="stable")
        rows.append(laid[order])
        tone = st.look_up(plan.tone, laid[order]) + rng.normal(0, 0.13, len(laid))
        family = st.look_up(plan.family, laid[order])
        stray = rng.random(len(laid)) < 0.14
        tints.append(st.tints(np.where(stray, KIN[family], family), tone))
    return np.concatenate(rows), np.concatenate(tints)


def render(strokes: Array, tints: Array, side: int, rng: Rng) -> Array:
    """Lay the strokes and light their ridges."""
    k = side / BOARD
    owner = st.cover(strokes, side, BOARD, rng)
    u, v = st.frames(owner, strokes, BOARD)
    hair = st.bristle(owner, u, v, rng)
    second = np.roll(tints, 1, axis=0)[owner]
    load = 0.22 * pr.smoothstep(0.6, 2.2, hair)[..., None]
    colour = tints[owner] * (1 + 0.07 * hair[..., None]) * (1 - load) + second * load
    rim = pr.smoothstep(0.55, 0.95, np.abs(v)) + 0.8 * pr.smoothstep(0.6, 1.0, u)
    step = rng.uniform(0, 2.2, len(strokes)).astype(np.float32)[owner]
    height = 0.75 * hair + 1.2 * rim + step + 0.2 * pr.grain(side, k, rng)
    factor, glint = st.impasto(height, k)
    return colour * factor[..., None] + glint[..., None]


def paint(size: int = 1024, seed: int = 8) -> Image.Image:
    """Paint the night at ``size`` pixels square; the same arguments give the same pixels."""
    rng = np.random.default_rng(seed)
    plan = compose(rng)
    strokes, tints = brush(plan, rng)
    return pr.to_image(render(strokes, tints, 2 * size, rng), size)


if __name__ == "__main__":
    run(paint, __doc__)
