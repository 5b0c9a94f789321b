"""Many photos on many machines: Ray hands them to workers, each of which holds the models.

Only paths are sent. Photos and paintings are in folders that every machine sees under the same path, and the
program is installed on each.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from transformer_net.devices import bound_memory, pick_device
from transformer_net.errors import SettingError, StylizerError
from transformer_net.inference.batch.inputs import InputFile

PaintFunction = Callable[[InputFile], object]
"""Paints a photo to its place. A `StylizerError` says why that one cannot be painted."""

_ATTEMPTS = 3
"""How often a photo may end its worker. Machines fail; but a photo that is too large for every
worker's memory must not keep the cluster busy forever."""

_GPU_SHARE = 0.25
"""Of a GPU, for each worker where a cluster has any: one reads and writes photos while another paints."""

_BLOCKS = 10_000
"""Most pieces of work that Ray is given at once: it keeps each in mind. Up to as many photos, each is one."""


class _Worker:
    """A process of the cluster: makes its painter once, and then paints photo after photo."""

    def __init__(self, make_paint_function: Callable[[], PaintFunction], gpu_share: float) -> None:
        self._make_paint_function, self._gpu_share = make_paint_function, gpu_share

    @cached_property
    def _paint(self) -> PaintFunction:
        # Not at the start: a machine that lacks the model tells so of each photo, instead of dying of it.
        if self._gpu_share:
            bound_memory(pick_device(), self._gpu_share)
        return self._make_paint_function()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """A numbered job becomes its number and what went wrong, empty if the photo is painted."""
        problem = ""
        try:
            self._paint(InputFile(Path(row["photo"]), Path(row["stem"])))
        except StylizerError as error:
            problem = str(error) or type(error).__name__
        return {"number": row["number"], "problem": problem}


def paint_on_ray(
    files: Sequence[InputFile],
    make_paint_function: Callable[[], PaintFunction],
    address: str | None = None,
    on_gpus: bool = False,
) -> Iterator[tuple[InputFile, StylizerError | None]]:
    """Paint photos with Ray Data; gives each once, as it is finished, with what went wrong.

    A worker takes one core, and `_GPU_SHARE` of a GPU where they are used. A photo whose worker is lost, with
    its machine or alone, is painted again by another. As paintings get their names when they are complete,
    that leaves one painting, and a whole one.

    Args:
        files: The photos.
        make_paint_function: Called once by each worker. Pickled, so it must be of a module, or of a script's
            top.
        address: Of the cluster: `auto` for the one that this machine is part of, `host:port`, or
            `ray://host:port`. None: this process's connection if it has one, else a cluster of this machine
            alone, for as long as the call lasts.
        on_gpus: Whether the cluster's GPUs are used, if it has any. Then machines without one do nothing.

    Raises:
        SettingError: Ray is not installed, or there is no cluster at `address`.
    """
    if not files:
        return
    try:
        import ray.data
    except ImportError as error:
        raise SettingError("Clusters need Ray: pip install 'ray[data,serve]'.") from error
    ours = not ray.is_initialized()
    if ours:
        try:
            ray.init(address or "local", log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise SettingError(f"There is no Ray cluster at {address!r} that can be used.") from error
    try:
        left = dict(enumerate(files))
        for at_hand in (2, 1):  # what only waited where a worker was lost gets its attempts by itself
            for row in _results(dict(left), make_paint_function, at_hand, on_gpus) if left else ():
                if (file := left.pop(int(row["number"]), None)) is not None:
                    yield file, StylizerError(row["problem"]) if row["problem"] else None
        for file in left.values():
            attempts = 2 * _ATTEMPTS
            yield file, StylizerError(f"Every worker that tried to paint it was lost ({attempts} attempts).")
    finally:
        if ours:
            ray.shutdown()


def _results(
    files: dict[int, InputFile],
    make_paint_function: Callable[[], PaintFunction],
    at_hand: int,
    on_gpus: bool,
) -> Iterator[dict[str, Any]]:
    """The outcome of each photo, by its number; nothing of those that are given up."""
    import ray

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False  # the caller has its own
    context.max_errored_blocks = -1  # photos that end their workers must not end the others' work
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    share = _GPU_SHARE if on_gpus and ray.cluster_resources().get("GPU", 0) >= 1 else 0.0
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if share:
        most = sum(int(min(node.get("CPU", 0), node.get("GPU", 0) / share)) for node in nodes)
    else:
        most = sum(int(node.get("CPU", 0)) for node in nodes)
    rows = [
        {"number": number, "photo": str(file.photo.absolute()), "stem": str(file.stem)}
        for number, file in files.items()
    ]
    done = ray.data.from_items(rows, override_num_blocks=min(len(rows), _BLOCKS)).map(
        _Worker,
        fn_constructor_args=(make_paint_function, share),
        # With one in hand and none waiting, a worker idles for Ray's round trip after each photo. But what
        # waits at a worker that is lost has lost an attempt, too.
        compute=ray.data.ActorPoolStrategy(
            size=min(max(1, most), len(files)), max_tasks_in_flight_per_actor=at_hand
        ),
        num_cpus=1,
        num_gpus=share or None,
        max_restarts=-1,
        max_task_retries=_ATTEMPTS - 1,
    )
    yield from done.iter_rows()
