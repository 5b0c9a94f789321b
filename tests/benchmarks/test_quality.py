"""The measures of docs/gallery.md, on pictures whose defects are planted."""

import json
import math

import pytest
import torch
import torch.nn.functional as F

from benchmarks import quality
from styles import catalog
from styles.catalog import Style
from styles.gallery.quality import COLUMNS, OPTIMUM, PHOTO, QualityFigures, cells, example_photos
from tests.conftest import make_picture
from transformer_net.training.losses.perceptual import PerceptualLoss
from transformer_net.training.report import STYLE_LOSSES
from transformer_net.training.trainer import scaled_style


@pytest.fixture(scope="module")
def photo():
    return example_photos(256)["coffee"]


def checks(period, side=256):
    """A checkerboard of fields of `period` / 2 pixels, −1 and 1."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    half = period // 2
    return (1 - 2 * ((y // half + x // half) % 2)).float()


@pytest.mark.parametrize("period", [2, 4])
def test_a_faint_checkerboard_stands_out(photo, period):
    assert quality.checkerboard(photo) < 6
    assert quality.checkerboard(photo + 0.01 * checks(period)) > 12


def test_stripes_of_the_upsampling_stand_out(photo):
    stripes = torch.arange(256).remainder(2).mul(2).sub(1).float()
    assert quality.checkerboard(photo + 0.01 * stripes) > 12
    assert quality.checkerboard(photo + 0.01 * stripes[:, None]) > 12


@pytest.mark.parametrize("direction", [1, -1])
def test_diagonal_stripes_stand_out(photo, direction):
    y, x = torch.meshgrid(torch.arange(256), torch.arange(256), indexing="ij")
    stripes = torch.cos(torch.pi / 2 * (x + direction * y))
    assert quality.checkerboard(photo + 0.01 * stripes) > 12


def test_plain_pictures_have_no_checkerboard():
    assert quality.checkerboard(torch.full((1, 3, 64, 64), 0.5)) == 0


def test_a_painted_rim_is_measured(photo):
    def with_rim(image):
        painting = image.clone()
        painting[..., :4, :] = 1 - painting[..., :4, :]
        return painting

    def border(paint):
        return quality.border(paint, photo, paint(photo))

    assert border(lambda image: image) == pytest.approx(0, abs=1e-6)
    assert border(with_rim) > 0.02
    # What changes everywhere is no border.
    assert border(lambda image: image + 0.1 * image.mean()) == pytest.approx(0, abs=1e-3)


def test_flat_share_is_relative_to_the_style(photo):
    noisy = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    half_flat = noisy.clone()
    half_flat[..., :128, :] = 0.5
    assert quality.flat_share(noisy, noisy) == pytest.approx(0.05, abs=0.01)
    assert quality.flat_share(half_flat, noisy) == pytest.approx(0.525, abs=0.02)


def test_optimising_pixels_lowers_the_loss_and_stays_in_range(vgg):
    loss = PerceptualLoss(vgg, scaled_style(make_picture(80, 64, seed=3), 64), palette_weight=10.0)
    photo = F.interpolate(example_photos(64)["cat"], 48)
    totals = []
    found = quality.optimise_pixels(loss, photo, 6, lambda step, total: totals.append(total))
    assert len(totals) == 6
    assert loss(found, photo).total.item() < 0.8 * totals[0]
    assert found.min() >= 0
    assert found.max() <= 1
    assert not found.requires_grad


@pytest.fixture
def style(tmp_path, monkeypatch):
    """A style with a model file for iebn that nobody opens."""
    folder = tmp_path / "dots"
    folder.mkdir()
    make_picture(64, 64).save(folder / "style.png")
    (folder / "iebn.safetensors").write_bytes(b"one")
    monkeypatch.setattr(catalog, "RECIPES", tmp_path / "recipes.toml")
    catalog.RECIPES.write_text("[gallery]\n[styles.dots]\nstyle_size = 64\n")
    return Style("dots", folder)


def row(value):
    return {"content": 1.0, **dict.fromkeys(STYLE_LOSSES, value), "palette": 0.01}


def test_the_book_keeps_figures_until_what_they_were_measured_on_changes(style):
    QualityFigures(style, 512).keep("iebn", {"cat": row(0.25)})
    QualityFigures(style, 1024).keep("iebn", {"cat": row(0.5)})
    assert QualityFigures(style, 512).find("iebn") == {"cat": row(0.25)}
    assert json.loads((style.folder / "quality.json").read_text()).keys() == {"512", "1024"}
    (style.folder / "iebn.safetensors").write_bytes(b"two")
    assert QualityFigures(style, 512).find("iebn") == {}
    (style.folder / "iebn.safetensors").write_bytes(b"one")
    assert QualityFigures(style, 512).find("iebn")
    catalog.RECIPES.write_text("[gallery]\n[styles.dots]\nstyle_size = 65\n")
    assert QualityFigures(style, 512).find("iebn") == {}
    catalog.RECIPES.write_text(
        "[gallery]\niterations = 7\n[styles.dots]\nstyle_size = 64\n"
    )  # the measure is the same
    assert QualityFigures(style, 512).find("iebn") == {"cat": row(0.25)}


def test_closed_is_the_share_of_the_way_on_the_same_photos(style):
    book = QualityFigures(style, 512)
    book.keep(PHOTO, {"cat": row(1.0), "coffee": row(7.0)})
    book.keep("iebn", {"cat": row(0.28), "coffee": row(0.3)})
    assert "closed" not in book.table()["iebn"]
    book.keep(OPTIMUM, {"cat": row(0.2)})
    table = QualityFigures(style, 512).table()
    assert list(table) == [PHOTO, "iebn", OPTIMUM]
    assert math.isclose(table["iebn"]["closed"], 0.9)
    assert "closed" not in table[PHOTO]
    assert len(cells(table["iebn"])) == len(COLUMNS)
    assert cells(table["iebn"])[COLUMNS.index("closed")] == "90%"
