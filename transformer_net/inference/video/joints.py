"""Recordings that were joined byte by byte, `cat 1.mts 2.mts > both.mts`: at each joint the times begin anew.

Transport and program streams are made to be cut and joined like that, and cameras that split long recordings
leave it to their users. Each part is moved to the end of the one before, pictures and sound alike.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from operator import attrgetter
from typing import Any, NamedTuple

_BACK = 0.5  # seconds that times within a stream never go back by, unless they begin anew
_CLOCK = 90_000  # ticks a second, of both kinds of stream


class PacketTimes(NamedTuple):
    """When a packet of pictures or sound is due, in seconds.

    Attributes:
        position: Where it lies in the file, in bytes.
        stream: Index of its stream.
        decoded: When it is decoded; in the order of the file, this grows within a stream.
        begins: When it is shown or heard.
        ends: Until when.
    """

    position: int
    stream: int
    decoded: float
    begins: float
    ends: float


@dataclass(frozen=True)
class Joint:
    """Where a part begins that is not the first.

    Attributes:
        position: In the file, in bytes.
        offset: Seconds to be added to the times of this part.
    """

    position: int
    offset: Fraction


def find_joints(packets: Iterable[PacketTimes]) -> tuple[Joint, ...]:
    """The joints of a file, in order; none where the times go on as they should.

    Args:
        packets: All packets of pictures and sound, in any order.
    """
    parts: list[list[PacketTimes]] = [[]]
    last: dict[int, float] = {}
    for packet in sorted(packets):
        if packet.decoded < last.get(packet.stream, packet.decoded) - _BACK:
            parts.append([])
            last.clear()
        last[packet.stream] = packet.decoded
        parts[-1].append(packet)
    joints, offset = [], 0.0
    for before, part in pairwise(parts):
        offset += max(packet.ends for packet in before) - min(packet.begins for packet in part)
        joints.append(Joint(part[0].position, Fraction(round(offset * _CLOCK), _CLOCK)))
    return tuple(joints)


class Positions:
    """Where the packets of a file lie in it, in bytes, in the order in which they are read.

    Some lie in the middle of what the file stores as one, and do not know: they are where the one before
    in their stream is.
    """

    def __init__(self) -> None:
        self._last: dict[int, int] = {}

    def __call__(self, packet: Any) -> int:
        """The position of a packet of PyAV's."""
        if packet.pos is not None:
            self._last[packet.stream_index] = packet.pos
        return self._last.get(packet.stream_index, 0)


class Mover:
    """Moves packets of PyAV, in the order in which they are read, to where their parts of the file belong."""

    def __init__(self, joints: Sequence[Joint]) -> None:
        self._joints, self._position = joints, Positions()

    def __call__(self, packet: Any) -> None:
        """Add what a packet has to be moved by to its times."""
        part = bisect_right(self._joints, self._position(packet), key=attrgetter("position"))
        if not part:
            return
        offset = round(self._joints[part - 1].offset / packet.time_base)
        if packet.pts is not None:
            packet.pts += offset
        if packet.dts is not None:
            packet.dts += offset
