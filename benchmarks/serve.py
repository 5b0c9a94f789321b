"""How much of the engine's speed reaches the clients, how long they wait, and whether memory stays flat.

    python -m benchmarks.serve                  # 512x512 with 4 clients, then 2,000 small requests
    python -m benchmarks.serve --rounds 5 --clients 8 --format png

Starts the server on a free port of this machine, talks to nothing else, and is bounded in requests and time.
Engine and server take turns, round by round, so that whatever else the machine does hits both; where that is
much, compare the processor seconds that a painting takes, with --threads 1.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image

from transformer_net.cores import available_cores
from transformer_net.imaging.decode import decode
from transformer_net.imaging.encode import encode
from transformer_net.inference.stylizer import Stylizer

ROOT = Path(__file__).parents[1]


def photo(side: int) -> bytes:
    """A JPEG of a real photo, cropped and scaled to side x side."""
    with Image.open(ROOT / "examples/cat.jpg") as image:
        short = min(image.size)
        square = image.convert("RGB").crop((0, 0, short, short)).resize((side, side))
    buffer = io.BytesIO()
    square.save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def form(data: bytes, **fields: str) -> bytes:
    """The multipart body of a request; its boundary is `b`."""
    parts = [f'name="{name}"\r\n\r\n{value}'.encode() for name, value in fields.items()]
    parts.append(b'name="image"; filename="photo.jpg"\r\nContent-Type: image/jpeg\r\n\r\n' + data)
    return (
        b"".join(b"--b\r\nContent-Disposition: form-data; " + part + b"\r\n" for part in parts) + b"--b--\r\n"
    )


class Server:
    """The server in a process of its own."""

    def __init__(self, threads: int, page: bool, **settings: object) -> None:
        environment = os.environ | {
            "STYLIZER_THREADS": str(threads),
            "STYLIZER_PAGE": str(page).lower(),
            "STYLIZER_LOG_LEVEL": "warning",
            **{f"STYLIZER_{name.upper()}": str(value) for name, value in settings.items()},
        }
        command = [sys.executable, "-m", "app", "--port", "0"]
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r":(\d+)/", line)
        if found is None:
            raise SystemExit("the server did not start")
        self.port = int(found[1])

    def resident(self) -> float:
        """Resident memory in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]

    def cpu(self) -> float:
        """Processor seconds that it has used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def load(self, body: bytes, count: int, clients: int, interval: float = 0.0) -> tuple[float, list[float]]:
        """Sends `count` requests from `clients` connections at once.

        Args:
            body: Of each request.
            count: Of requests.
            clients: Connections.
            interval: Seconds from one request to the next of the same connection, if it is answered by then.

        Returns:
            Requests per second, and the seconds that each took.
        """
        left, lock, times, failures = [count], threading.Lock(), [], []

        def client() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
            headers = {"Content-Type": "multipart/form-data; boundary=b"}
            while True:
                with lock:
                    if left[0] == 0:
                        break
                    left[0] -= 1
                begun = time.perf_counter()
                connection.request("POST", "/stylize", body, headers)
                answer = connection.getresponse()
                answer.read()
                times.append(time.perf_counter() - begun)
                if answer.status != 200:
                    failures.append(answer.status)
                time.sleep(max(0.0, begun + interval - time.perf_counter()))
            connection.close()

        threads = [threading.Thread(target=client) for _ in range(clients)]
        begun = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - begun
        if failures:
            raise SystemExit(f"{len(failures)} requests failed, the first with {failures[0]}")
        return count / seconds, times

    def stop(self) -> float:
        """Sends SIGTERM; gives the seconds until the process was gone."""
        begun = time.perf_counter()
        self.process.terminate()
        self.process.wait(20)
        return time.perf_counter() - begun


def rate(work: Callable[[], object], count: int) -> float:
    """Calls of `work` per second, one after the other."""
    begun = time.perf_counter()
    for _ in range(count):
        work()
    return count / (time.perf_counter() - begun)


def throughput(server: Server, stylizer: Stylizer, options: argparse.Namespace) -> dict[str, object]:
    """Engine and server in turns; medians over the rounds, and the median of the rounds' ratios."""
    data = photo(options.side)
    body = form(data, style="mosaic", norm=options.norm, format=options.format)
    decoded = decode(data)

    def alone() -> bytes:
        return encode(stylizer.paint_photo(decode(data)), options.format)

    stylizer.paint_photo(decoded)
    server.load(body, options.clients, options.clients)
    bare, whole, served, waits = [], [], [], []
    engine_cpu, server_cpu = 0.0, 0.0
    for _ in range(options.rounds):
        before = time.process_time()
        bare.append(rate(lambda: stylizer.paint_photo(decoded), options.count))
        engine_cpu += time.process_time() - before
        before = server.cpu()
        requests, times = server.load(body, options.count, options.clients)
        server_cpu += server.cpu() - before
        served.append(requests)
        waits += times
        whole.append(rate(alone, options.count))
    cuts = statistics.quantiles(waits, n=100, method="inclusive")
    return {
        "engine_per_second": round(statistics.median(bare), 3),
        "engine_with_codecs_per_second": round(statistics.median(whole), 3),
        "served_per_second": round(statistics.median(served), 3),
        "served_of_engine": round(statistics.median(s / b for s, b in zip(served, bare, strict=True)), 3),
        "served_of_engine_with_codecs": round(
            statistics.median(s / w for s, w in zip(served, whole, strict=True)), 3
        ),
        "engine_cpu_seconds_each": round(engine_cpu / options.rounds / options.count, 4),
        "server_cpu_seconds_each": round(server_cpu / options.rounds / options.count, 4),
        "p50_seconds": round(cuts[49], 3),
        "p99_seconds": round(cuts[98], 3),
    }


def memory(server: Server, options: argparse.Namespace) -> dict[str, object]:
    """Resident memory over many small requests, the first tenth to warm up."""
    body = form(photo(64), style="mosaic", norm=options.norm)
    server.load(body, max(1, options.small // 10), options.clients)
    seen = [server.resident()]
    for _ in range(4):
        server.load(body, options.small // 4, options.clients)
        seen.append(server.resident())
    return {"small_requests": options.small, "resident_mb": [round(value, 1) for value in seen]}


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=512, help="photo size in pixels")
    parser.add_argument("--norm", default="iebn")
    parser.add_argument("--format", default="jpeg", choices=["png", "jpeg", "webp"])
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--count", type=int, default=24, help="pictures a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--small", type=int, default=2000, help="small requests; 0 for none")
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--page", action="store_true", help="serve the page as well")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    server = Server(options.threads, options.page)
    try:
        result: dict[str, object] = dict(vars(options))
        if options.rounds:
            result |= throughput(
                server, Stylizer.from_style("mosaic", options.norm, threads=options.threads), options
            )
        if options.small:
            result |= memory(server, options)
        result["sigterm_seconds"] = round(server.stop(), 2)
    finally:
        server.process.kill()
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
