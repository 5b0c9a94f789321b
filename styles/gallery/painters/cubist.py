"""A guitar player at a table with bottle and fruit, broken into facets, after Picasso and Braque.

The scene is drawn once, plainly.  The canvas is then cut into facets, and each shows the
scene shifted, turned and scaled in its own way, with its own light, colours and texture;
larger planes lie over the facets like coloured glass.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from styles.gallery.painters import primitives as pr
from styles.gallery.painters import run
from styles.gallery.painters import shapes as sh
from styles.gallery.painters import strokes as st
from styles.gallery.painters.primitives import Array, Rng

BOARD = 1024  # side of the plan, in units; one unit is one pixel at size 1024

# For each part of the scene, the (family, tone, texture) that its facets choose from.
LOOKS: dict[str, list[tuple[str, float, str]]] = {
    "wall": [
        ("teal", 0.45, "brush"),
        ("ochre", 0.55, "stipple"),
        ("cream", 0.5, "hatch"),
        ("navy", 0.4, "hatch"),
        ("blush", 0.6, "brush"),
        ("teal", 0.8, "stipple"),
    ],
    "table": [
        ("teal", 0.45, "hatch"),
        ("sienna", 0.5, "wood"),
        ("umber", 0.55, "wood"),
        ("blush", 0.5, "hatch"),
        ("ochre", 0.6, "wood"),
        ("cream", 0.6, "stipple"),
    ],
    "coat": [
        ("navy", 0.4, "brush"),
        ("blush", 0.4, "hatch"),
        ("teal", 0.6, "hatch"),
        ("umber", 0.3, "brush"),
        ("sienna", 0.5, "stipple"),
        ("ultramarine", 0.4, "brush"),
    ],
    "sleeve": [("cream", 0.7, "hatch"), ("teal", 0.75, "brush"), ("blush", 0.7, "stipple")],
    "skin": [("blush", 0.75, "brush"), ("ochre", 0.8, "hatch"), ("cream", 0.7, "brush")],
    "shade": [("sienna", 0.5, "hatch"), ("teal", 0.5, "brush"), ("blush", 0.35, "stipple")],
    "hair": [("umber", 0.2, "wood"), ("navy", 0.2, "hatch"), ("sienna", 0.3, "wood")],
    "guitar": [
        ("ochre", 0.6, "wood"),
        ("sienna", 0.6, "wood"),
        ("teal", 0.7, "brush"),
        ("orange", 0.5, "wood"),
        ("cream", 0.6, "stipple"),
    ],
    "rib": [("umber", 0.3, "wood"), ("navy", 0.6, "hatch"), ("blush", 0.3, "hatch")],
    "dark": [("umber", 0.05, "brush"), ("navy", 0.1, "hatch"), ("teal", 0.05, "brush")],
    "glass": [("sage", 0.5, "brush"), ("teal", 0.6, "hatch"), ("emerald", 0.35, "brush")],
    "label": [("cream", 0.8, "news"), ("ochre", 0.85, "news"), ("blush", 0.9, "news")],
    "paper": [("cream", 0.75, "news"), ("cream", 0.9, "news"), ("ochre", 0.85, "news")],
    "red": [("vermilion", 0.5, "brush"), ("blush", 0.4, "hatch"), ("orange", 0.5, "stipple")],
    "green": [("sage", 0.6, "brush"), ("gold", 0.6, "stipple"), ("sage", 0.8, "hatch")],
}
PARTS = list(LOOKS)
TEXTURES = ["brush", "hatch", "stipple", "wood", "news"]


def box(x0: float, y0: float, x1: float, y1: float, lean: float = 0.0) -> Array:
    """A four-sided plane whose top is pushed aside by ``lean``."""
    return np.array([(x0 + lean, y0), (x1 + lean, y0), (x1, y1), (x0, y1)], float)


def draw_player(scene: sh.Drawing) -> None:
    """Head in two views at once, coat, sleeves."""
    coat = [(200, 1060), (230, 700), (330, 480), (470, 420), (620, 450), (740, 560), (800, 1060)]
    scene.fill(sh.spline(coat, 80), "coat", line=5)
    neck = sh.loop([(430, 470), (440, 360), (560, 360), (570, 470), (505, 520)])
    scene.fill(neck, "shade", line=4)
    head = sh.loop(
        [(390, 210), (430, 110), (530, 80), (610, 150), (615, 270), (560, 380), (490, 410), (410, 340)]
    )
    scene.fill(head, "skin", line=5)
    scene.fill(
        sh.spline(
            [
                (520, 85),
                (610, 150),
                (618, 270),
                (560, 380),
                (495, 408),
                (512, 320),
                (556, 290),
                (508, 210),
                (520, 85),
            ],
            80,
        ),
        "shade",
        line=4,
    )
    scene.fill(
        sh.loop([(370, 220), (400, 80), (530, 35), (640, 130), (600, 170), (500, 120), (430, 170)]),
        "hair",
        line=5,
    )
    for x, y, turn in ((450, 215, 0.1), (572, 222, -0.3)):
        c, s = np.cos(turn), np.sin(turn)
        lid = np.array([(-44, 0), (-14, -22), (22, -18), (44, 2), (8, 20), (-22, 16)])
        scene.fill(sh.loop(lid @ np.array([[c, s], [-s, c]]) + [x, y]), "paper", line=4)
        scene.fill(sh.circle((x + 2, y), 15), "dark")
        scene.line(sh.spline([(x - 50, y - 34), (x, y - 52), (x + 48, y - 30)], 20), 7)
    scene.line(sh.spline([(508, 205), (504, 250), (472, 300), (515, 312)], 30), 6)
    scene.fill(sh.loop([(455, 345), (490, 332), (535, 344), (492, 362)]), "red", line=3)
    for points in (
        [(240, 700), (300, 560), (400, 640), (560, 770), (520, 830), (330, 770)],
        [(700, 560), (770, 640), (760, 760), (680, 660), (640, 600)],
    ):
        scene.fill(sh.loop(points), "sleeve", line=5)
    for x, y in ((560, 780), (690, 600)):
        for i in range(4):
            finger = sh.hook((x - 10, y - 20 + 14 * i), 0.2, 66, 0.9)
            scene.fill(sh.ribbon(finger, 15), "skin", line=3)


def draw_guitar(scene: sh.Drawing) -> None:
    """A leaning guitar: body, rose, neck, frets and strings."""
    axis, away = np.array([0.78, -0.62]), np.array([0.62, 0.78])
    root = np.array([330.0, 880.0])

    def at(along: float | Array, across: float | Array) -> Array:
        return root + np.multiply.outer(along, axis) + np.multiply.outer(across, away)

    t = np.linspace(0, 1, 70)
    half = 150 * np.sqrt(np.sin(np.pi * t**0.8)) * (1 - 0.30 * np.exp(-(((t - 0.6) / 0.13) ** 2)))
    half = half * (1 - 0.25 * t)
    body = np.concatenate(
        [at(350 * t, 0 * t) + half[:, None] * away, (at(350 * t, 0 * t) - half[:, None] * away)[::-1]]
    )
    scene.fill(body + np.array([24, 26]), "rib", line=5)
    scene.fill(body, "guitar", line=6)
    scene.fill(sh.circle(at(230.0, 0.0), 58), "rib", line=3)
    scene.fill(sh.circle(at(230.0, 0.0), 43), "dark", line=3)
    scene.fill(sh.ribbon(at(np.linspace(60, 75, 2), np.zeros(2)), 110), "rib", line=3)
    scene.fill(sh.ribbon(at(np.linspace(280, 640, 9), np.zeros(9)), 44), "rib", line=4)
    for along in np.arange(300, 640, 26):
        scene.line(at(np.full(2, along), np.array([-22, 22])), 3)
    scene.fill(sh.ribbon(at(np.linspace(640, 740, 4), np.zeros(4)), 66), "dark", line=4)
    for across in np.linspace(-15, 15, 6):
        scene.line(at(np.array([66, 700]), np.array([across, across])), 2)


def draw_still_life(scene: sh.Drawing) -> None:
    """Table, newspaper, bottle, goblet and fruit."""
    scene.fill(box(-20, 800, 1060, 1060, 60), "table", line=5)
    scene.fill(box(40, 850, 300, 985, 70), "paper", line=4)
    bottle = [
        (780, 890),
        (772, 600),
        (800, 520),
        (836, 470),
        (838, 330),
        (900, 330),
        (902, 470),
        (938, 520),
        (966, 600),
        (958, 890),
    ]
    scene.fill(np.array(bottle, float), "glass", line=6)
    scene.fill(box(780, 660, 958, 800), "label", line=4)
    scene.fill(box(828, 300, 910, 350), "red", line=4)
    scene.fill(sh.ribbon(np.array([(818, 640), (816, 860)], float), 14), "paper")
    goblet = [
        (90, 640),
        (210, 640),
        (190, 740),
        (162, 770),
        (166, 850),
        (205, 872),
        (95, 872),
        (134, 850),
        (138, 770),
        (110, 740),
    ]
    scene.fill(np.array(goblet, float), "glass", line=5)
    scene.fill(box(102, 690, 198, 745), "red", line=3)
    for x, y, r, part in (
        (650, 905, 62, "red"),
        (560, 940, 56, "green"),
        (742, 860, 50, "green"),
        (470, 960, 50, "red"),
    ):
        scene.fill(sh.circle((x, y), r), part, line=5)
        scene.line(sh.hook((x, y - r), -1.3, 40, 0.8), 5)


def draw_scene(side: int) -> sh.Drawing:
    """The plain scene, from the wall forward."""
    scene = sh.Drawing.blank(side, BOARD, PARTS)
    scene.fill(box(640, -10, 1040, 330), "sleeve", line=6)
    for x in (735, 830, 925):
        scene.fill(box(x, 20, x + 80, 150), "glass", line=4)
        scene.fill(box(x, 170, x + 80, 300), "red" if x == 830 else "wall", line=4)
    for i in range(6):
        book = box(20 + 56 * i, 30 + 30 * i, 52 + 56 * i, 560, 20)
        scene.fill(book, ("green", "red", "rib")[i % 3], line=4)
    draw_player(scene)
    draw_still_life(scene)
    draw_guitar(scene)
    return scene


def facets(polygon: Array, rng: Rng) -> list[Array]:
    """Cut a polygon again and again across its length, finer towards the middle of the board."""
    x, y = polygon.T
    area = 0.5 * abs(x @ np.roll(y, 1) - y @ np.roll(x, 1))
    middle = polygon.mean(axis=0)
    if area < (98 + 0.10 * np.hypot(*(middle - 512))) ** 2 * rng.uniform(0.7, 1.8):
        return [polygon]
    spread = np.linalg.eigh(np.cov(polygon.T))[1][:, 1]
    keys = np.deg2rad([8, 38, 68, 98, 128, 158]) + rng.normal(0, 0.08, 6)
    across = np.arctan2(spread[0], -spread[1])
    turn = keys[np.argmax(np.abs(np.cos(keys - across)) + rng.uniform(0, 0.35, 6))]
    normal = np.array([-np.sin(turn), np.cos(turn)])
    point = middle + spread * rng.uniform(-0.15, 0.15) * np.sqrt(area)
    halves = [sh.clip(polygon, point, side * normal) for side in (1, -1)]
    return facets(halves[0], rng) + facets(halves[1], rng)


def label_map(polygons: list[Array], side: int) -> Array:
    """Index of the last polygon over each pixel; 0 is none, the first is 1."""
    image = Image.new("I", (side, side))
    for i, polygon in enumerate(polygons):
        points = [tuple(p) for p in polygon * side / BOARD]
        ImageDraw.Draw(image).polygon(points, fill=i + 1)
    return np.asarray(image)


def planes(rng: Rng) -> list[Array]:
    """Large wedges and round slices that lie over the facets."""
    out = []
    for i in range(15):
        centre, turn = rng.uniform(80, 944, 2), rng.uniform(0, 2 * np.pi)
        if i % 3:
            wedge = sh.hook(centre, turn, rng.uniform(180, 420), 0.0, 3)
            out.append(sh.ribbon(wedge, rng.permutation([20.0, 90.0, 170.0])))
        else:
            disc = sh.circle(centre, rng.uniform(70, 150))
            out.append(sh.clip(disc, centre, np.array([np.cos(turn), np.sin(turn)])))
    return out


def slope(index: Array, count: int, rng: Rng) -> tuple[Array, Array]:
    """Light across every patch of ``index``, -1..1 along its own direction, and that angle."""
    x, y = (at * np.float32(BOARD / len(index)) for at in pr.grid(len(index)))
    turn = rng.choice(np.deg2rad([20, 65, 110, 155, 200, 245, 290]), count + 1)
    turn = (turn + rng.normal(0, 0.12, count + 1)).astype(np.float32)
    along = np.cos(turn)[index] * x + np.sin(turn)[index] * y
    ids = np.arange(count + 1)
    low, high = (np.asarray(f(along, index, ids), np.float32) for f in (ndimage.minimum, ndimage.maximum))
    return 2 * (along - low[index]) / (high - low + 1)[index] - 1, turn[index]


def view(scene: sh.Drawing, index: Array, count: int, rng: Rng) -> tuple[Array, Array]:
    """Part and line strength on each pixel, as the facet there shows the scene."""
    side, k = len(index), len(index) / BOARD
    x, y = (at - side / 2 for at in pr.grid(side))
    turn = rng.normal(0, 0.07, count + 1).astype(np.float32)
    zoom = rng.uniform(0.88, 1.1, count + 1).astype(np.float32)
    shift = (rng.normal(0, 15, (2, count + 1)) * k).astype(np.float32)
    c, s = (np.cos(turn) * zoom)[index], (np.sin(turn) * zoom)[index]
    px = np.clip(c * x - s * y + shift[0][index] + side / 2, 0, side - 1).astype(np.int32)
    py = np.clip(s * x + c * y + shift[1][index] + side / 2, 0, side - 1).astype(np.int32)
    return np.asarray(scene.label)[py, px], np.asarray(scene.key)[py, px] / np.float32(255)


def texture_ink(kind: str, a: Array, b: Array, wobble: Array, cell: Array) -> Array:
    """Ink of a texture, 0..1, at place ``a`` along and ``b`` across in units."""
    if kind == "hatch":
        return ((b + 2 * wobble) % 11 < 3.6) & (np.sin(a / 23 + cell * 9) > -0.8)
    if kind == "stipple":
        row = np.floor(b / 14)
        u, v = (a + 7 * (row % 2) + 2 * wobble) % 14 - 7, b % 14 - 7
        return np.hypot(u, v) < 3.2 + 1.6 * np.sin(a / 60)
    if kind == "wood":
        rings = b + 13 * wobble + 5 * np.sin(a / 70)
        return np.sin(rings / 2.6) + 0.5 * np.sin(rings / 7.3) > 0.65
    if kind == "news":
        row, word = np.floor(b / 14), np.floor((a + 1.5 * wobble) / 7)
        dice = np.modf(np.abs(np.sin(row * 12.9 + word * 78.2)) * 437.5)[0]
        return (b % 14 > 7) & (dice > 0.3) & ((a + 1.5 * wobble) % 7 > 1.2)
    return np.zeros(a.shape, bool)


def paint_planes(scene: sh.Drawing, rng: Rng) -> tuple[Array, Array, Array]:
    """Colour, line strength and brush angle on each pixel, before the brush marks."""
    side = scene.label.width
    k = side / BOARD
    cut = facets(box(-5, -5, BOARD + 5, BOARD + 5), rng)
    over = planes(rng)
    index, veil = label_map(cut, side), label_map(over, side)
    part, line = view(scene, index, len(cut), rng)
    light, angle = slope(index, len(cut), rng)
    sheen, _ = slope(veil, len(over), rng)
    whim = rng.random(len(cut) + 1)[index] ** 1.8
    variant = np.where(veil > 0, 1 - whim, whim)
    tone = 0.36 * light + np.where(veil > 0, 0.3 * sheen, 0)
    x, y = (at / k for at in pr.grid(side))
    a, b = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    wobble, cell = pr.soft_noise(side, 60 * k, rng), rng.random(len(cut) + 1)[index]
    inks = {kind: texture_ink(kind, a, b, wobble, cell) for kind in TEXTURES}
    colour = np.zeros((side, side, 3), np.float32)
    for code, looks in enumerate(LOOKS.values()):
        for choice, (family, base, kind) in enumerate(looks):
            mask = (part == code) & (np.floor(variant * len(looks)) == choice)
            shade = base + tone[mask]
            flat = pr.ramp(family, shade)
            pale, deep = pr.ramp("cream", 0.75), pr.ramp("umber", 0.05)
            ink = 0.35 * flat + 0.65 * np.where(shade[:, None] > 0.45, deep, pale)
            colour[mask] = np.where(inks[kind][mask][:, None], 0.15 * flat + 0.85 * ink, flat)
    edges = np.maximum(pr.border_distance(part) < k, 0.9 * line)
    return colour, np.maximum(edges, borders(cut + over, side, rng)), angle


def borders(polygons: list[Array], side: int, rng: Rng) -> Array:
    """Dark strokes along parts of the edges, swelling and tapering."""
    ruled = sh.Drawing.blank(side, BOARD, [""])
    for polygon in polygons:
        for i, p in enumerate(polygon):
            start, end = np.sort(rng.uniform(-0.1, 1.1, 2))
            if end - start > 0.25:
                t = np.linspace(start, end, 12)[:, None]
                path = p + (polygon[i - 1] - p) * t + rng.normal(0, 1.5, 2)
                ruled.swell(path, 2, 6)
    return np.asarray(ruled.key) / np.float32(255)


def paint(size: int = 1024, seed: int = 11) -> Image.Image:
    """Paint the player at ``size`` pixels square; the same arguments give the same pixels."""
    rng = np.random.default_rng(seed)
    side, k = 2 * size, 2 * size / BOARD
    colour, line, angle = paint_planes(draw_scene(side), rng)
    points = st.scatter(13, BOARD, rng)
    at = (np.arange(BOARD) * k).astype(int)
    lean = angle[np.ix_(at, at)]
    strokes = st.along_flow(points, lean, st.bends(lean), 28, 10, rng)
    owner = st.cover(strokes, side, BOARD, rng)
    u, v = st.frames(owner, strokes, BOARD)
    hair = st.bristle(owner, u, v, rng)
    rim = pr.smoothstep(0.6, 0.95, np.abs(v)) + 0.8 * pr.smoothstep(0.6, 1.0, u)
    tint = rng.normal(1, 0.11, (len(strokes), 1)) + rng.normal(0, 0.045, (len(strokes), 3))
    line = line * pr.smoothstep(-1.3, -0.5, pr.soft_noise(side, 26 * k, rng) + 0.3 * hair)
    colour = colour * tint[owner] * (1 + 0.05 * hair[..., None])
    glow = np.roll(line, (round(3 * k), round(3 * k)), (0, 1))[..., None]
    colour += (pr.ramp("cream", 0.9) - colour) * 0.55 * glow
    colour += (pr.ramp("umber", 0.1) - colour) * 0.93 * line[..., None]
    step = rng.uniform(0, 1.6, len(strokes)).astype(np.float32)[owner]
    factor, glint = st.impasto(0.5 * hair + 0.8 * rim + 1.2 * line + step, k)
    return pr.to_image(colour * factor[..., None] + 0.5 * glint[..., None], size)


if __name__ == "__main__":
    run(paint, __doc__)
