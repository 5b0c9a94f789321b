"""Errors as RFC 9457 problem documents: every error that leaves the API is one, and none says too much."""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response

from app.errors import (
    OUR_FAULT,
    InvalidRequestError,
    StorageFullError,
    UploadTooLargeError,
    disk_is_full,
)
from transformer_net.errors import StylizerError

MEDIA_TYPE = "application/problem+json"

_FORM = "multipart/form-data"

_FILE_PART = "its part needs a file name, as curl -F image=@photo.jpg gives it"
"""Said where a picture came as text: without a file name, a part of a form is one."""

logger = logging.getLogger("app")


class InvalidField(BaseModel):
    """One field of the request that was refused."""

    field: str = Field(description="Name of the field.", examples=["max_side"])
    detail: str = Field(description="What is wrong with it.", examples=["Input should be a valid integer"])


class Problem(BaseModel):
    """A problem document, RFC 9457."""

    model_config = ConfigDict(title="Problem")

    type: str = Field(
        description="The kind of problem: stable, for programs to compare. `about:blank` says no more than "
        "the status does.",
        examples=["urn:stylizer:problem:unknown-style"],
    )
    title: str = Field(description="The kind of problem, for people.", examples=["Unknown style"])
    status: int = Field(description="The HTTP status.", examples=[404], ge=400, le=599)
    detail: str = Field(
        description="What happened this time, in a sentence.",
        examples=["There is no style 'vangogh'; choose one of mosaic."],
    )
    errors: list[InvalidField] | None = Field(
        default=None, description="The fields that were refused, if the error is about fields."
    )


def problem_response(error: StylizerError, plain: bool = False) -> Response:
    """The problem document for one of our errors; details of our own faults go to the log only.

    Args:
        error: What happened.
        plain: Answer with the sentence alone, for clients that show a visitor what they get.
    """
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    if error.status == 500:
        logger.error("%s: %s", type(error).__name__, error)
        return _document(500, "about:blank", "Internal Server Error", OUR_FAULT)
    if plain:
        return PlainTextResponse(str(error), error.status, headers)
    return _document(error.status, _type(error.title), error.title, str(error), headers=headers)


def not_found() -> Response:
    """The problem document for an address that does not exist."""
    return _document(404, "about:blank", HTTPStatus(404).phrase, _SENTENCES[404])


def forbidden(sentence: str) -> Response:
    """The problem document for what a client may not do."""
    return _document(403, "about:blank", HTTPStatus(403).phrase, sentence)


def _slug(title: str) -> str:
    return title.lower().replace(" ", "-")


def _type(title: str) -> str:
    """The `type` of the kind of problem with that title."""
    return f"urn:stylizer:problem:{_slug(title)}"


def install(app: FastAPI) -> None:
    """Make `app` answer every error with a problem document."""
    app.add_exception_handler(StylizerError, _stylizer_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _bug)


_SENTENCES = {
    404: "There is nothing at this address.",
    405: "This address does not accept that method.",
}


def _document(
    status: int,
    kind: str,
    title: str,
    detail: str,
    *,
    errors: list[InvalidField] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    problem = Problem(type=kind, title=title, status=status, detail=detail, errors=errors)
    body = json.dumps(problem.model_dump(exclude_none=True), ensure_ascii=False)
    # A field's name may hold half a surrogate pair, which UTF-8 cannot.
    return Response(body.encode(errors="replace"), status, headers, media_type=MEDIA_TYPE)


async def _stylizer_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, StylizerError)
    return problem_response(error)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [
        InvalidField(field=".".join(map(str, item["loc"][1:])) or "body", detail=_reason(item["msg"]))
        for item in error.errors()
    ]
    named = "; ".join(f"{item.field}: {item.detail}" for item in errors)
    if request.method == "POST" and not request.headers.get("content-type", "").startswith(_FORM):
        named += f" (fields are read from {_FORM})"  # where they came as JSON, say, none is missing
    title = InvalidRequestError.title
    return _document(InvalidRequestError.status, _type(title), title, f"{named}.", errors=errors)


def _reason(message: str) -> str:
    # The framework's sentence for text where a file belongs speaks of Python classes.
    return f"A file is expected; {_FILE_PART}" if "UploadFile" in message else message


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return http_problem(error)


def http_problem(error: HTTPException) -> Response:
    """The problem document for what the framework raises."""
    phrase = HTTPStatus(error.status_code).phrase
    if disk_is_full(error):  # which the framework takes for a mistake in the form
        return problem_response(StorageFullError())
    if error.status_code == 413:
        return problem_response(UploadTooLargeError("The request has more bytes than are accepted."))
    detail = _SENTENCES.get(error.status_code, f"{error.detail.rstrip('.')}.")
    if detail.startswith(("Part exceeded", "Field exceeded")):
        detail += f" If it is a picture, {_FILE_PART}."
    return _document(error.status_code, "about:blank", phrase, detail, headers=dict(error.headers or {}))


async def _bug(request: Request, error: Exception) -> Response:
    # The server logs the traceback: Starlette raises the error again after this answer.
    return _document(500, "about:blank", "Internal Server Error", OUR_FAULT)


def described(*kinds: type[StylizerError] | int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses for kinds of errors; statuses stand for those that the framework raises."""
    responses: dict[int | str, dict[str, Any]] = {}
    for kind in kinds:
        status, title = (
            (kind, HTTPStatus(kind).phrase) if isinstance(kind, int) else (kind.status, kind.title)
        )
        entry = responses.setdefault(
            status, {"description": "", "content": {MEDIA_TYPE: {"schema": _SCHEMA, "examples": {}}}}
        )
        entry["description"] += ("; " if entry["description"] else "") + title
        if isinstance(kind, type) and status in (429, 503, 504):
            entry["headers"] = {"Retry-After": _RETRY_AFTER}
        entry["content"][MEDIA_TYPE]["examples"][_slug(title)] = {
            "value": {
                "type": "about:blank" if isinstance(kind, int) else _type(title),
                "title": title,
                "status": status,
                "detail": " ".join(((kind.__doc__ if isinstance(kind, type) else "") or title + ".").split()),
            }
        }
    return responses


_SCHEMA = {"$ref": "#/components/schemas/Problem"}

_RETRY_AFTER = {
    "description": "Seconds to wait before repeating the request.",
    "schema": {"type": "integer", "minimum": 1},
}
