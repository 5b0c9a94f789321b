"""Places for requests that bring a picture: how many, whose, and how much of the disk they take."""

from __future__ import annotations

import ipaddress
import math
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from app.errors import QueueFullError, ServiceError, StorageFullError, TooManyRequestsError
from app.settings import Settings

_SPARE_BYTES: Final = 16_000_000
"""Of the disk, which are left for others."""


_BURST_SECONDS: Final = 5
"""How many seconds' worth of the page's uploads may come at once."""

_CLIENT_SHARE: Final = 0.25
"""Of the page's uploads, which one client may bring; at once it may bring half of them."""


class Arrival(Protocol):
    """A request's body on its way."""

    def lateness(self) -> float:
        """Seconds by which it is slower than the least rate; not above 0 where it is not."""

    def hurry(self) -> None:
        """Refuse what has not come yet."""


class Places:
    """The places; for one event loop. Where there is none, whose body is the latest loses its own.

    Args:
        settings: How many there are, and how many for one client.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._of: Counter[str] = Counter()
        self._bytes = 0
        self._arrivals: dict[Arrival, tuple[str, int]] = {}
        rate, at_once = settings.page_uploads, _BURST_SECONDS * settings.page_uploads
        self._pace, self._client_pace = Pace(rate, at_once), Pace(_CLIENT_SHARE * rate, 0.5 * at_once)

    @property
    def taken(self) -> int:
        """How many are taken."""
        return self._of.total()

    @property
    def bytes_to_keep(self) -> int:
        """What the page's files may take on the disk, beside what arrives now."""
        return self._settings.temp_bytes - self._bytes

    def count_page_upload(self, client: str) -> None:
        """Let one more picture be uploaded to the page. Each takes the event loop milliseconds.

        Raises:
            TooManyRequestsError: They come too often, this client's or everybody's.
        """
        if seconds := self._client_pace.wait(client):
            raise TooManyRequestsError("You upload pictures more often than one client may.", seconds)
        if seconds := self._pace.wait(""):
            raise TooManyRequestsError("More pictures are uploaded to the page than may be.", seconds)
        self._client_pace.count(client)
        self._pace.count("")

    def refusal(self, size: int = 0) -> ServiceError | None:
        """Why a request of `size` bytes gets no place, whosever it is; None where there is one."""
        if self.taken >= self._settings.max_requests:
            return QueueFullError("As many pictures are being uploaded as may be at once.", retry_after=2)
        if self._bytes + size > self._settings.temp_bytes // 2:
            return QueueFullError("As many bytes are being uploaded as may be at once.", retry_after=2)
        if shutil.disk_usage(tempfile.gettempdir()).free < size + _SPARE_BYTES:
            return StorageFullError()
        return None

    @contextmanager
    def take(self, client: str, size: int, arrival: Arrival) -> Iterator[None]:
        """A place for a request of `size` bytes, until it is answered or loses it.

        Raises:
            TooManyRequestsError: This client has its share.
            QueueFullError, StorageFullError: There is none.
        """
        if self._of[client] >= self._settings.client_requests:
            raise TooManyRequestsError(
                f"You have {self._settings.client_requests} requests here, which is the most at once.", 1
            )
        while (refusal := self.refusal(size)) is not None:
            latest = max(self._arrivals, key=lambda arrival: arrival.lateness(), default=None)
            if latest is None or latest.lateness() <= 0:
                raise refusal
            self._free(latest)
            latest.hurry()
        self._arrivals[arrival] = client, size
        self._of[client] += 1
        self._bytes += size
        try:
            yield
        finally:
            self._free(arrival)

    def _free(self, arrival: Arrival) -> None:
        """Gives a place back, once."""
        if arrival not in self._arrivals:
            return
        client, size = self._arrivals.pop(arrival)
        self._bytes -= size
        self._of[client] -= 1
        if not self._of[client]:
            del self._of[client]


def client_name(host: str) -> str:
    """Who a client is: its IPv4 address, or the network of its IPv6 address, any of which it may take."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return host


class Pace:
    """How often each of some may do something: the generic cell rate algorithm.

    Not one of the windows of `limits`, by which `app.middleware.access` counts: after a burst these let
    nobody in until it is forgotten, and here the next second has room for the next few.

    Args:
        rate: Times a second, on the average; 0: any.
        at_once: Times without a pause, after one that was long enough.
    """

    def __init__(self, rate: float, at_once: float) -> None:
        self._step = 1 / rate if rate else 0.0
        self._ahead = (max(1.0, at_once) - 1) * self._step
        self._due: dict[str, float] = {}  # when each is back in step; who was counted last is at the end

    def wait(self, who: str) -> int:
        """Seconds, rounded up, until `who` may; 0: now."""
        return max(0, math.ceil(self._due.get(who, 0.0) - self._ahead - time.monotonic()))

    def count(self, who: str) -> None:
        """`who` does it now."""
        now = time.monotonic()
        self._due[who] = max(self._due.pop(who, now), now) + self._step
        while self._due[first := next(iter(self._due))] < now:
            del self._due[first]
