"""Figure 2: photos, painted in each style by the shipped network of each normalizer.

python -m experiments.pictures
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from experiments.harness.drawing import sheet
from experiments.harness.experiment import main
from experiments.harness.intervals import Claim
from experiments.harness.runner import Inputs, Metrics, Store, Trial
from styles.catalog import find_style, shipped
from transformer_net.imaging.decode import Photo, decode
from transformer_net.imaging.encode import encode
from transformer_net.inference.stylizer import Stylizer
from transformer_net.norms import NORMS
from transformer_net.training.content import EXAMPLES

TITLE = "Pictures (Figure 2)"
PHOTOS = ("astronaut", "coffee")
SIDE = 256


def trials(quick: bool = False) -> list[Trial]:
    """A sheet a photo."""
    names = [style.name for style in shipped() if style.norms == list(NORMS)]
    return [trial(photo, names[:1] if quick else names) for photo in (PHOTOS[:1] if quick else PHOTOS)]


def trial(photo: str, names: list[str]) -> Trial:
    """The sheet of one photo: a row a style."""
    models = {
        f"{name} {norm}": hashlib.sha256(find_style(name).model(norm).read_bytes()).hexdigest()
        for name in names
        for norm in NORMS
    }
    return Trial("pictures", photo, {"photo": photo, "side": SIDE, "models": models}, paint, minutes=0.1)


def paint(config: Mapping[str, Any], inputs: Inputs) -> Metrics:
    """Paint the panels of one sheet and keep them beside each other."""
    rgb = decode(EXAMPLES / f"{config['photo']}.jpg").rgb
    side = min(rgb.size)
    left, top = (rgb.width - side) // 2, (rgb.height - side) // 2
    square = rgb.crop((left, top, left + side, top + side))
    small = square.resize((config["side"],) * 2, Image.Resampling.LANCZOS)
    for place in config["models"]:
        name, norm = place.split(" ")
        painting = Stylizer.from_style(name, norm, engine="torch").paint_photo(Photo(square))
        panel = painting.resize(small.size, Image.Resampling.LANCZOS)
        file = inputs.pictures / "grid" / f"{config['photo']} {place}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encode(panel, "jpeg", 88))
    return {"panels": list(config["models"])}


def table(store: Store) -> str:
    """Pictures speak for themselves."""
    return ""


def figures(store: Store, folder: Path) -> list[tuple[Path, str]]:
    """A sheet a photo."""
    drawn = []
    for one in trials():
        if metrics := store.metrics(one):
            panels = [
                (place, Image.open(store.pictures / "grid" / f"{one.label} {place}.jpg"))
                for place in metrics["panels"]
            ]
            path = sheet(panels, len(NORMS), folder / f"pictures-{one.label}.jpg")
            models = ", by the models shipped before" if store.is_outdated(one) else ""
            drawn.append((path, f"The photo `{one.label}` in each style with each normalizer{models}"))
    return drawn


def claims(store: Store) -> list[Claim]:
    """None: nothing is measured here."""
    return []


if __name__ == "__main__":
    main(sys.modules[__name__])
