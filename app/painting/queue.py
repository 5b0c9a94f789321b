"""The one bounded queue: page and API paint through it, one painting at a time.

One painting already uses every core, so a second one beside it would only make both late. What does not
fit into the queue is refused at once: an early answer is better for a client than a time-out.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, Final, TypeVar

from app.errors import ClientGoneError, DeadlineError, QueueFullError, ShuttingDownError

T = TypeVar("T")

_POLL_SECONDS: Final = 0.1
"""How often a waiting job asks whether its client is still there."""


class JobQueue:
    """A first-in-first-out queue of bounded length in front of one worker thread.

    Safe to use from several threads and event loops.

    Args:
        length: Jobs that may wait while one runs.
        deadline_seconds: Longest time from `run` being called to its result.
        on_refused: Told of every job that did not get its result: "full", "deadline", "gone", "closed" or
            "spare".
    """

    def __init__(
        self, length: int, deadline_seconds: float, on_refused: Callable[[str], None] = lambda reason: None
    ) -> None:
        self._length, self._deadline, self._on_refused = length, deadline_seconds, on_refused
        self._jobs: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._changed = threading.Condition()
        self._busy, self._closed, self._served = False, True, False
        self._spare: Future[Any] | None = None  # the last job that was taken for spare time
        self._last_seconds = 1.0
        self.open()

    def open(self) -> None:
        """Take jobs; without effect unless it was closed."""
        with self._changed:
            self._closed = False
            if self._served:
                return
            self._served = True
            # A daemon: a long painting that nobody waits for any more must not keep the process from exiting.
            self._worker = threading.Thread(target=self._work, name="inference", daemon=True)
            self._worker.start()

    @property
    def waiting(self) -> int:
        """Jobs that have not started."""
        return len(self._jobs)

    @property
    def running(self) -> int:
        """Jobs being computed: 0 or 1."""
        return int(self._busy)

    @property
    def closed(self) -> bool:
        """Whether it is closed for good."""
        return self._closed

    @property
    def full(self) -> bool:
        """Whether `run` would refuse a job now."""
        sparing = self._spare is not None and not self._spare.done()
        return self._closed or self.waiting + self.running - sparing > self._length

    @property
    def retry_after(self) -> int:
        """Seconds until a place is likely to be free, judged by the last job: 1 to 60."""
        return min(60, max(1, round(self._last_seconds * (self.waiting + 1))))

    async def run(
        self,
        work: Callable[[], T],
        *,
        gone: Callable[[], Awaitable[bool]] | None = None,
        spare: bool = False,
    ) -> T:
        """Call `work` in the worker thread, in its turn, and give its result.

        If the caller is cancelled, or `gone` becomes true, a job that still waits leaves the queue at once.
        A job that runs is finished, for it cannot be interrupted, and its result dropped.

        Args:
            work: What to compute.
            gone: Asked ten times a second whether the client has left.
            spare: Take it for spare time: at once if nothing runs or waits, else not at all. It takes no
                place away from other jobs.

        Raises:
            QueueFullError: There is no place, or no spare time; nothing was started.
            ShuttingDownError: The queue is closed, or was closed while the job waited.
            DeadlineError: The result was not there in time.
            ClientGoneError: `gone` became true.
        """
        future = self._enter(work, spare)
        deadline = time.monotonic() + self._deadline
        finished = asyncio.wrap_future(future)
        try:
            while not finished.done():
                await asyncio.wait(
                    {finished}, timeout=min(_POLL_SECONDS, max(0.0, deadline - time.monotonic()))
                )
                if not finished.done():
                    await self._still_wanted(future, deadline, gone)
            return finished.result()
        except asyncio.CancelledError:
            self._on_refused("gone")
            raise
        finally:
            self._leave(future)
            finished.cancel()

    async def _still_wanted(
        self, future: Future[Any], deadline: float, gone: Callable[[], Awaitable[bool]] | None
    ) -> None:
        if time.monotonic() >= deadline:
            self._on_refused("deadline")
            if self._leave(future):
                raise DeadlineError(
                    f"The painting was not started within {self._deadline:g} seconds.", self.retry_after
                )
            raise DeadlineError(
                f"The painting was not finished within {self._deadline:g} seconds; a smaller max_side takes "
                "less time."
            )
        if gone is not None and await gone():
            self._on_refused("gone")
            raise ClientGoneError("The client closed the connection.")

    def _enter(self, work: Callable[[], T], spare: bool) -> Future[T]:
        future: Future[T] = Future()
        with self._changed:
            if self._closed:
                self._on_refused("closed")
                raise ShuttingDownError
            if spare and (self._jobs or self._busy):
                self._on_refused("spare")
                raise QueueFullError("Photos are being painted.", retry_after=self.retry_after)
            if self.full:
                self._on_refused("full")
                raise QueueFullError("The queue is full.", retry_after=self.retry_after)
            if spare:
                self._spare = future
            self._jobs.append((future, work))
            self._changed.notify()
        return future

    def _leave(self, future: Future[Any]) -> bool:
        """Takes a job out of the queue; False if it is not there, because it was started."""
        with self._changed:
            for job in self._jobs:
                if job[0] is future:
                    self._jobs.remove(job)
                    return True
        return False

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._closed)
                if not self._jobs:
                    self._served = False
                    return
                future, work = self._jobs.popleft()
                self._busy = True
            deliver = self._call(future, work)
            with self._changed:
                self._busy = False  # before the caller hears of it and perhaps comes with the next job
            deliver()
            del future, work, deliver  # a picture must not outlive its job in this frame

    def _call(self, future: Future[T], work: Callable[[], T]) -> Callable[[], None]:
        """Runs a job; gives the call that reports to its caller."""
        if not future.set_running_or_notify_cancel():
            return lambda: None
        begun = time.monotonic()
        try:
            result = work()
        except BaseException as error:
            return partial(future.set_exception, error)
        finally:
            if future is not self._spare:  # which is shorter than what others wait for
                self._last_seconds = time.monotonic() - begun
        return partial(future.set_result, result)

    def refuse(self) -> None:
        """Take no more jobs and refuse those that wait; the running one continues. Returns at once."""
        with self._changed:
            self._closed = True
            jobs, self._jobs = self._jobs, deque()
            self._changed.notify()
        for future, _ in jobs:
            self._on_refused("closed")
            future.set_exception(ShuttingDownError())

    async def close(self, seconds: float = 2.0) -> None:
        """`refuse`, then wait for the running job, `seconds` at most."""
        self.refuse()
        await asyncio.to_thread(self._worker.join, seconds)
