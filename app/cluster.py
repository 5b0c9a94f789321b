"""The HTTP API on many machines, with Ray Serve: serve run app.cluster:deployment

The same application as `python -m app`, with the same settings from the environment of this command, in
STYLIZER_REPLICAS processes. The page is left out: a visit belongs to one process, and Serve sends each
request to another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from ray import serve

from app.settings import Settings


def make_deployment(settings: Settings) -> Any:
    """The application of Ray Serve, to be run by `serve.run`.

    Each replica has a queue of its own and takes `settings.threads` cores. What does not fit into that queue
    is refused by it, as without Ray. Serve holds back what is more than `settings.max_requests` in each
    replica, and answers 503 itself once as much as that waits.
    """
    settings = settings.model_copy(update={"page": False})
    options = serve.deployment(
        name="stylizer",
        num_replicas=settings.replicas,
        max_ongoing_requests=settings.max_requests,
        max_queued_requests=settings.max_requests,
        graceful_shutdown_timeout_s=settings.grace_seconds + settings.deadline_seconds,
        ray_actor_options={"num_cpus": settings.threads},
    )
    return options(serve.ingress(_builder(settings))()).bind()


def _builder(settings: Settings) -> Callable[[], FastAPI]:
    def build() -> FastAPI:
        from app.main import create_app  # in the replica: the process that deploys needs no models

        return create_app(settings)

    return build


deployment = make_deployment(Settings())
