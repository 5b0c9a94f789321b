"""A photo in the colours of another picture."""

import numpy as np
import pytest
from PIL import Image

from tests.conftest import make_picture
from transformer_net.checkpoint import ModelInfo
from transformer_net.errors import SettingError
from transformer_net.imaging import colour_space
from transformer_net.imaging.colour_space import from_light, oklab, to_light
from transformer_net.inference.options.palette import Palette
from transformer_net.inference.options.style_options import StyleOptions
from transformer_net.inference.stylizer import Stylizer
from transformer_net.network import TransformerNet


def soft(seed, middle=128, spread=16):
    """Noise of muted colours, so that the display has them all, whatever is done to them."""
    noise = np.random.default_rng(seed).normal(middle, spread, (60, 80, 3))
    return Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8))


def difference(one, other):
    return np.abs(np.asarray(one).astype(int) - np.asarray(other)).max()


def test_levels_survive_linear_light():
    levels = np.arange(256, dtype=np.uint8)
    assert (from_light(to_light(levels)) == levels).all()


def test_mean_and_covariance_become_the_picture_s():
    mixing = np.array([[0.9, 0.3, 0.1], [0.1, 0.7, 0.1], [0.0, 0.2, 0.6]])
    warm = Image.fromarray((np.asarray(soft(1)) @ mixing.T).astype(np.uint8))
    wanted, found = Palette.of(warm), Palette.of(Palette.of(warm).colour(soft(2)))
    assert found.mean == pytest.approx(wanted.mean, abs=2e-3)
    assert found.covariance == pytest.approx(wanted.covariance, abs=1.5e-4)


def test_its_own_palette_changes_nothing():
    photo = make_picture(80, 60)
    assert difference(Palette.of(photo).colour(photo), photo) <= 1


def test_equal_colours_stay_equal_and_lightness_keeps_its_order():
    """A grey ramp towards a much stronger palette: stretched, bent at both ends, never folded or cut flat."""
    ramp = Image.linear_gradient("L").resize((256, 32)).rotate(90, expand=True).convert("RGB")
    ramp = ramp.point(lambda level: 60 + level // 2)
    strong = Palette(np.array([0.6, 0.05, -0.05]), np.diag([0.16, 0.01, 0.01]))
    result = np.asarray(strong.colour(ramp))
    before = np.asarray(ramp)[..., 0]
    light = {level: oklab(result)[before == level] for level in np.unique(before)}
    assert all((pixels == pixels[0]).all() for pixels in light.values())
    order = np.array([light[level][0, 0] for level in sorted(light)])
    assert (np.diff(order) >= -1e-3).all()
    assert order[-1] - order[0] > 0.8
    assert (order > 0.995).mean() < 0.05


def test_noise_is_not_blown_up():
    flat = soft(3, spread=1)
    before, after = (
        oklab(np.asarray(p)).std((0, 1)) for p in (flat, Palette.of(make_picture(64, 64)).colour(flat))
    )
    assert (after < 2.6 * before.max()).all()


def test_strips_do_not_show(monkeypatch):
    photo, palette = make_picture(70, 50), Palette.of(make_picture(64, 64, seed=5))
    whole = palette.colour(photo).tobytes()
    monkeypatch.setattr(colour_space, "STRIP", 500)
    assert palette.colour(photo).tobytes() == whole


def test_between_two_palettes():
    one, other = Palette.of(soft(1, 60)), Palette.of(soft(2, 180))
    middle = Palette.mixed([one, other], [0.25, 0.75])
    assert middle.mean == pytest.approx(0.25 * one.mean + 0.75 * other.mean)
    assert Palette.mixed([one], [1.0]).covariance == pytest.approx(one.covariance)


def test_the_photo_is_matched_before_it_is_painted():
    palette = Palette.of(soft(1, 170))
    network = TransformerNet("in", 4)
    plain = Stylizer(network, ModelInfo("in", 4))
    matching = Stylizer(network, ModelInfo("in", 4), palette=lambda: palette)
    photo = make_picture(60, 48)
    shifted = palette.colour(photo)
    before = photo.tobytes()
    for options in ({}, {"strength": 0}, {"strength": 0.5}, {"keep_colour": True}):
        painted = matching.paint(photo, options=StyleOptions(match_palette=True, **options))
        assert painted.tobytes() == plain.paint(shifted, options=StyleOptions(**options)).tobytes()
    assert matching.paint(photo).tobytes() == plain.paint(photo).tobytes()
    assert photo.tobytes() == before


def test_a_model_without_its_picture_cannot_match():
    stylizer = Stylizer(TransformerNet("in", 4), ModelInfo("in", 4))
    with pytest.raises(SettingError, match="a model file comes without its style picture"):
        stylizer.paint(make_picture(40, 40), options=StyleOptions(match_palette=True))
