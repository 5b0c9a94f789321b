"""Interlaced pictures become whole ones, by ffmpeg's bwdif: one for each pair of fields, at the same time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, TypeVar

from transformer_net.inference.video.ffmpeg import pyav

T = TypeVar("T")


def deinterlaced(pictures: Iterable[tuple[Any, T]]) -> Iterator[tuple[Any, T]]:
    """As many pictures as come, each with its time; those that are not interlaced stay as they are.

    Args:
        pictures: PyAV's frames, and what is to be given back with each.
    """
    for _, alike in groupby(pictures, lambda pair: (pair[0].width, pair[0].height, pair[0].format.name)):
        yield from _of_one_size(alike)


def _of_one_size(pictures: Iterator[tuple[Any, T]]) -> Iterator[tuple[Any, T]]:
    graph, times = None, deque[T]()
    for number, (picture, time) in enumerate(pictures):
        graph = graph or _graph(picture)
        picture.pts = number  # the filter only needs their order
        times.append(time)
        graph.push(picture)
        yield from ((done, times.popleft()) for done in _pulled(graph))
    if graph is not None:
        graph.push(None)
        yield from ((done, times.popleft()) for done in _pulled(graph))


def _graph(picture: Any) -> Any:
    graph = pyav().filter.Graph()
    like = {
        "video_size": f"{picture.width}x{picture.height}",
        "pix_fmt": picture.format.name,
        "time_base": "1/1",
        "colorspace": int(picture.colorspace),
        "range": int(picture.color_range),
    }
    source = graph.add("buffer", ":".join(f"{name}={value}" for name, value in like.items()))
    graph.link_nodes(source, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink"))
    graph.configure()
    return graph


def _pulled(graph: Any) -> Iterator[Any]:
    """What the filter has finished: the last picture waits for the next one."""
    av = pyav()
    while True:
        try:
            yield graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return
