"""The queue: order, limits, deadlines, clients that leave, shutting down."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from app.errors import ClientGoneError, DeadlineError, QueueFullError, ShuttingDownError
from app.painting.queue import JobQueue
from tests.app.conftest import assert_problem, busy, file, picture, post, serving, until

PHOTO = file(picture())


def test_results_and_exceptions_come_back():
    async def scenario():
        jobs = JobQueue(2, 10)
        assert await jobs.run(lambda: 42) == 42
        with pytest.raises(ZeroDivisionError):
            await jobs.run(lambda: 1 // 0)
        assert await jobs.run(lambda: threading.current_thread().name) == "inference"
        assert (jobs.waiting, jobs.running, jobs.full) == (0, 0, False)
        await jobs.close()

    asyncio.run(scenario())


def test_one_at_a_time_in_order():
    async def scenario():
        jobs, seen, active = JobQueue(20, 10), [], []

        def work(i):
            active.append(i)
            assert active == [i]
            time.sleep(0.002)
            active.remove(i)
            seen.append(i)

        await asyncio.gather(*(jobs.run(lambda i=i: work(i)) for i in range(20)))
        assert seen == list(range(20))
        await jobs.close()

    asyncio.run(scenario())


def test_full_means_refused_at_once():
    refused = []
    jobs = JobQueue(2, 10, refused.append)

    async def one_more():
        begun = time.monotonic()
        with pytest.raises(QueueFullError) as caught:
            await jobs.run(lambda: None)
        assert time.monotonic() - begun < 0.5
        assert caught.value.retry_after >= 1

    with busy(jobs, waiting=2):
        assert (jobs.waiting, jobs.running, jobs.full) == (2, 1, True)
        asyncio.run(one_more())
    assert refused == ["full"]
    asyncio.run(jobs.close())


def test_no_waiting_places_still_runs_one():
    jobs = JobQueue(0, 10)
    assert asyncio.run(jobs.run(lambda: 1)) == 1
    with busy(jobs), pytest.raises(QueueFullError):
        asyncio.run(jobs.run(lambda: 1))


def test_deadline_while_waiting_frees_the_place_and_never_runs():
    jobs, ran = JobQueue(1, 0.2), []
    hold = threading.Event()

    async def scenario():
        first = asyncio.create_task(jobs.run(lambda: hold.wait(10)))
        await asyncio.sleep(0.05)
        with pytest.raises(DeadlineError) as caught:
            await jobs.run(lambda: ran.append(1))
        assert caught.value.retry_after is not None
        assert jobs.waiting == 0
        with pytest.raises(DeadlineError) as caught:
            await first
        assert caught.value.retry_after is None  # it was begun: it would take as long again
        assert jobs.running == 1
        hold.set()
        await jobs.close()

    asyncio.run(scenario())
    assert not ran


@pytest.mark.parametrize("how", ["gone", "cancelled"])
def test_a_client_that_leaves_frees_its_place(how):
    refused, ran = [], []
    jobs = JobQueue(1, 10, refused.append)

    async def scenario():
        left = asyncio.Event()
        task = asyncio.create_task(jobs.run(lambda: ran.append(1), gone=left.wait))
        await asyncio.sleep(0.05)
        assert jobs.full
        if how == "gone":
            left.set()
            with pytest.raises(ClientGoneError):
                await asyncio.wait_for(task, 1)
        else:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert not jobs.full

    with busy(jobs):
        asyncio.run(scenario())
    asyncio.run(jobs.close())
    assert refused == ["gone"]
    assert not ran


def test_close_finishes_what_runs_and_sends_the_rest_away():
    jobs = JobQueue(5, 10)
    hold = threading.Event()

    async def scenario():
        running = asyncio.create_task(jobs.run(lambda: hold.wait(10)))
        await asyncio.sleep(0.05)
        waiting = asyncio.create_task(jobs.run(lambda: None))
        await asyncio.sleep(0.05)
        jobs.refuse()
        with pytest.raises(ShuttingDownError):
            await waiting
        with pytest.raises(ShuttingDownError):
            await jobs.run(lambda: None)
        hold.set()
        await jobs.close()
        assert await running

    asyncio.run(scenario())


def test_close_does_not_wait_for_ever():
    jobs = JobQueue(5, 10)
    with busy(jobs):
        begun = time.monotonic()
        asyncio.run(jobs.close(0.1))
        assert time.monotonic() - begun < 2


def test_nothing_is_kept_of_finished_and_abandoned_jobs():
    import gc
    import weakref

    class Picture:
        pass

    jobs = JobQueue(1, 0.1)

    async def scenario():
        def with_picture():
            kept = Picture()
            seen.append(weakref.ref(kept))
            return lambda: kept and None

        await jobs.run(with_picture())
        task = asyncio.create_task(jobs.run(lambda: time.sleep(0.3)))
        await asyncio.sleep(0.01)
        with pytest.raises(DeadlineError):
            await jobs.run(with_picture())
        with pytest.raises(DeadlineError):
            await task

    seen = []
    asyncio.run(scenario())
    gc.collect()
    assert len(seen) == 2
    assert all(reference() is None for reference in seen)


def test_a_full_queue_over_http():
    with serving(queue_length=1) as client, busy(client.app.state.service.jobs, waiting=1):
        begun = time.monotonic()
        response = post(client, PHOTO)
        assert time.monotonic() - begun < 1
        assert_problem(response, 503, "queue-full")
        assert int(response.headers["retry-after"]) >= 1
        ready = client.get("/readyz")
        assert_problem(ready, 503, "queue-full")
        assert client.get("/healthz").status_code == 200
        text = client.get("/metrics").text
        assert "stylizer_queue_depth 1.0" in text
        assert "stylizer_jobs_running 1.0" in text
        assert 'stylizer_jobs_refused_total{reason="full"} 1.0' in text


@pytest.mark.slow
def test_too_many_requests_at_once_over_http():
    with serving(max_requests=1) as client, busy(client.app.state.service.jobs):
        answers = []
        thread = threading.Thread(target=lambda: answers.append(post(client, PHOTO)))
        thread.start()
        while client.app.state.service.jobs.waiting == 0:
            time.sleep(0.01)
        assert_problem(post(client, PHOTO), 503, "queue-full")
        client.app.state.service.jobs.refuse()
        thread.join()
        assert_problem(answers[0], 503, "shutting-down")


@pytest.mark.slow
def test_deadline_over_http():
    with serving(deadline_seconds=0.2) as client, busy(client.app.state.service.jobs):
        response = post(client, PHOTO)
        assert_problem(response, 504, "deadline-exceeded")
        assert int(response.headers["retry-after"]) >= 1
        assert client.app.state.service.jobs.waiting == 0


def test_not_ready_over_http():
    with serving() as client:
        client.app.state.service.ready = False
        for response in (post(client, PHOTO), client.get("/readyz")):
            assert_problem(response, 503, "not-ready")
            assert response.headers["retry-after"]


def test_shutting_down_over_http():
    with serving() as client:
        client.app.state.service.jobs.refuse()
        assert_problem(post(client, PHOTO), 503, "shutting-down")


@pytest.mark.slow
def test_a_client_that_disconnects_over_http_frees_its_place():
    with serving(queue_length=1) as client:
        jobs = client.app.state.service.jobs
        with busy(jobs):
            sent = asyncio.run(_leaving(client.app, jobs))
            assert jobs.waiting == 0
        assert not sent or sent[0]["status"] == 499
        assert 'stylizer_jobs_refused_total{reason="gone"} 1.0' in client.get("/metrics").text


async def _leaving(app, jobs):
    """A client that uploads, waits until its job is queued, and closes the connection."""
    body = b"".join(
        b'--b\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n' % part
        for part in [
            (b"image", b'; filename="x"', PHOTO),
            (b"style", b"", b"mosaic"),
            (b"norm", b"", b"bn"),
        ]
    )
    messages = [{"type": "http.request", "body": body + b"--b--\r\n"}]
    sent = []

    async def receive():
        if messages:
            return messages.pop()
        while jobs.waiting == 0:
            await asyncio.sleep(0.01)
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": "/stylize",
        "raw_path": b"/stylize",
        "query_string": b"",
        "headers": [(b"content-type", b"multipart/form-data; boundary=b")],
        "scheme": "http",
        "server": ("testserver", 80),
        "client": ("testclient", 1),
    }
    await asyncio.wait_for(app(scope, receive, send), 10)
    return sent


@pytest.mark.parametrize("path", ["/stylize", "/ui/gradio_api/queue/join"])
def test_a_slow_upload_is_cut_off(path):
    with serving(upload_seconds=0.1, page=True) as client:

        async def slow():
            async def receive():
                await asyncio.sleep(0.06)
                return {"type": "http.request", "body": b"--b\r\n", "more_body": True}

            sent = []

            async def send(message):
                sent.append(message)

            scope = {
                "type": "http",
                "http_version": "1.1",
                "method": "POST",
                "path": path,
                "query_string": b"",
                "headers": [(b"content-type", b"multipart/form-data; boundary=b")],
            }
            await asyncio.wait_for(client.app(scope, receive, send), 5)
            return sent

        start, body = asyncio.run(slow())[:2]
        assert start["status"] == 408
        assert (b"content-type", b"application/problem+json") in start["headers"]
        assert b"longer than 0.1 seconds" in body["body"]


def test_it_can_be_opened_again():
    async def scenario():
        jobs = JobQueue(1, 10)
        await jobs.close()
        assert jobs.closed
        assert jobs.full
        jobs.open()
        jobs.open()
        assert await jobs.run(lambda: 1) == 1
        await jobs.close()

    asyncio.run(scenario())


def test_whoever_has_a_result_finds_the_place_free():
    async def scenario():
        jobs = JobQueue(0, 10)
        for i in range(300):
            assert await jobs.run(lambda i=i: i) == i
        await jobs.close()

    asyncio.run(scenario())


def test_spare_time_is_taken_at_once_or_not_at_all():
    jobs = JobQueue(4, 10, (refused := []).append)
    assert asyncio.run(jobs.run(lambda: "painted", spare=True)) == "painted"
    with busy(jobs), pytest.raises(QueueFullError):
        asyncio.run(jobs.run(lambda: None, spare=True))
    assert refused == ["spare"]
    assert asyncio.run(jobs.run(lambda: "again", spare=True)) == "again"
    asyncio.run(jobs.close())


def test_a_job_in_spare_time_takes_no_place():
    jobs = JobQueue(0, 10)
    begun, release = threading.Event(), threading.Event()

    def frame():
        begun.set()
        release.wait(10)

    camera = threading.Thread(target=lambda: asyncio.run(jobs.run(frame, spare=True)))
    camera.start()
    assert begun.wait(10)
    assert not jobs.full
    photo = threading.Thread(target=lambda: results.append(asyncio.run(jobs.run(lambda: "photo"))))
    results: list[str] = []
    photo.start()
    until(lambda: jobs.waiting == 1)
    assert jobs.full  # the photo has the one place
    release.set()
    photo.join()
    camera.join()
    assert results == ["photo"]
    asyncio.run(jobs.close())
