"""The photo's colours in a painting."""

import inspect

import numpy as np
import pytest
from PIL import Image

import stylize as command
from app.http import api
from app.page.compare_tab import _control
from tests.conftest import make_picture
from transformer_net.errors import SettingError
from transformer_net.imaging import colour_space
from transformer_net.imaging.colour_space import oklab
from transformer_net.inference.options.style_options import (
    DECLARED,
    DEFAULT_OPTIONS,
    StyleOptions,
    recolour,
)

GREYS = np.arange(256, dtype=np.uint8)[:, None].repeat(3, 1)


def levels(*rgb):
    return np.array(rgb, np.uint8)


# Red, green and blue as browsers compute them (CSS Color 4).
@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((255, 255, 255), (1, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((255, 0, 0), (0.62796, 0.22486, 0.12585)),
        ((0, 255, 0), (0.86644, -0.23389, 0.17950)),
        ((0, 0, 255), (0.45201, -0.03246, -0.31153)),
    ],
)
def test_oklab_of_known_colours(rgb, lab):
    assert oklab(levels(*rgb)) == pytest.approx(np.array(lab), abs=2e-4)


def test_greys_have_no_colour_and_rising_lightness():
    lab = oklab(GREYS)
    assert np.abs(lab[:, 1:]).max() < 1e-4
    assert (np.diff(lab[:, 0]) > 0).all()


def test_a_photo_in_its_own_colours_is_itself():
    photo = make_picture(80, 60)
    difference = np.asarray(recolour(photo, photo)).astype(int) - np.asarray(photo)
    assert np.abs(difference).max() <= 1


def test_lightness_is_the_painting_s_and_hue_the_photo_s():
    rng = np.random.default_rng(0)
    painting, photo = (Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)) for _ in range(2))
    before = np.asarray(photo).copy()
    result = oklab(np.asarray(recolour(painting, photo)))
    assert (np.asarray(photo) == before).all()
    light, wanted = oklab(np.asarray(painting)), oklab(before)
    # Random colours on random lightness: most have to give up some chroma, none its lightness.
    # One level of 255 is up to 0.05 of lightness in the darkest tones.
    assert np.abs(result[..., 0] - light[..., 0])[light[..., 0] > 0.2].max() < 0.01
    chroma, asked = (np.hypot(*np.moveaxis(lab[..., 1:], -1, 0)) for lab in (result, wanted))
    assert (chroma < asked + 0.01).all()
    coloured = (chroma > 0.05) & (light[..., 0] > 0.2)
    turn = np.angle(
        (result[..., 1] + 1j * result[..., 2]) / np.where(coloured, wanted[..., 1] + 1j * wanted[..., 2], 1)
    )
    assert coloured.mean() > 0.3
    assert np.abs(turn[coloured]).max() < 0.08


def test_chroma_is_kept_as_far_as_the_display_goes():
    """White light on a pure blue: what is left is the palest blue, at the border of what sRGB has."""
    blue, pale = Image.new("RGB", (4, 4), (0, 0, 255)), Image.new("RGB", (4, 4), (235, 235, 235))
    pixel = np.asarray(recolour(pale, blue))[0, 0]
    assert pixel.max() == 255
    assert pixel[2] > pixel[0] + 20


def test_strips_do_not_show(monkeypatch):
    painting, photo = make_picture(70, 50, seed=1), make_picture(70, 50, seed=2)
    whole = recolour(painting, photo).tobytes()
    monkeypatch.setattr(colour_space, "STRIP", 500)
    assert recolour(painting, photo).tobytes() == whole


@pytest.mark.parametrize("strength", [-0.01, 1.01, float("nan"), float("inf")])
def test_strength_is_within_0_and_1(strength):
    with pytest.raises(SettingError, match="within 0 and 1"):
        StyleOptions(strength)


def test_an_option_is_declared_once_and_offered_everywhere():
    """Command line, API and page, with the same default and bounds."""
    for name, option in DECLARED.items():
        default = getattr(DEFAULT_OPTIONS, name)
        for function in (command.stylize, api.stylize):
            assert inspect.signature(function).parameters[name].default == default
        control = _control(name, option)
        assert control.label.startswith(option.label)
        if option.least is not None:
            times = control.maximum / option.most
            assert (control.minimum, control.value) == (times * option.least, times * default)
            with pytest.raises(SettingError):
                StyleOptions(**{name: option.most + 0.01})
    assert DECLARED.keys() <= api.FIELDS
