"""How fast a browser paints beside OpenVINO, and how soon it begins: python -m benchmarks.browser

Chromium (on PATH, or named by CHROMIUM) runs the static page's runtime and models by WebAssembly. All
contenders paint the same square in turns, round by round, two pictures a turn, of which the second counts;
ratios are taken within a round. The plain export is what `stylize.py export --format onnx` writes, in the
same runtime. The time to the first painting is that of the page itself, opened with an empty cache.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.tables import print_table, tell
from styles.catalog import find_style
from transformer_net.commandline import run
from transformer_net.devices import describe_machine, pick_device
from transformer_net.errors import SettingError
from transformer_net.inference.engines.factory import make_engine
from transformer_net.inference.engines.onnx_graph import onnx_graph
from transformer_net.inference.stylizer import Stylizer
from transformer_net.norms import norm_slug

ROOT = Path(__file__).parents[2]

_PATIENCE = 120_000
"""Milliseconds to wait for anything in the browser."""

_WORKER = """
import * as ort from "./vendor/ort.wasm.min.mjs";
ort.env.logLevel = "error";
let session, inputs;
onmessage = async ({ data: { model, threads, side } }) => {
    if (model && !session) {
        ort.env.wasm.wasmPaths = new URL("vendor/", import.meta.url).href;
        ort.env.wasm.numThreads = threads;
        session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
    }
    if (side) {
        const noise = Float32Array.from({ length: 3 * side * side }, Math.random);
        const pixels = Uint8Array.from({ length: 4 * side * side }, () => 256 * Math.random());
        inputs = session.inputNames.includes("grain")
            ? { photo: new ort.Tensor("uint8", pixels, [side, side, 4]),
                grain: new ort.Tensor("float32", noise, [3, side, side]) }
            : { photo: new ort.Tensor("float32", noise, [1, 3, side, side]) };
    }
    const begin = performance.now();
    if (!side) await session.run(inputs);
    postMessage((performance.now() - begin) / 1000);
};
"""
"""Takes in a model, then pictures of a side, then paints one for each message; answers with seconds."""

_ASK = """([name, message]) => new Promise((done, failed) => {
    window.workers ??= {};
    const worker = (workers[name] ??= new Worker("bench.js", { type: "module" }));
    worker.onmessage = ({ data }) => done(data);
    worker.onerror = ({ message }) => failed(new Error(message));
    worker.postMessage(message);
})"""


class _Isolated(SimpleHTTPRequestHandler):
    """Files of a folder, for a page that may use threads."""

    def end_headers(self) -> None:
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing: standard error is for progress."""


@dataclass
class Contender:
    """What takes part: names, a call that paints once and gives its seconds, and those of each round."""

    runtime: str
    threads: int
    paint: Callable[[], float]
    seconds: list[float] = field(default_factory=list)


@contextmanager
def hosted(folder: Path) -> Iterator[str]:
    """Serves a folder; gives its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Isolated, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running Chromium.

    Raises:
        SettingError: There is none.
    """
    name = os.environ.get("CHROMIUM") or "chromium"
    program = shutil.which(name)
    if program is None:
        raise SettingError(f"There is no program {name!r}; install Chromium, or name it with CHROMIUM=...")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def in_browser(page: Page, models: dict[str, str], counts: list[int], side: int) -> list[Contender]:
    """Each model in the browser, with each number of threads, ready to paint pictures of that side."""
    found = []
    for threads in counts:
        for name, file in models.items():
            key = f"{name} {threads}"
            page.evaluate(_ASK, [key, {"model": file, "threads": threads, "side": side}])
            found.append(Contender(name, threads, partial(page.evaluate, _ASK, [key, {}])))
    return found


def with_openvino(stylizer: Stylizer, counts: list[int], side: int) -> list[Contender]:
    """OpenVINO in float32 with each number of threads."""
    pixels = np.random.default_rng(0).random((3, side, side), dtype=np.float32)
    found = []
    for threads in counts:
        engine = make_engine(stylizer.network, "cpu", "openvino", "fp32", threads)
        found.append(Contender("OpenVINO", threads, partial(_seconds, partial(engine, pixels))))
    return found


def _seconds(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def show(runners: list[Contender], norm: str, side: int) -> None:
    """The table for one size; each beside OpenVINO with as many threads."""
    rows = []
    for runner in runners:
        peer = next(one for one in runners if one.runtime == "OpenVINO" and one.threads == runner.threads)
        ratios = [ours / theirs for ours, theirs in zip(runner.seconds, peer.seconds, strict=True)]
        row = [runner.runtime, str(runner.threads)]
        row += [f"{ratio:.2f}" for ratio in (statistics.median(ratios), min(ratios), max(ratios))]
        rows.append([*row, f"{statistics.median(runner.seconds):.3f}"])
    print_table(
        f"{side} x {side} px, `{norm}`, {len(runners[0].seconds)} rounds; times OpenVINO's seconds:",
        ["runtime", "threads", "ratio", "least", "most", "s"],
        rows,
    )


def first_painting(browser: Browser, address: str) -> tuple[float, float]:
    """Seconds from the opening of the page to the first painting of an example at 512 px, and to all four.

    A browser context of its own has nothing in its cache.
    """
    with browser.new_context() as context:
        context.set_default_timeout(_PATIENCE)
        page = context.new_page()
        begun = time.perf_counter()
        page.goto(address, wait_until="commit")
        page.wait_for_selector("#paint:enabled")
        page.set_input_files("#file", ROOT / "examples" / "coffee.jpg")
        page.wait_for_selector("#preview:not([hidden])")
        page.click("#paint")
        page.wait_for_selector('[data-state="done"]')
        first = time.perf_counter() - begun
        page.locator('[data-state="done"]').nth(3).wait_for()
        return first, time.perf_counter() - begun


def browser(
    sizes: Annotated[str, typer.Option(help="Sides of the squares, with commas.")] = "256,512",
    norm: Annotated[str, typer.Option(help="The normalizer.")] = "iebn",
    style: Annotated[str, typer.Option(help="The style.")] = "wave",
    threads: Annotated[str, typer.Option(help="Numbers of threads, with commas.")] = "1,2",
    rounds: Annotated[int, typer.Option(min=1, help="How often each paints.")] = 7,
) -> None:
    """Measure and print tables in Markdown."""
    sides, counts = ([int(number) for number in text.split(",")] for text in (sizes, threads))
    stylizer = Stylizer.from_style(find_style(style).name, norm, "cpu", "torch")
    print(f"{describe_machine(pick_device('cpu'))}\n")
    with tempfile.TemporaryDirectory() as name, chromium() as running:
        site = Path(name)
        subprocess.run(
            [sys.executable, "-m", "app.site", "--out", name], cwd=ROOT, check=True, stdout=sys.stderr
        )
        (site / "bench.js").write_text(_WORKER)
        (site / "plain.onnx").write_bytes(onnx_graph(stylizer.network))
        models = {"the page's": f"models/{style}/{norm_slug(norm)}.onnx", "plain export": "plain.onnx"}
        with hosted(site) as address:
            with running.new_context() as context:
                page = context.new_page()
                page.set_default_timeout(_PATIENCE)
                page.goto(address + "licences.txt")  # a page of this host that does nothing itself
                for side in sides:
                    runners = [
                        *with_openvino(stylizer, counts, side),
                        *in_browser(page, models, counts, side),
                    ]
                    for number in range(rounds):
                        tell(f"{side} px, round {number + 1} of {rounds}")
                        for runner in runners:
                            runner.paint()
                            runner.seconds.append(runner.paint())
                    show(runners, norm, side)
            times = [first_painting(running, address) for _ in range(rounds)]
    rows = [
        [name, *(f"{value:.2f}" for value in (statistics.median(found), min(found), max(found)))]
        for name, found in zip(("the first painting", "all four"), zip(*times, strict=True), strict=True)
    ]
    print_table(
        f"From the opening of the page with an empty cache, at 512 px, {rounds} rounds, in seconds:",
        ["to", "median", "least", "most"],
        rows,
    )


if __name__ == "__main__":
    run(browser)
