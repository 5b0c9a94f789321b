"""What the server tells Prometheus, in a registry of its own."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)


class Metrics:
    """The counters of one application; several may live in one process, as in tests."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.requests = Counter(
            "stylizer_requests", "Answered requests.", ["method", "route", "status"], registry=self.registry
        )
        self.in_flight = Gauge(
            "stylizer_requests_in_flight", "Requests being answered.", registry=self.registry
        )
        self.inference_seconds = Histogram(
            "stylizer_inference_seconds",
            "Time to compute one painting, without decoding, waiting and encoding.",
            ["style", "norm"],
            buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
            registry=self.registry,
        )
        self.refused = Counter(
            "stylizer_jobs_refused",
            "Jobs that got no result: full, deadline, gone (the client left), closed (shutting down), "
            "spare (a camera's frame, dropped while photos were painted).",
            ["reason"],
            registry=self.registry,
        )
        for reason in ("full", "deadline", "gone", "closed", "spare"):
            self.refused.labels(reason)
        self.model_load_seconds = Gauge(
            "stylizer_model_load_seconds", "Time that loading all models took.", registry=self.registry
        )
        self.models = Gauge("stylizer_models_loaded", "Models ready to paint.", registry=self.registry)

    def watch_queue(self, waiting: Callable[[], int], running: Callable[[], int]) -> None:
        """Report the queue's state, read whenever the metrics are."""
        depth = Gauge("stylizer_queue_depth", "Waiting jobs.", registry=self.registry)
        depth.set_function(waiting)
        busy = Gauge("stylizer_jobs_running", "Jobs being computed.", registry=self.registry)
        busy.set_function(running)

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)
