"""Show the gallery: docs/gallery.md and its contact sheets, from models, cards and measured figures.

    python -m styles.gallery.showcase

Each sheet says in its file which models it shows, so that only outdated ones are painted again.
"""

from __future__ import annotations

import ast
import hashlib
import io
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from styles.catalog import ROOT, Style, shipped
from styles.gallery.quality import COLUMNS, SIDES, QualityFigures, cells
from transformer_net.checkpoint import write_atomically
from transformer_net.commandline import run, say
from transformer_net.imaging.decode import decode
from transformer_net.inference.sheet import side_by_side
from transformer_net.inference.stylizer import Stylizer
from transformer_net.norms import NORMS
from transformer_net.training.content import EXAMPLES

DOCS = ROOT.parent / "docs"

PHOTOS = ("astronaut", "cat", "coffee", "rocket")

_PANEL = 320

_INTRODUCTION = """\
# The gallery

<!-- Written by `make gallery`; the figures are printed by `python -m benchmarks.quality`. -->

Six styles, each drawn by our own code (`styles/gallery/painters/`, CC0) and learned by four networks that differ in their
normalizer only: same seed, same photos in the same order, same budget. `styles/recipes.toml` holds the recipes,
`styles/<style>/card.json` what each training did, and `make gallery CONTENT=folder` goes on from the models that ship
where a recipe has changed. Minutes and photos a second are of two trainings side by side, with one thread each.

![One photo in every style](pictures/gallery.jpg)
"""

_FIGURES = """\
## Figures

On the example photos, which no model was trained on, in evaluation mode, the central square at {sides} px (the photos
have 300 to 512 px, and are enlarged). **content** is the distance at relu2_2; **relu1_2** to **relu4_3** and their
mean, **style**, are the distance to the style picture relative to its own Gram energy; **closed** is the share of the
way from the photo's style loss to that of the **optimum**, the picture that 300 steps of L-BFGS find for the same losses
by changing pixels directly (on one photo, the astronaut, at 512 px). **palette** is the sliced Wasserstein distance
between the colours. Defects: **border** is what the outermost 8 px have of their own, of the full range;
**checkerboard** the strongest spectral line at a period of 2 or 4 px, in dB over its surroundings; **flat** the share of
blocks that are flatter than 95 % of the style picture's, so 5 % is as the style.
"""


def sheet_file(style: Style) -> Path:
    """Where the contact sheet of a style lies."""
    return DOCS / "pictures" / f"gallery-{style.name}.jpg"


def overview_file() -> Path:
    """Where the overview lies: one photo in every style."""
    return DOCS / "pictures" / "gallery.jpg"


def overview(shown: list[Style]) -> Image.Image:
    """The first photo in every style, painted with IEBN, three in a row."""
    photo = decode(EXAMPLES / f"{PHOTOS[0]}.jpg")
    panels = [
        (style.name, _square(Stylizer.from_style(style.name, "iebn").paint_photo(photo))) for style in shown
    ]
    return side_by_side(panels, columns=3)


def contact_sheet(style: Style) -> Image.Image:
    """Each photo beside its four paintings, a row a photo."""
    painters = {norm: Stylizer.from_style(style.name, norm) for norm in NORMS}
    panels = []
    for name in PHOTOS:
        photo = decode(EXAMPLES / f"{name}.jpg")
        panels.append(("photo", _square(photo.rgb)))
        panels += [(norm, _square(stylizer.paint_photo(photo))) for norm, stylizer in painters.items()]
    return side_by_side(panels, columns=1 + len(NORMS))


def showcase() -> None:
    """Paint the contact sheets that are missing or outdated, and write docs/gallery.md."""
    shown = _complete()
    for style in shown:
        _draw(sheet_file(style), partial(contact_sheet, style), [style])
    _draw(overview_file(), partial(overview, shown), shown)
    path, text = DOCS / "gallery.md", page()
    if not path.is_file() or path.read_text() != text:
        write_atomically(path, text.encode())
        say(f"The gallery is on show in {path}")


def page() -> str:
    """docs/gallery.md, from cards and measured figures."""
    shown = _complete()
    return "\n".join([_INTRODUCTION, *map(_section, shown), *_figures(shown)])


def _draw(path: Path, picture: Callable[[], Image.Image], shown: list[Style]) -> None:
    models = _models_sha256(shown)
    if _comment(path) == models:
        return
    buffer = io.BytesIO()
    picture().save(buffer, "JPEG", quality=88, comment=models)
    write_atomically(path, buffer.getvalue())
    say(f"Drawn: {path}")


def _complete() -> list[Style]:
    return [style for style in shipped() if style.norms == list(NORMS)]


def _square(picture: Image.Image) -> Image.Image:
    return ImageOps.fit(picture, (_PANEL, _PANEL), Image.Resampling.LANCZOS)


def _models_sha256(shown: list[Style]) -> str:
    files = (style.model(norm) for style in shown for norm in NORMS)
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _comment(path: Path) -> str:
    if not path.is_file():
        return ""
    with Image.open(path) as image:
        comment: bytes = image.info.get("comment", b"")
        return comment.decode(errors="replace")


def _section(style: Style) -> str:
    # Read, not imported: painters need scipy, which only those who draw have.
    painter = ast.parse((ROOT / "gallery" / "painters" / f"{style.name}.py").read_text())
    about = (ast.get_docstring(painter) or "").split("\n\n")[0]
    entries = [style.card["norms"][norm] for norm in NORMS]
    minutes = ", ".join(
        f"{norm} {entry['seconds'] / 60:.1f}" for norm, entry in zip(NORMS, entries, strict=True)
    )
    photos = sum(entry["iterations_done"] * entry["config"]["batch_size"] for entry in entries)
    speed = photos / sum(entry["seconds"] for entry in entries)
    machines = ", ".join(sorted({f"{entry['machine']}, {entry['precision']}" for entry in entries}))
    return f"""\
## {style.name.capitalize()}

<img src="{os.path.relpath(style.picture, DOCS)}" alt="The style picture {style.name}" width="280">

{about}

{_steps(entries[0])}, {speed:.1f} photos a second; minutes to train: {minutes}
({machines}).

![Four photos, each with its four paintings in the style {style.name}]({os.path.relpath(sheet_file(style), DOCS)})
"""


def _steps(entry: dict[str, Any]) -> str:
    """How many steps on crops of which size: the same for all norms of a style."""
    config, before = entry["config"], entry.get("before")
    steps, size, early = config["iterations"], config["size"], config.get("early_size")
    begun = f"On from a model of {before['config']['iterations']} steps: " if before else ""
    if not early:
        return f"{begun}{steps} steps on crops of {size} px"
    return f"{begun}{steps} steps, the first half on crops of {early} px, the second of {size} px"


def _figures(shown: list[Style]) -> list[str]:
    blocks = []
    for side in SIDES:
        rows = [
            f"| {style.name} | {row} | {' | '.join(cells(values))} |"
            for style in shown
            for row, values in QualityFigures(style, side).table().items()
        ]
        if rows:
            columns = ["style", "", *(name.removeprefix("style_") for name in COLUMNS)]
            rule = "|".join(["---", "---", *("--:" for _ in COLUMNS)])
            blocks.append(
                "\n".join([f"### At {side} px\n", f"| {' | '.join(columns)} |", f"|{rule}|", *rows, ""])
            )
    return [_FIGURES.format(sides=" or ".join(map(str, SIDES))), *blocks] if blocks else []


if __name__ == "__main__":
    run(showcase)
