"""Blends of styles."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from styles import blend
from styles.blend import common_norms, gallery_mean, load_blend, parse_blend, with_absolute_paths
from styles.catalog import find_style
from tests.conftest import make_picture
from transformer_net.checkpoint import load_model
from transformer_net.errors import SettingError, UnknownStyleError
from transformer_net.inference.stylizer import Stylizer
from transformer_net.norms import NORMS


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        ("wave", {"wave": 1}),
        (" Wave : 3 , starry:1", {"wave": 0.75, "starry": 0.25}),
        ("wave,ink", {"wave": 0.5, "ink": 0.5}),
        ("wave:0.25,ink:0", {"wave": 1}),
        ("wave:1e-1,ink:0.3", {"wave": 0.25, "ink": 0.75}),
    ],
)
def test_shares(text, shares):
    assert parse_blend(text) == pytest.approx(shares)


@pytest.mark.parametrize(
    ("text", "error", "sentence"),
    [
        ("wave,nosuch", UnknownStyleError, "There is no style 'nosuch'"),
        ("wave:", SettingError, "A style is a name or a blend"),
        ("", SettingError, "A style is a name or a blend"),
        ("wave:1:2", SettingError, "A style is a name or a blend"),
        ("wave:x", SettingError, "Shares are numbers of at least 0"),
        (" " * 50_000 + "wave" + " " * 50_000 + "::", SettingError, "A style is a name or a blend"),
        ("wave:-1", SettingError, "'-1' in 'wave:-1' is not one"),
        ("wave:1e999", SettingError, "Shares are numbers of at least 0"),
        ("wave:1,WAVE:2", SettingError, "named twice"),
        ("wave:0,ink:0", SettingError, "No share is above 0"),
        ("wave:1e308,ink:1e308", SettingError, "too large"),
    ],
)
def test_mistakes(text, error, sentence):
    with pytest.raises(error, match=sentence):
        parse_blend(text)


def test_one_style_is_its_model():
    network, info = load_blend({"ink": 1.0}, "bn")
    plain, plain_info = load_model(find_style("ink").model("bn"))
    assert info == plain_info
    weights = plain.state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("norm", NORMS)
def test_weights_are_the_weighted_mean(norm):
    network, info = load_blend({"wave": 0.25, "starry": 0.75}, norm)
    assert (info.norm, info.style) == (norm, "wave25-starry75")
    wave, starry = (load_model(find_style(name).model(norm))[0].state_dict() for name in ("wave", "starry"))
    for key, value in network.state_dict().items():
        if "running" not in key and value.is_floating_point():
            assert torch.allclose(value, 0.25 * wave[key] + 0.75 * starry[key], atol=1e-6), key


def test_running_statistics_fit_the_blend_as_they_fitted_the_styles():
    """By as much as they were off on the example photos, they may be; the mean of them is off much more."""
    shares = {"wave": 0.5, "cubist": 0.5}
    network, info = load_blend(shares, "bn")
    photos = blend.example_photos(info.grain)
    ends = [load_model(find_style(name).model("bn"))[0] for name in shares]
    own, *measured = (blend._statistics(one, photos) for one in (network, *ends))
    worst = 0.0
    for key in (key for key in own if key.endswith("running_var")):
        mean = sum(end.get_buffer(key) for end in ends) / 2
        expected = mean / (sum(values[key] for values in measured) / 2)
        assert torch.allclose(network.get_buffer(key) / own[key], expected, rtol=0.02), key
        worst = max(worst, (mean / network.get_buffer(key)).median().item())
    assert worst > 1.5


@pytest.mark.parametrize("norm", ["bn", "iebn"])
def test_a_trace_of_another_style_changes_next_to_nothing(norm):
    photo = make_picture(96, 96)
    pure, mixed = (
        np.asarray(Stylizer.from_style(style, norm, engine="torch").paint(photo)).astype(float)
        for style in ("wave", "wave:0.999,cubist:0.001")
    )
    assert np.abs(pure - mixed).max() < 6


@pytest.mark.slow
@pytest.mark.parametrize("norm", NORMS)
def test_the_way_from_style_to_style_has_no_jump(norm):
    """Each step of a sixth changes the painting by clearly less than the whole way does."""
    photo = make_picture(96, 96)
    paintings = [
        np.asarray(Stylizer.from_style(f"wave:{6 - k},cubist:{k}", norm, engine="torch").paint(photo)).astype(
            float
        )
        for k in range(7)
    ]
    whole = np.abs(paintings[-1] - paintings[0]).mean()
    steps = [np.abs(b - a).mean() for a, b in pairwise(paintings)]
    assert whole > 15
    assert max(steps) < 0.75 * whole
    assert min(steps) > 0
    contrast = [painting.std() for painting in paintings]
    assert min(contrast) > 0.7 * min(contrast[0], contrast[-1])  # no fading to grey half-way


@pytest.mark.parametrize(
    ("without", "names"),
    [("", "cubist ink mosaic pointillist starry wave"), ("ink", "cubist mosaic pointillist starry wave")],
)
def test_the_mean_of_the_gallery(without, names):
    mean = gallery_mean("in", without).state_dict()
    states = [load_model(find_style(name).model("in"))[0].state_dict() for name in names.split()]
    for key, value in mean.items():
        assert torch.allclose(value, sum(state[key] for state in states) / len(states), atol=1e-6), key


def test_models_of_different_origin_are_refused(monkeypatch):
    def without_base(path):
        network, info = load_model(path)
        if info.style == "ink":
            del info.training["base_sha256"]
        return network, info

    monkeypatch.setattr(blend, "load_model", without_base)
    with pytest.raises(
        SettingError, match=r"ink and wave cannot .* in: ink was not trained from a base network"
    ):
        load_blend({"ink": 0.5, "wave": 0.5}, "in")


def test_blending_leaves_the_models_as_they_are():
    models = {name: load_model(find_style(name).model("iebn")) for name in ("wave", "ink")}
    before = {name: {k: v.clone() for k, v in m.state_dict().items()} for name, (m, _) in models.items()}
    blend.blend({"wave": 0.3, "ink": 0.7}, models)
    for name, (network, _) in models.items():
        assert all(torch.equal(value, before[name][key]) for key, value in network.state_dict().items())


def test_models_of_different_bases_are_refused(monkeypatch):
    def other_base(path):
        network, info = load_model(path)
        info.training["base_sha256"] = str(path)
        return network, info

    monkeypatch.setattr(blend, "load_model", other_base)
    with pytest.raises(SettingError, match="they were trained from different base networks"):
        load_blend({"ink": 0.5, "wave": 0.5}, "in")


def test_common_norms():
    assert common_norms({"wave": 0.5, "ink": 0.5}) == list(NORMS)


def test_paths_in_a_blend_mean_the_same_in_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert with_absolute_paths("my.jpg:0.5, wave:0.5") == f"{tmp_path}/my.jpg:0.5,wave:0.5"
    assert with_absolute_paths("wave") == "wave"
