"""From HDR and wide gamuts to sRGB: PQ and HLG pictures (ITU-R BT.2100), and SDR ones in BT.2020 or P3.

Photos and videos are mapped by one curve, so that both of a scene look alike: the reference white tone
mapping operator of SMPTE ST 2094-50, by which Chromium shows both. What is darker than white is lowered, to
one half for a peak of 1000 cd/m², and the highlights keep their differences. They are rolled off by the
largest of a pixel's channels, so that hues stay, and the peak becomes white. White is 203 cd/m², the diffuse
white of Report ITU-R BT.2408. Colours that sRGB does not have are clipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from transformer_net.imaging.cicp import BT709, BT2020, CHROMATICITIES, HLG, P3_D65, P3_DCI, PQ
from transformer_net.imaging.colour_space import FloatPixels, Levels, decoded, from_light, rgb_to_xyz, strips

WHITE: Final = 203.0
"""Light of diffuse white in cd/m², which becomes sRGB's white where there is nothing brighter."""

DEFAULT_PEAK: Final = 1000.0
"""Brightest light in cd/m² of a PQ picture that does not tell its own, and of the display of HLG."""

_WIDE: Final = frozenset({BT2020, P3_DCI, P3_D65})
_D65: Final = (0.3127, 0.3290)  # for DCI's P3, too: its greenish white is white in a theatre

_SHOULDER: Final = 0.65
"""How far along both tangents the middle point of the highlights' curve lies."""

_LEVELS: Final = 1 << 16
_STEPS: Final = 1 << 14
"""Entries of a table whose index goes with the square root of light, about as the eye does."""


def is_foreign(primaries: int, transfer: int) -> bool:
    """Whether a picture with these code points of H.273 looks wrong where it is taken for sRGB."""
    return transfer in (PQ, HLG) or primaries in _WIDE


def to_srgb(
    signal: npt.NDArray[np.uint8] | npt.NDArray[np.uint16],
    primaries: int,
    transfer: int,
    peak: float = DEFAULT_PEAK,
) -> Levels:
    """The 8-bit sRGB levels of a picture, whatever its primaries and its curve.

    Args:
        signal: R'G'B', (H, W, 3), 8 or 16 bits in full range: 0 is black, 255 or 65,535 the largest value.
        primaries: Code point of H.273; unknown ones are BT.2020 for PQ and HLG, BT.709 for the others.
        transfer: Code point of H.273; all but PQ and HLG are taken for sRGB's curve, as most displays do.
        peak: Brightest light of a PQ picture in cd/m², as it tells it itself: MaxCLL, or the brightest of the
            display on which it was mastered.
    """
    peak = float(np.clip(peak, WHITE, 10_000)) if transfer == PQ else DEFAULT_PEAK
    curve = _curve(transfer, peak)
    if primaries not in CHROMATICITIES:
        primaries = BT2020 if transfer in (PQ, HLG) else BT709
    matrix = _to_bt709(primaries).T
    levels: Levels = np.empty(signal.shape, np.uint8)
    for rows in strips(signal.shape[1], signal.shape[0]):
        part = signal[rows]
        deep = part.astype(np.uint16, copy=False) * np.uint16(257 if part.dtype == np.uint8 else 1)
        levels[rows] = _ENCODED[_index(curve.light(deep) @ matrix)]
    return levels


@dataclass(frozen=True)
class _Curve:
    """What light a signal means, and how much of it is left after tone mapping.

    Attributes:
        linear: Light for each level of a channel, 1 for the brightest of the curve: for HLG, of the scene.
        gain: Factor for a pixel, by the light of its brightest channel on the display; None for SDR.
        gamma: Of the system (OOTF): HLG's scene becomes a display's light by it.
    """

    linear: FloatPixels
    gain: FloatPixels | None = None
    gamma: float = 1

    def light(self, signal: npt.NDArray[np.uint16]) -> FloatPixels:
        """Linear light (..., 3) on an SDR display, 1 for white."""
        light: FloatPixels = self.linear[signal]
        if self.gamma != 1:
            light *= (light @ _LUMA_OF_BT2020)[..., None] ** np.float32(self.gamma - 1)
        if self.gain is not None:
            light *= self.gain[_index(light.max(axis=-1, keepdims=True))]
        return light


@lru_cache(maxsize=4)
def _curve(transfer: int, peak: float) -> _Curve:
    signal = np.linspace(0, 1, _LEVELS)
    if transfer == PQ:
        return _Curve((_pq_light(signal) / _PQ_MOST).astype(np.float32), _gains(_PQ_MOST, peak))
    if transfer == HLG:
        a, b, c = 0.17883277, 0.28466892, 0.55991073  # BT.2100, table 5
        scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
        return _Curve(np.minimum(scene, 1).astype(np.float32), _gains(peak, peak), gamma=1.2)
    return _Curve(decoded(signal))


def _gains(most: float, peak: float) -> FloatPixels:
    """Factors from light, 1 for `most` cd/m², to light, 1 for white."""
    light = most * np.maximum(np.linspace(0, 1, _STEPS), 0.5 / _STEPS) ** 2
    gains: FloatPixels = (_rolled_off(light, peak) / light * most).astype(np.float32)
    return gains


def _rolled_off(light: npt.NDArray[np.float64], peak: float) -> npt.NDArray[np.float64]:
    """Light of an SDR display, 1 for white, for light in cd/m² and the brightest of the picture.

    From white on, a quadratic Bézier curve from its lowered light to the peak.
    """
    headroom = peak / WHITE
    white = 1 - 0.5 * min(np.log(headroom) / np.log(DEFAULT_PEAK / WHITE), 1)
    middle_x = (1 - _SHOULDER) + _SHOULDER / white
    middle_y = (1 - _SHOULDER) * white + _SHOULDER
    t = np.linspace(0, 1, 1024)
    x = (1 - t) ** 2 + 2 * t * (1 - t) * middle_x + t**2 * max(headroom, middle_x)
    y = white * (1 - t) ** 2 + 2 * t * (1 - t) * middle_y + t**2
    relative = light / WHITE
    return np.asarray(np.where(relative < 1, white * relative, np.interp(relative, x, y)))


_LUMA_OF_BT2020: Final = np.array([0.2627, 0.6780, 0.0593], np.float32)
_PQ_MOST: Final = 10_000.0  # cd/m²
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128  # BT.2100, table 4
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32


def _pq_light(signal: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Light in cd/m²."""
    power = signal ** (1 / _M2)
    return np.asarray(10_000 * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1))


def _index(light: FloatPixels) -> npt.NDArray[np.uint16]:
    """Where light within 0 and 1 stands in a table of `_STEPS` entries."""
    root = np.sqrt(np.clip(light, 0, 1))
    root *= _STEPS - 1
    root += np.float32(0.5)
    return root.astype(np.uint16)


_ENCODED: Final = from_light(np.linspace(0, 1, _STEPS, dtype=np.float32) ** 2)
"""sRGB's level for light, by `_index`."""


@lru_cache
def _to_bt709(primaries: int) -> FloatPixels:
    """The matrix from linear light in these primaries to light in BT.709's, which are sRGB's."""
    matrix: FloatPixels = np.linalg.solve(_to_xyz(BT709), _to_xyz(primaries)).astype(np.float32)
    return matrix


def _to_xyz(primaries: int) -> npt.NDArray[np.float64]:
    return rgb_to_xyz((*_D65, *CHROMATICITIES[primaries][2:]))
