"""ICC profiles: what they do, and those made for colours that a file describes in other ways."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
from PIL import Image, ImageCms

from transformer_net.imaging.cicp import CHROMATICITIES, Cicp, of_icc
from transformer_net.imaging.colour_space import rgb_to_xyz
from transformer_net.imaging.tone_mapping import DEFAULT_PEAK, to_srgb

Curve = tuple[float, float, float, float, float]
"""g, a, b, c, d: (a v + b)^g from d on, c v below (ICC.1:2022, 10.18, function type 3)."""

_SRGB_CURVE: Final[Curve] = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_DISPLAY_CURVE: Final[Curve] = (2.4, 1, 0, 0, 0)  # of BT.1886: BT.709 gives the curve of cameras only

_CURVES: Final[dict[int, Curve]] = {
    **dict.fromkeys((1, 6, 11, 12, 14, 15), _DISPLAY_CURVE),
    4: (2.2, 1, 0, 0, 0),
    5: (2.8, 1, 0, 0, 0),
    7: (1 / 0.45, 1 / 1.1115, 0.1115 / 1.1115, 1 / 4, 0.0912),
    8: (1, 1, 0, 0, 0),
    13: _SRGB_CURVE,
}
"""Of transfer characteristics (H.273, table 3), but for those of high dynamic range."""

_SRGB: Final = Cicp(1, 13)
_UNSPECIFIED: Final = 2

_D50: Final = np.array([0.9642, 1.0, 0.8249])
_BRADFORD: Final = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])

_SAME: Final = 2
"""Levels that a profile may move a colour by and still be sRGB's: its tables are rounded."""


COLOUR_KEYS: Final = frozenset({"icc_profile", "cicp", "srgb", "gamma", "chromaticity"})
"""Where `Image.info` says what the colours are: as Pillow does, and `cicp`, a `Cicp`."""


def managed_colours(image: Image.Image, info: dict[Any, Any]) -> Image.Image | None:
    """A new picture of mode RGB: one of mode L, RGB or CMYK, brought to sRGB.

    The order is that of PNG (third edition, 4.3): code points, ICC profile, sRGB chunk, gamma. High dynamic
    range is tone-mapped.

    Args:
        image: The picture.
        info: What is known of its colours, by `COLOUR_KEYS`.

    Returns:
        The picture; None where its colours are sRGB already.

    Raises:
        Exception: Of nearly any kind, if a profile is broken or for another kind of colours.
    """
    cicp, icc = info.get("cicp"), info.get("icc_profile")
    if cicp is None and icc and (within := of_icc(icc)) and within.is_hdr:
        cicp = within
    if cicp is not None and cicp.is_hdr:
        signal = np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
        peak = cicp.peak or DEFAULT_PEAK
        return Image.fromarray(to_srgb(signal, cicp.primaries, cicp.transfer, peak))
    if cicp is not None:
        icc = _of_cicp(cicp)
    elif not icc and "srgb" not in info:
        icc = _of_gamma(info)
    if not icc:
        return None
    is_rgb = icc[16:20] == b"RGB "
    return None if is_rgb and _is_srgb(icc) and image.mode != "CMYK" else _applied(image, icc)


@lru_cache(64)
def _is_srgb(profile: bytes) -> bool:
    """Whether an RGB profile changes nothing, whatever it is called."""
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 3)
    probe = np.concatenate([grid, np.arange(256, dtype=np.uint8)[:, None].repeat(3, 1)])
    found = np.asarray(_applied(Image.fromarray(probe[None]), profile), int)[0]
    return int(np.abs(found - probe).max()) <= _SAME


def _applied(image: Image.Image, profile: bytes) -> Image.Image | None:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    if image.mode == "L" and source.profile.xcolor_space.strip() == "RGB":
        image = image.convert("RGB")
    return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")


def _of_cicp(cicp: Cicp) -> bytes | None:
    """A profile for colours of standard dynamic range; None where they are sRGB, or unknown.

    What is left open is taken for sRGB's.
    """
    primaries = _SRGB.primaries if cicp.primaries == _UNSPECIFIED else cicp.primaries
    transfer = _SRGB.transfer if cicp.transfer == _UNSPECIFIED else cicp.transfer
    if primaries not in CHROMATICITIES or transfer not in _CURVES or (primaries, transfer) == (1, 13):
        return None
    return _made(CHROMATICITIES[primaries], _CURVES[transfer])


def _of_gamma(info: dict[str, Any]) -> bytes | None:
    """A profile for the gAMA and cHRM chunks of a PNG, as Pillow gives them; None without, or for sRGB's.

    Of gAMA alone, 1/2.2 is taken for sRGB, as browsers do; cHRM alone says nothing of the curve.
    """
    gamma, points = info.get("gamma"), info.get("chromaticity")
    if not gamma or (points is None and abs(gamma - 0.45455) < 0.001):
        return None
    return _made(points or CHROMATICITIES[_SRGB.primaries], (1 / gamma, 1, 0, 0, 0))


@lru_cache(64)
def _made(points: Sequence[float], curve: Curve) -> bytes:
    """A display profile of version 4: x and y of white, red, green and blue, and the curve of all three.

    Raises:
        ValueError: There is no such white, or the primaries lie on a line.
    """
    matrix = rgb_to_xyz(points)
    cones = (_BRADFORD @ _D50) / (_BRADFORD @ matrix.sum(axis=1))  # all three at once are white
    adaptation = np.linalg.inv(_BRADFORD) @ np.diag(cones) @ _BRADFORD
    columns = (adaptation @ matrix).T
    tags = {b"wtpt": _fixed(b"XYZ ", _D50), b"chad": _fixed(b"sf32", adaptation.ravel())}
    tags |= {
        name: _fixed(b"XYZ ", column)
        for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)
    }
    shape = b"para\0\0\0\0\0\3\0\0" + _numbers(curve)
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), shape)
    at, table, body = 132 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        table += name + struct.pack(">II", at + len(body), len(data))
        body += data
    head = b"\0\0\0\0\4\0\0\0mntrRGB XYZ " + b"\0" * 12 + b"acsp" + b"\0" * 28 + _numbers(_D50)
    head = struct.pack(">I", at + len(body)) + head
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def _fixed(kind: bytes, values: Any) -> bytes:
    return kind + b"\0\0\0\0" + _numbers(values)


def _numbers(values: Any) -> bytes:
    """As ICC's s15Fixed16Number."""
    return b"".join(struct.pack(">i", round(float(value) * 65536)) for value in values)
