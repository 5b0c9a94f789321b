"""docs/gallery.md and its contact sheets."""

import subprocess
import sys

import pytest
from PIL import Image

from styles.catalog import ROOT, find_style, shipped
from styles.gallery import showcase
from styles.gallery.quality import SIDES, QualityFigures
from transformer_net.norms import NORMS

COMPLETE = [style.name for style in shipped() if style.norms == list(NORMS)]


def is_current(sheet, shown):
    """Whether a sheet shows the models of `shown` that are shipped."""
    return showcase._comment(sheet) == showcase._models_sha256(shown)


def test_the_gallery_on_show_is_the_one_that_is_shipped():
    """Otherwise: make gallery."""
    assert is_current(showcase.overview_file(), [find_style(name) for name in COMPLETE])
    assert (showcase.DOCS / "gallery.md").read_text() == showcase.page()


@pytest.mark.parametrize("name", COMPLETE)
def test_each_style_is_on_show_with_its_figures(name):
    style = find_style(name)
    assert is_current(showcase.sheet_file(style), [style])
    with Image.open(showcase.sheet_file(style)) as sheet:
        assert sheet.width > sheet.height * 0.8
    for side in SIDES:
        assert {"photo", *NORMS} <= QualityFigures(style, side).table().keys()
    section = showcase.page().split(f"## {name.capitalize()}")[1]
    assert f"gallery-{name}.jpg" in section


@pytest.mark.slow
def test_the_gallery_is_shown_without_the_painters_packages():
    """`make gallery` installs no scipy."""
    blocked = "import sys; sys.modules['scipy'] = None"
    code = f"{blocked}; from styles.gallery import showcase; print(showcase.page())"
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT.parent, capture_output=True, text=True)
    assert shown.stderr == ""
    assert shown.stdout == showcase.page() + "\n"


@pytest.fixture
def one_style(tmp_path, monkeypatch):
    """A gallery of mosaic alone, with documents of its own."""
    (tmp_path / "pictures").mkdir()
    monkeypatch.setattr(showcase, "DOCS", tmp_path)
    monkeypatch.setattr(showcase, "PHOTOS", ("cat",))
    monkeypatch.setattr(showcase, "shipped", lambda: [find_style("mosaic")])
    return tmp_path


@pytest.mark.slow
def test_showcase_paints_what_is_missing_and_then_nothing(one_style):
    showcase.showcase()
    sheet, page = showcase.sheet_file(find_style("mosaic")), one_style / "gallery.md"
    with Image.open(sheet) as image:
        assert image.width > 4 * image.height  # a photo and its four paintings, one row
    assert "## Mosaic" in page.read_text()
    files = (sheet, showcase.overview_file(), page)
    before = {path: path.stat().st_mtime_ns for path in files}
    showcase.showcase()
    assert {path: path.stat().st_mtime_ns for path in files} == before


@pytest.mark.slow
def test_a_sheet_of_other_models_is_painted_again(one_style):
    style = find_style("mosaic")
    Image.new("RGB", (50, 10)).save(showcase.sheet_file(style), comment=b"other models")
    assert not is_current(showcase.sheet_file(style), [style])
    showcase.showcase()
    assert is_current(showcase.sheet_file(style), [style])
