"""The rooms and the arrows between them, as docs/architecture.md draws them."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Package → what it may import at module level, of this project.
ALLOWED = {
    "transformer_net/inference": {"transformer_net", "transformer_net.inference"},
    "transformer_net/training": {"transformer_net", "transformer_net.training"},
    "styles": {"styles", "transformer_net"},
    "app": {"app", "styles", "transformer_net"},
    "experiments": {"experiments", "styles", "transformer_net"},
}
PACKAGES = (
    "transformer_net.inference",
    "transformer_net.training",
    "transformer_net",
    "styles",
    "app",
    "experiments",
)


def imports(path):
    """Modules that a file imports at its top level."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def package_of(module):
    for package in PACKAGES:
        if module == package or module.startswith(package + "."):
            return package
    return None


FILES = [
    path
    for top in ("transformer_net", "styles", "app", "experiments")
    for path in sorted((ROOT / top).rglob("*.py"))
]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_arrows_point_one_way(path):
    place = str(path.relative_to(ROOT).parent)
    allowed = next((v for k, v in ALLOWED.items() if place == k or place.startswith(k + "/")), None)
    if allowed is None:  # transformer_net itself: the shared ground below training and inference
        allowed = {"transformer_net"}
    elif "styles" in allowed:
        allowed = allowed | {"transformer_net.inference", "transformer_net.training"}
    used = {package for module in imports(path) if (package := package_of(module))}
    assert used <= allowed


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_modules_stay_readable(path):
    assert len(path.read_text().splitlines()) <= 370


@pytest.mark.parametrize("module", ["images", "pixels", "errors", "grain"])
def test_pictures_can_be_checked_without_torch(module):
    assert "torch" not in {name.split(".")[0] for name in imports(ROOT / f"transformer_net/{module}.py")}
