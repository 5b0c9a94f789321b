"""The catalogue, and the models that it ships."""

import json

import pytest
import torch
from PIL import Image

from styles import catalog
from styles.catalog import Style, find_style, recipes, shipped
from styles.gallery import train
from styles.gallery.quality import SIDE, QualityFigures
from tests.conftest import make_picture
from transformer_net.checkpoint import load_model, read_info
from transformer_net.errors import SettingError
from transformer_net.norms import NORMS, norm_slug
from transformer_net.training.content import ContentPhotos
from transformer_net.training.pretrained import load_base
from transformer_net.training.run_folder import RunFolder

SHIPPED = [style.name for style in shipped() if style.norms]


def test_the_first_style_is_shipped_and_every_picture_has_a_recipe():
    assert "mosaic" in SHIPPED
    assert {style.name for style in shipped()} == recipes().keys()


@pytest.fixture
def tiny_gallery(tmp_path, monkeypatch):
    """A gallery of one style with a recipe of a few iterations."""
    folder = tmp_path / "styles" / "dots"
    folder.mkdir(parents=True)
    make_picture(64, 64).save(folder / "style.png")
    monkeypatch.setattr(catalog, "ROOT", folder.parent)
    monkeypatch.setattr(catalog, "RECIPES", folder.parent / "recipes.toml")
    catalog.RECIPES.write_text(
        "[gallery]\nwidth = 4\niterations = 4\nwarmup_iterations = 2\nbatch_size = 1\nsize = 32\n"
        "warmup_size = 32\n[styles.dots]\nstyle_size = 64\n"
    )
    return folder


@pytest.mark.slow
def test_gallery_trains_publishes_and_then_has_nothing_to_do(tiny_gallery, photo_folder, tmp_path, capsys):
    def make():
        train.gallery(None, str(photo_folder), "a dozen", tmp_path / "runs", "cpu")

    make()
    style = find_style("dots")
    assert style.norms == list(NORMS)
    assert style.card["norms"].keys() == NORMS.keys()
    curves = json.loads((tiny_gallery / "curves.json").read_text())
    for norm in NORMS:
        entry = style.card["norms"][norm]
        assert entry["config"]["norm"] == norm
        assert entry["iterations_done"] == 6
        assert entry["content"] == {"name": "a dozen", "photos": 11}
        assert entry["bytes"] == style.model(norm).stat().st_size
        assert entry["example_losses"]["content"] > 0
        assert curves[norm]["training"][-1]["iteration"] == 6
        assert curves[norm]["validation"][-1]["content"] > 0
    before = {p.name: p.stat().st_mtime_ns for p in tiny_gallery.iterdir()}
    capsys.readouterr()
    make()
    assert capsys.readouterr().out.count("up to date") == 4
    assert {p.name: p.stat().st_mtime_ns for p in tiny_gallery.iterdir()} == before


@pytest.mark.slow
def test_a_new_style_begins_at_the_base_and_goes_on_from_its_own_model(tiny_gallery, photo_folder, tmp_path):
    """With a recipe that goes on from what ships, as that of the gallery does."""
    catalog.RECIPES.write_text(
        '[gallery]\ninit = "shipped"\nlr = 1e-9\niterations = 1\nwarmup_iterations = 0\nbatch_size = 1\n'
        "size = 32\n[styles.dots]\nstyle_size = 64\n"
    )
    photos, style = ContentPhotos.from_folder(photo_folder), find_style("dots")

    def entry():
        folder = RunFolder(tmp_path / "run")
        train.train_model(style, "in", photos, folder, "cpu")
        train.publish(style, "in", folder)
        return find_style("dots").card["norms"]["in"]

    first = entry()
    assert "before" not in first
    published = load_model(style.model("in"))[0].state_dict()
    torch.testing.assert_close(published, load_base("in").state_dict(), rtol=0, atol=1e-5)
    assert entry()["before"]["sha256"] == first["sha256"]


def test_the_gallery_is_not_trained_on_the_shipped_photos(tiny_gallery, tmp_path):
    with pytest.raises(SettingError, match=r"dots bn is to be trained.*--content"):
        train.gallery(None, None, None, tmp_path / "runs", "cpu")
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_changed_recipe_or_picture_makes_a_model_out_of_date(tiny_gallery, photo_folder, tmp_path):
    style = find_style("dots")
    folder = RunFolder(tmp_path / "runs" / "dots-in")
    train.train_model(style, "in", ContentPhotos.from_folder(photo_folder), folder, "cpu")
    train.publish(style, "in", folder)
    assert train.up_to_date(Style("dots", tiny_gallery), "in")
    recipe = catalog.RECIPES.read_text()
    catalog.RECIPES.write_text(recipe + "style_weight = 9.0\n")
    assert not train.up_to_date(Style("dots", tiny_gallery), "in")
    catalog.RECIPES.write_text(recipe)
    make_picture(64, 64, seed=5).save(style.picture)
    assert not train.up_to_date(Style("dots", tiny_gallery), "in")
    assert not train.is_finished(folder.model, style, "in")  # nor is the run, which must not be published
    train.train_model(style, "in", ContentPhotos.from_folder(photo_folder), folder, "cpu")
    assert train.is_finished(folder.model, style, "in")


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_models(name):
    """All four load, agree with their card, and differ in nothing but the norm."""
    style = find_style(name)
    assert style.norms == list(NORMS)
    configs = []
    for norm in NORMS:
        network, info = load_model(style.model(norm))
        assert (info.norm, info.style) == (norm, name)
        assert train.up_to_date(style, norm)
        entry = style.card["norms"][norm]
        assert entry["sha256"] == train._sha256(style.model(norm))
        assert entry["seconds"] > 0
        assert not network.training
        configs.append({k: v for k, v in info.training["config"].items() if k != "norm"})
    assert all(config == configs[0] for config in configs)


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_card_figures_can_be_recomputed(name):
    from styles.gallery.quality import model_losses

    style = find_style(name)
    expected = style.card["norms"]["iebn"]["example_losses"]
    found = model_losses(style, style.model("iebn"))
    assert found == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_models_paint_in_the_style(name):
    """Each brings the photos' style loss down to less than half, whatever its normalizer."""
    style = find_style(name)
    before = QualityFigures(style, SIDE).table()["photo"]
    layers = [k for k in before if k.startswith("style_")]
    for norm in NORMS:
        after = style.card["norms"][norm]["example_losses"]
        assert sum(after[k] for k in layers) < 0.5 * sum(before[k] for k in layers), norm


def test_every_style_has_a_picture_of_a_good_size():
    assert "mosaic" in {style.name for style in shipped()}
    for style in shipped():
        with Image.open(style.picture) as picture:
            assert min(picture.size) >= 512, style.name


def test_model_files_are_small():
    total = sum(s.model(n).stat().st_size for s in shipped() for n in s.norms)
    assert total < 40e6


def test_half_precision_files_hold_what_was_trained():
    """No tensor of a shipped model overflowed or underflowed to nothing on its way to float16."""
    for style in shipped():
        for norm in style.norms:
            network, _ = load_model(style.model(norm))
            for key, tensor in network.state_dict().items():
                assert tensor.dtype == torch.int64 or tensor.abs().max() > 0, (style.name, norm, key)


def test_slug_names_the_file():
    assert find_style("mosaic").model("SE").name == f"{norm_slug('bn+se')}.safetensors"
    assert read_info(find_style("mosaic").model("se")).norm == "bn+se"
