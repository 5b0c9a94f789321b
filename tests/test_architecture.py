"""The rooms and the arrows between them, as docs/architecture.md lists them."""

import ast
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

MOST_MODULES = 12
"""A folder that needs more needs another folder."""

CORE = {"transformer_net", "transformer_net.imaging"}
PARTS = CORE | {f"transformer_net.inference.{part}" for part in ("options", "tiling", "engines")}
INFERENCE = {
    *PARTS,
    "styles",
    "styles.catalog",
    "transformer_net.inference",
    "transformer_net.prediction",
}
TRAINING = {*CORE, *(f"transformer_net.training{part}" for part in ("", ".losses", ".execution"))}
MANY = {"transformer_net.inference.video", "transformer_net.inference.batch"}
PREDICTION = {"transformer_net.prediction", "transformer_net.training.prediction"}
LIBRARY = {*INFERENCE, *TRAINING, *MANY, "styles.gallery"}
SERVER = {"app", *INFERENCE}

# Room → the rooms and modules that it may import besides itself, in functions too. A room is a folder without
# its inner rooms, or a module that has arrows of its own.
ALLOWED: dict[str, set[str]] = {
    "transformer_net": set(),
    "transformer_net.imaging": CORE,
    "transformer_net.inference.options": CORE,
    "transformer_net.inference.tiling": CORE,
    "transformer_net.inference.engines": {*CORE, "transformer_net.inference.tiling"},
    # What can be painted lies below what paints it: `Stylizer.from_style` asks the catalogue.
    "styles.catalog": {"transformer_net.errors", "transformer_net.norms"},
    "styles": {*CORE, "styles.catalog", "transformer_net.inference.options", "transformer_net.prediction"},
    "transformer_net.inference": INFERENCE,
    "transformer_net.inference.video": INFERENCE,
    "transformer_net.inference.batch": {*INFERENCE, "transformer_net.inference.video"},
    "transformer_net.training.losses": CORE,
    "transformer_net.training.execution": CORE,
    "transformer_net.training": TRAINING,
    "transformer_net.prediction": {*CORE, "transformer_net.training.losses"},
    "transformer_net.training.prediction": {*TRAINING, "transformer_net.prediction"},
    "styles.gallery.painters": set(),
    "styles.gallery": LIBRARY,
    "app": CORE,
    "app.painting": SERVER,
    "app.training": {*SERVER, *TRAINING, "app.painting", "styles.gallery"},
    "app.http": {*SERVER, "app.painting"},
    "app.middleware": {*SERVER, "app.painting", "app.http"},
    "app.page": {*SERVER, "app.painting", "app.training", "styles.gallery"},
    "app.site": {*SERVER, "app.painting", "app.http", "app.page"},
    "app.transport": {*SERVER, "app.painting", "app.http", "app.page"},
    "app.server": {*SERVER, "app.painting", "app.http"},
    "app.main": {
        *SERVER,
        *(f"app.{room}" for room in ("painting", "training", "http", "middleware", "page", "transport")),
        "app.site",
    },
    "app.__main__": {*SERVER, "app.main", "app.server"},
    "app.cluster": {*SERVER, "app.main"},
    "experiments.harness": LIBRARY,
    "experiments": {*LIBRARY, *PREDICTION, "experiments.harness"},
    "benchmarks": {*LIBRARY, "stylize"},
    "stylize": LIBRARY,
    "train_style": LIBRARY,
    "train_predictor": {*LIBRARY, *PREDICTION},
    "hubconf": LIBRARY,
}


def room_of(module):
    """The innermost room that a module lies in; None where it is not of this project."""
    while module and module not in ALLOWED:
        module = module.rpartition(".")[0]
    return module or None


@cache
def is_module(name):
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or path.is_dir()


def imports(path):
    """Modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if is_module(inner) else node.module


def files():
    for top in sorted({room.split(".")[0] for room in ALLOWED}):
        yield from sorted((ROOT / top).rglob("*.py")) or [ROOT / f"{top}.py"]


def test_arrows_point_one_way_and_no_folder_has_too_many_modules():
    violations = []
    folders = Counter(
        path.parent for path in (*files(), *ROOT.glob("tests/**/*.py")) if path.stem != "__init__"
    )
    for folder, count in folders.items():
        if count > MOST_MODULES:
            violations.append(f"{folder.relative_to(ROOT)} has {count} modules, more than {MOST_MODULES}")
    for path in files():
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        own = room_of(name)
        for module in set(imports(path)):
            room = room_of(module)
            if room not in (None, own) and not {room, module} & ALLOWED[own]:
                violations.append(f"{name} ({own}) imports {module} ({room})")
    assert not violations, "\n".join(["", *sorted(violations)])


@pytest.mark.parametrize(
    "module",
    [
        "errors",
        "grain",
        *(
            f"imaging/{name}"
            for name in ("arrays", "colour_space", "decode", "encode", "formats", "metadata", "pixel_layouts")
        ),
    ],
)
def test_pictures_can_be_checked_without_torch(module):
    path = ROOT / f"transformer_net/{module}.py"
    assert "torch" not in {name.split(".")[0] for name in imports(path)}
