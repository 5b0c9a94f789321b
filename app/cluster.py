"""The HTTP API on many machines, with Ray Serve: serve run app.cluster:deployment

The same application as `python -m app`, with the same settings from the environment of this command, in
STYLIZER_REPLICAS processes, which share the cluster's GPUs if it has any. The page is left out: a visit
belongs to one process, and Serve sends each request to another.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ray
from fastapi import FastAPI
from ray import serve

from app.settings import Settings
from transformer_net.inference.engines.factory import uses_torch_gpus


def make_deployment(settings: Settings) -> Any:
    """The application of Ray Serve, to be run by `serve.run`.

    Each replica has a queue of its own and takes `settings.threads` cores. What does not fit into that queue
    is refused by it, as without Ray. Serve holds back what is more than `settings.max_requests` in each
    replica, and answers 503 itself once as much as that waits.

    Where the cluster has GPUs and the device is not the CPU, replicas are put where GPUs are: each takes
    `settings.gpu_memory` of one, or as much less as it takes for all of them to find a place.
    """
    settings = settings.model_copy(update={"page": False})
    gpus = int(ray.cluster_resources().get("GPU", 0)) if ray.is_initialized() else 0
    if gpus and uses_torch_gpus(settings.device, settings.engine, "fp32"):
        share = min(settings.gpu_memory, 1 / math.ceil(settings.replicas / gpus))
        settings = settings.model_copy(update={"gpu_memory": share})
    else:
        share = 0.0
    options = serve.deployment(
        name="stylizer",
        num_replicas=settings.replicas,
        max_ongoing_requests=settings.max_requests,
        max_queued_requests=settings.max_requests,
        graceful_shutdown_timeout_s=settings.grace_seconds + settings.deadline_seconds,
        ray_actor_options={"num_cpus": settings.threads, "num_gpus": share},
    )
    return options(serve.ingress(_builder(settings))()).bind()


def _builder(settings: Settings) -> Callable[[], FastAPI]:
    def build() -> FastAPI:
        from app.main import create_app  # in the replica: the process that deploys needs no models

        return create_app(settings)

    return build


deployment = make_deployment(Settings())
