"""Puts the web application together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.openapi.utils import get_openapi
from fastapi.responses import RedirectResponse
from fastapi_offline import FastAPIOffline

from app.http import api, problems
from app.middleware.access import CORS_EXPOSED, AccessMiddleware, is_guarded
from app.middleware.admission import AdmissionMiddleware, largest_body
from app.middleware.gradio_routes import GradioRouteMiddleware
from app.painting.service import PaintingService
from app.settings import Settings
from app.training.manager import TrainingManager
from transformer_net.memory import give_back

_DESCRIPTION = """Paints photos in a style, with four normalizers to compare: batch norm, instance norm,
batch norm + squeeze-and-excitation, and instance enhancement batch norm.

Every error is a problem document, RFC 9457."""

_TIDY_SECONDS: Final = 20.0
"""How often memory that is no longer needed goes back to the system. It takes some milliseconds."""

_TAGS = [
    {"name": "paint", "description": "A photo becomes a painting."},
    {"name": "catalogue", "description": "What can be painted."},
    {"name": "operation", "description": "For those who run the server."},
]


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application: API, documentation, and, unless it is switched off, the page at /ui.

    Its models are loaded when it starts; a model file that is unusable stops the start.

    Args:
        settings: What is configured; the environment's where None.
    """
    service = PaintingService(settings)
    settings, manager = service.settings, TrainingManager(service)
    chores: list[Callable[[], object]] = [give_back]

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(service.warm)
        tidying = asyncio.create_task(_tidy(chores))
        yield
        tidying.cancel()
        await service.close()
        await asyncio.to_thread(manager.close)

    app = FastAPIOffline(
        title="Stylizer",
        version=_version(),
        description=_DESCRIPTION,
        openapi_tags=_TAGS,
        docs_url="/docs",  # from the package's own files: nothing is fetched from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    app.state.service, app.state.training_manager = service, manager
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    problems.install(app)
    app.include_router(
        api.router,
        max_body_size=largest_body(settings),
        # Room for each field, and for two that do not exist, so that the answer can name them.
        form_limits={"max_files": 3, "max_fields": len(api.FIELDS), "max_part_size": 1024},
    )
    app.add_api_route("/", _home, include_in_schema=False)
    painter = None
    if settings.page:
        from app.site import parts, served

        painter = served.offer(app, service)
        headers = parts.ISOLATING if painter else {}
        app.add_middleware(GradioRouteMiddleware, largest=largest_body(settings), headers=headers)
    if settings.keys or settings.rate:
        app.add_middleware(AccessMiddleware, settings=settings)
    app.add_middleware(AdmissionMiddleware, service=service)
    if settings.origins:  # outermost: refusals, too, can be read by those scripts
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.origins,
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=["Authorization", "X-API-Key", "Content-Type"],
            expose_headers=CORS_EXPOSED,
        )
    if settings.page:
        from app.gradio_parts import forget_deleted_files
        from app.page import mount  # here, because it takes seconds and the API alone does not need it
        from app.transport import guard

        app = mount(app, service, manager, painter)
        chores.append(partial(forget_deleted_files, guard(app, service.places)))
    return app


async def _tidy(chores: Sequence[Callable[[], object]]) -> None:
    """What the server does from time to time, whether anybody asks for something or not."""
    while True:
        await asyncio.sleep(_TIDY_SECONDS)
        for chore in chores:
            await asyncio.to_thread(chore)


async def _home(request: Request) -> RedirectResponse:
    root = request.scope.get("root_path", "").rstrip("/")
    page = request.app.state.service.settings.page
    return RedirectResponse(f"{root}/{'ui' if page else 'docs'}")


def _version() -> str:
    try:
        return version("stylizer")
    except PackageNotFoundError:
        return "0"


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The framework's document, with the schema of problem documents, to which only we refer."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            tags=app.openapi_tags,
            license_info=app.license_info,
        )
        problem = problems.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas = schema.setdefault("components", {}).setdefault("schemas", {})
        schemas.update(problem.pop("$defs", {}))
        schemas["Problem"] = problem
        if app.state.service.settings.keys:
            schemes = schema["components"].setdefault("securitySchemes", {})
            schemes["key"] = {"type": "http", "scheme": "bearer", "description": "A key of this server."}
            for path in schema["paths"]:
                if is_guarded(path):
                    for operation in schema["paths"][path].values():
                        operation["security"] = [{"key": []}]
        app.openapi_schema = schema
    return app.openapi_schema
