"""HDR and wide gamuts in sRGB: against the standards' formulas, written here the other way round."""

import numpy as np
import pytest

from tests.conftest import make_picture
from transformer_net.imaging.cicp import BT709, BT2020, HLG, P3_D65, PQ
from transformer_net.imaging.tone_mapping import WHITE, to_srgb

TO_BT2020 = np.array(  # Report ITU-R BT.2087, 2.2
    [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]
)


def linear(levels):
    values = np.asarray(levels) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def srgb(light):
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 0) ** (1 / 2.4) - 0.055)


def pq(light):
    """The inverse EOTF of BT.2100, table 4; `light` in cd/m²."""
    power = (np.asarray(light) / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def hlg(light):
    """The inverse OOTF for a display of 1000 cd/m², then the OETF of BT.2100, table 5."""
    display = np.asarray(light) / 1000
    luma = display @ np.array([0.2627, 0.6780, 0.0593])
    scene = display * np.maximum(luma, 1e-9)[..., None] ** (1 / 1.2 - 1)
    log = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), log)


def signal_of(values):
    return np.rint(np.clip(values, 0, 1) * 65535).astype(np.uint16)


def grey(values):
    return signal_of(np.repeat(np.atleast_1d(values)[None, :, None], 3, axis=2))


@pytest.mark.parametrize(("transfer", "encoded"), [(PQ, pq), (HLG, hlg)])
def test_what_is_darker_than_white_is_halved(transfer, encoded):
    picture = np.asarray(make_picture(64, 48)) // 5 * 3  # up to 153, that is 129 cd/m² before
    signal = signal_of(encoded(2 * WHITE * linear(picture) @ TO_BT2020.T))
    assert np.abs(to_srgb(signal, BT2020, transfer).astype(int) - picture).max() <= 2
    assert np.array_equal(to_srgb(signal, 2, transfer), to_srgb(signal, BT2020, transfer))  # not told


def test_highlights_are_rolled_off():
    """By the operator's own numbers: white is halved for a peak of 1000 cd/m², and the peak becomes white."""
    light = np.array([0, 10, 90, 150, WHITE, 400, 700, 1000, 4000])
    levels = to_srgb(grey(pq(light)), BT2020, PQ)[0, :, 0].astype(int)
    assert np.abs(levels[:5] - 255 * srgb(light[:5] / (2 * WHITE))).max() <= 1
    assert (np.diff(levels[:7]) > 0).all()
    assert list(levels[-2:]) == [255, 255]
    assert (
        to_srgb(grey(pq(WHITE)), BT2020, PQ, peak=WHITE).min() >= 254
    )  # nothing is brighter: no room needed
    # 75 % of HLG is diffuse white, as 58 % of PQ is: BT.2408, table 1.
    assert np.abs(to_srgb(grey(0.75), BT2020, HLG).astype(int) - to_srgb(grey(0.58), BT2020, PQ)).max() <= 1


def test_hues_of_highlights_stay():
    orange = np.array([[[900.0, 450.0, 90.0]]])
    mapped = linear(to_srgb(signal_of(pq(orange)), BT709, PQ))[0, 0]
    assert mapped[1:] / mapped[0] == pytest.approx([0.5, 0.1], rel=0.03)


def test_wide_gamuts_of_sdr():
    picture = np.asarray(make_picture(64, 48))
    wide = srgb(linear(picture) @ TO_BT2020.T)
    assert np.abs(to_srgb(signal_of(wide), BT2020, 1).astype(int) - picture).max() <= 2
    red = signal_of([[[0.9175, 0.2003, 0.1386]]])  # sRGB's, as CSS Color 4 writes it in display-p3
    assert np.abs(to_srgb(red, P3_D65, 13).astype(int) - [255, 0, 0]).max() <= 2
    ramp = grey(np.arange(256) / 255)
    assert np.array_equal(to_srgb(ramp, BT709, 13)[0, :, 0], np.arange(256))
