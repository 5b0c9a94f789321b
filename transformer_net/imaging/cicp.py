"""Coding-independent code points (ITU-T H.273): how files name primaries and transfer without a profile."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import IO, Final

PQ, HLG = 16, 18
"""The transfer characteristics of high dynamic range (ITU-R BT.2100)."""

BT709, BT2020, P3_DCI, P3_D65 = 1, 9, 11, 12
"""Colour primaries."""

_WHITES: Final = {"D65": (0.3127, 0.329), "C": (0.31, 0.316), "E": (1 / 3, 1 / 3), "DCI": (0.314, 0.351)}

CHROMATICITIES: Final[dict[int, tuple[float, ...]]] = {
    1: (*_WHITES["D65"], 0.64, 0.33, 0.3, 0.6, 0.15, 0.06),
    4: (*_WHITES["C"], 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_WHITES["D65"], 0.64, 0.33, 0.29, 0.6, 0.15, 0.06),
    6: (*_WHITES["D65"], 0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
    7: (*_WHITES["D65"], 0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
    8: (*_WHITES["C"], 0.681, 0.319, 0.243, 0.692, 0.145, 0.049),
    9: (*_WHITES["D65"], 0.708, 0.292, 0.17, 0.797, 0.131, 0.046),
    11: (*_WHITES["DCI"], 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
    12: (*_WHITES["D65"], 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
    22: (*_WHITES["D65"], 0.63, 0.34, 0.295, 0.605, 0.155, 0.077),
}
"""Of colour primaries (H.273, table 2): x and y of white, red, green and blue, as PNG's cHRM orders them."""

_SRGB_CURVE, _BT709_CURVES = 13, (1, 6, 14, 15)

_PNG_HEAD: Final = 8


@dataclass(frozen=True)
class Cicp:
    """What a file says of its colours.

    Attributes:
        primaries: Colour primaries (H.273, table 2).
        transfer: Transfer characteristics (H.273, table 3).
        peak: The brightest that is shown, cd/m², where the file tells (content light level).
    """

    primaries: int
    transfer: int
    peak: float | None = None

    @property
    def is_hdr(self) -> bool:
        """Whether it has to be tone-mapped."""
        return self.transfer in (PQ, HLG)


def of_nclx(primaries: int, transfer: int, peak: float | None = None) -> Cicp:
    """Of HEIC and AVIF. Their encoders say BT.709 of sRGB pictures, and browsers take it for that."""
    return Cicp(primaries, _SRGB_CURVE if transfer in _BT709_CURVES else transfer, peak)


def of_png(stream: IO[bytes]) -> Cicp | None:
    """The cICP chunk of a PNG (third edition, 11.3.2.6), the stream being at its beginning again."""
    found, peak = None, None
    stream.seek(_PNG_HEAD)
    while len(head := stream.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind in (b"IDAT", b"IEND"):
            break
        if (kind, length) in ((b"cICP", 4), (b"cLLI", 8)):
            data = stream.read(length)
            length = 0
            if kind == b"cLLI":
                peak = struct.unpack_from(">I", data)[0] / 10_000 or None
            elif len(data) == 4 and data[2] == 0:  # RGB
                found = Cicp(data[0], data[1])
        stream.seek(length + 4, 1)
    stream.seek(0)
    return found and replace(found, peak=peak)


def of_icc(icc: bytes) -> Cicp | None:
    """The cicpTag of a profile (ICC.1:2022, 9.2.17)."""
    try:
        for index in range(min(struct.unpack_from(">I", icc, 128)[0], 100)):
            name, at, length = struct.unpack_from(">4sII", icc, 132 + 12 * index)
            if name == b"cicp" and length >= 12 and icc[at : at + 4] == b"cicp":
                return Cicp(icc[at + 8], icc[at + 9])
    except (struct.error, IndexError):
        pass
    return None


def of_avif(data: bytes) -> Cicp | None:
    """The nclx colour property of the main picture, unless it has an ICC profile, too (ISO/IEC 23008-12)."""
    try:
        meta = _inside(data, b"meta", 0, len(data), skip=4)
        properties = _inside(data, b"iprp", *meta)
        container = _inside(data, b"ipco", *properties)
        (place, _) = _inside(data, b"pitm", *meta)
        main = struct.unpack_from(">I" if data[place] else ">H", data, place + 4)[0]
        found, peak = None, None
        listed = list(boxes(data, *container))
        for index in _associated(data, *properties, main):
            kind, start, _ = listed[index - 1]
            if kind == b"colr" and data[start : start + 4] == b"nclx":
                found = of_nclx(*struct.unpack_from(">HH", data, start + 4))
            elif kind == b"colr":
                return None
            elif kind == b"clli":
                peak = float(struct.unpack_from(">H", data, start)[0]) or None
        return found and replace(found, peak=peak)
    except (struct.error, IndexError, LookupError):
        return None


def boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of what is inside each box of an ISO base media file (ISO/IEC 14496-12)."""
    while start + 8 <= end:
        length, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if length == 1:
            (length,), head = struct.unpack_from(">Q", data, start + 8), 16
        stop = end if length == 0 else start + length
        if stop < start + head:
            return
        yield kind, start + head, min(stop, end)
        start = stop


def _inside(data: bytes, wanted: bytes, start: int, end: int, skip: int = 0) -> tuple[int, int]:
    for kind, first, last in boxes(data, start, end):
        if kind == wanted:
            return first + skip, last
    raise LookupError(wanted)


def _associated(data: bytes, start: int, end: int, item: int) -> Iterator[int]:
    """Numbers, from 1, of the properties of an item."""
    for kind, at, _ in boxes(data, start, end):
        if kind != b"ipma":
            continue
        version, wide = data[at], data[at + 3] & 1
        count = struct.unpack_from(">I", data, at + 4)[0]
        at += 8
        for _ in range(count):
            number = struct.unpack_from(">I" if version else ">H", data, at)[0]
            at += 4 if version else 2
            several = data[at]
            at += 1
            for place in range(several):
                if number == item:
                    index = (
                        struct.unpack_from(">H", data, at + 2 * place)[0] & 0x7FFF
                        if wide
                        else data[at + place] & 0x7F
                    )
                    if index:
                        yield index
            at += several * (2 if wide else 1)
