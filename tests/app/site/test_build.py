"""The builder deletes nothing but what it wrote."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from app.site import parts
from app.site.__main__ import build
from styles.catalog import find_style
from transformer_net.errors import SettingError

pytestmark = pytest.mark.skipif(not parts.are_there(), reason="needs onnxruntime-web and onnx")


@pytest.mark.parametrize(
    ("names", "foreign"),
    [
        (("index.html", "main.js", "sw.js"), "index.html"),  # another page with a service worker
        (("index.html", "sw.js", "vendor/ort.wasm.min.mjs", "zoo/pony.txt"), "zoo"),
        (("letter.txt",), "letter.txt"),
    ],
)
def test_a_folder_with_something_else_is_left_as_it_is(
    tmp_path: Path, names: tuple[str, ...], foreign: str
) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    with pytest.raises(SettingError, match=rf"other files in it, like {re.escape(foreign)};"):
        build(tmp_path, [find_style("wave")])
    assert [(tmp_path / name).read_text() for name in names] == ["mine"] * len(names)


def test_an_earlier_page_is_replaced_in_what_a_host_publishes(tmp_path: Path) -> None:
    kept = {".git/config": "[core]", ".nojekyll": "", "CNAME": "example.org"}
    for name, text in kept.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    scripts = []
    for style in ("wave", "ink"):
        build(tmp_path, [find_style(style)])
        scripts.append((tmp_path / "sw.js").read_text())
    assert {name: (tmp_path / name).read_text() for name in kept} == kept
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["ink"]
    # The service worker answers for the page's files and no other.
    listed = re.search(r"new Set\((\[.*?\])", scripts[1])
    assert listed
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert set(json.loads(listed[1])) == {"./", *files} - {"sw.js", *kept}
    versions = [re.findall(r"registration.scope} (\w{16})`", script) for script in scripts]
    assert len(versions[0]) == len(versions[1]) == 1
    assert versions[0] != versions[1]
