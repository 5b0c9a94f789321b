"""The one bounded queue: page and API paint through it; on a CPU, one painting at a time.

One painting already uses every core, so a second one beside it would only make both late. A GPU is given
several. What does not fit into the queue is refused at once: an early answer is better for a client than a
time-out.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeAlias, TypeVar

from app.errors import ClientGoneError, DeadlineError, QueueFullError, ShuttingDownError

T = TypeVar("T")

_Calls: TypeAlias = SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]


class JobQueue:
    """A first-in-first-out queue of bounded length in front of one worker thread, or of several.

    For one event loop: of two that call `run` at the same time, both could get the last place.

    Args:
        length: Jobs that may wait while `workers` run.
        deadline_seconds: Longest time from `run` being called to its result.
        on_refused: Told of every job that did not get its result: "full", "deadline", "gone", "closed" or
            "spare".
        workers: Jobs that run at once, each in a thread.
    """

    def __init__(
        self,
        length: int,
        deadline_seconds: float,
        on_refused: Callable[[str], None] = lambda reason: None,
        workers: int = 1,
    ) -> None:
        self._length, self._deadline, self._on_refused = length, deadline_seconds, on_refused
        self._workers = workers
        self._jobs: set[Future[Any]] = set()  # those that wait and those that run
        self._spare: Future[Any] | None = None  # the last job that was taken for spare time
        self._last_seconds = 1.0
        self._closed = True
        self.open()

    def open(self) -> None:
        """Take jobs; without effect unless it was closed."""
        if self._closed:
            self._closed, self._calls = False, _Calls()
            # Daemons: a long painting that nobody waits for any more must not keep the process from exiting.
            for _ in range(self._workers):
                threading.Thread(target=_work, args=(self._calls,), name="inference", daemon=True).start()

    @property
    def waiting(self) -> int:
        """Jobs that have not started."""
        return sum(not job.running() and not job.done() for job in tuple(self._jobs))

    @property
    def running(self) -> int:
        """Jobs being computed."""
        return sum(job.running() for job in tuple(self._jobs))

    @property
    def closed(self) -> bool:
        """Whether it takes no jobs."""
        return self._closed

    @property
    def full(self) -> bool:
        """Whether `run` would refuse a job now."""
        sparing = self._spare is not None and not self._spare.done()
        return self._closed or len(self._jobs) - sparing >= self._length + self._workers

    @property
    def retry_after(self) -> int:
        """Seconds until a place is likely to be free, judged by the last job: 1 to 60."""
        return min(60, max(1, round(self._last_seconds * (self.waiting + 1) / self._workers)))

    def full_error(self) -> QueueFullError:
        """What a client is told where it is full."""
        return QueueFullError("The queue is full.", retry_after=self.retry_after)

    async def run(
        self,
        work: Callable[[], T],
        *,
        gone: Callable[[], Coroutine[Any, Any, None]] | None = None,
        spare: bool = False,
    ) -> T:
        """Call `work` in a worker thread, in its turn, and give its result.

        If the caller is cancelled, or `gone` returns, a job that still waits leaves the queue at once.
        A job that runs is finished, for it cannot be interrupted, and its result dropped.

        Args:
            work: What to compute.
            gone: Called beside the job; returns when the client has left, and is cancelled where the job is
                done before.
            spare: Take it for spare time: at once if nothing runs or waits, else not at all. It takes no
                place away from other jobs.

        Raises:
            QueueFullError: There is no place, or no spare time; nothing was started.
            ShuttingDownError: The queue is closed, or was closed while the job waited.
            DeadlineError: The result was not there in time.
            ClientGoneError: `gone` returned.
        """
        job = self._enter(work, spare)
        finished = asyncio.wrap_future(job)
        left = asyncio.create_task(gone()) if gone else None
        try:
            waited: set[asyncio.Future[Any]] = {finished, left} if left else {finished}
            await asyncio.wait(waited, timeout=self._deadline, return_when=asyncio.FIRST_COMPLETED)
            if finished.cancelled():
                raise ShuttingDownError
            if finished.done():
                return finished.result()
            if left and left.done():
                left.result()
                self._on_refused("gone")
                raise ClientGoneError("The client closed the connection.")
            raise self._late(job)
        except asyncio.CancelledError:
            self._on_refused("gone")
            raise
        finally:
            finished.cancel()  # and the job with it, unless it has started
            if left:
                left.cancel()

    def _late(self, job: Future[Any]) -> DeadlineError:
        self._on_refused("deadline")
        if job.cancel():
            return DeadlineError(
                f"The painting was not started within {self._deadline:g} seconds.", self.retry_after
            )
        return DeadlineError(
            f"The painting was not finished within {self._deadline:g} seconds; a smaller max_side takes less "
            "time."
        )

    def _enter(self, work: Callable[[], T], spare: bool) -> Future[T]:
        if self._closed:
            self._on_refused("closed")
            raise ShuttingDownError
        if spare and self._jobs:
            self._on_refused("spare")
            raise QueueFullError("Photos are being painted.", retry_after=self.retry_after)
        if self.full:
            self._on_refused("full")
            raise self.full_error()
        job: Future[T] = Future()
        if spare:
            self._spare = job
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)  # before its caller hears of it and comes with the next
        # A job in spare time is shorter than those that others wait for, so that its time says nothing.
        self._calls.put((job, work if spare else lambda: self._timed(work)))
        return job

    def _timed(self, work: Callable[[], T]) -> T:
        """Calls it, and keeps how long it took."""
        begun = time.monotonic()
        try:
            return work()
        finally:
            self._last_seconds = time.monotonic() - begun

    def refuse(self) -> None:
        """Take no more jobs and refuse those that wait; what runs continues. Returns at once."""
        if self._closed:
            return
        self._closed = True
        for job in tuple(self._jobs):
            if job.cancel():
                self._on_refused("closed")
        for _ in range(self._workers):
            self._calls.put(None)

    async def close(self, seconds: float = 2.0) -> None:
        """`refuse`, then wait for the running jobs, `seconds` at most."""
        self.refuse()
        await asyncio.to_thread(concurrent.futures.wait, tuple(self._jobs), seconds)


def _work(calls: _Calls) -> None:
    """Computes what comes, in a worker thread, until None comes."""
    while call := calls.get():
        job, work = call
        if job.set_running_or_notify_cancel():
            try:
                result = work()
            except BaseException as error:
                job.set_exception(error)
            else:
                job.set_result(result)
                del result
        del call, job, work  # a picture must not outlive its job in this frame
