"""The HTTP API: POST /stylize, the catalogue, and what operators ask for. See docs/http.md."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import IO, Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, File, Form, Path, Query, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, Response

from app.errors import (
    DeadlineError,
    InvalidRequestError,
    KeyMissingError,
    NotAcceptableError,
    NotReadyError,
    QueueFullError,
    ShuttingDownError,
    StorageFullError,
    TooManyRequestsError,
    UploadTooLargeError,
    WrongKeyError,
)
from app.http.negotiation import FORMATS, ZIP, negotiate
from app.http.problems import described
from app.http.responses import ServerTiming, content_disposition, response_body
from app.http.schemas import Catalogue, State, style_info
from app.painting.service import PaintingService
from app.painting.style_pictures import present, thumbnail
from transformer_net.commandline import with_fields
from transformer_net.errors import (
    DeviceFailedError,
    DeviceMemoryError,
    ImageSizeError,
    SettingError,
    StylePictureError,
    UnknownNormError,
    UnknownStyleError,
    UnreadableImageError,
    UnsupportedImageError,
)
from transformer_net.imaging.encode import MEDIA_TYPES
from transformer_net.inference.options.style_options import DECLARED, DEFAULT_OPTIONS, StyleOptions
from transformer_net.norms import canonical_norm
from transformer_net.prediction.style_picture import StylePicture, predicted_norms

router = APIRouter()


async def get_service(request: Request) -> PaintingService:
    """What the application paints with; a coroutine, since the framework calls functions in threads."""
    service: PaintingService = request.app.state.service
    return service


Service = Annotated[PaintingService, Depends(get_service)]
StyleName = Annotated[
    str, Path(description="Name of a style, as GET /styles lists it.", examples=["mosaic"], max_length=64)
]

_BINARY: Final[dict[str, Any]] = {"schema": {"type": "string", "format": "binary"}}


def _header(description: str, example: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}, "example": example}


_PAINTED: Final[dict[str, Any]] = {
    "description": "The painting; the labelled side-by-side picture of several; or a zip archive.",
    "content": dict.fromkeys((*(MEDIA_TYPES[name] for name in FORMATS), ZIP), _BINARY),
    "headers": {
        "X-Stylizer-Style": _header(
            "The style; of a blend, the styles with percentages; with a mask, the two styles; of a style "
            "picture, `picture`.",
            "wave60-cubist40",
        ),
        "X-Stylizer-Norm": _header("The normalizer, or several with commas.", "iebn"),
        "X-Stylizer-Size": _header("Width x height of each painting, in pixels.", "1280x960"),
        "X-Stylizer-Seconds": _header("Time to compute, in seconds, of all paintings together.", "0.412"),
        "X-Stylizer-Precision": _header("Number format of the computation.", "float32"),
        "Server-Timing": _header(
            "Milliseconds spent on each step.",
            "decode;dur=4.1, queue;dur=0.3, paint;dur=412.0, encode;dur=9.8",
        ),
        "Content-Disposition": _header("A name for the file.", 'inline; filename="mosaic-iebn.png"'),
    },
}


def _form_field(name: str) -> Any:
    option = DECLARED[name]
    examples = None if option.example is None else [option.example]
    return Form(description=option.help, ge=option.least, le=option.most, examples=examples)


@router.post(
    "/stylize",
    summary="Paint a photo",
    tags=["paint"],
    response_class=Response,
    responses={
        200: _PAINTED,
        **described(
            400,
            UnknownStyleError,
            NotAcceptableError,
            408,
            UploadTooLargeError,
            UnsupportedImageError,
            InvalidRequestError,
            UnreadableImageError,
            ImageSizeError,
            StylePictureError,
            UnknownNormError,
            SettingError,
            500,
            QueueFullError,
            NotReadyError,
            ShuttingDownError,
            StorageFullError,
            DeviceMemoryError,
            DeviceFailedError,
            KeyMissingError,
            WrongKeyError,
            TooManyRequestsError,
            DeadlineError,
        ),
    },
)
@with_fields("options", StyleOptions, _form_field)
async def stylize(
    request: Request,
    service: Service,
    image: Annotated[
        UploadFile,
        File(
            description="The photo: JPEG, HEIC, PNG, WebP, AVIF, GIF, BMP, TIFF or PNM. It is turned "
            "upright; transparency is kept; an animation gives its first frame. One that is larger than the "
            "server paints is shrunk first."
        ),
    ],
    norm: Annotated[
        str,
        Form(
            description="Normalizer: `bn`, `in`, `bn+se` or `iebn`; several with commas, or `all`, for a "
            "side-by-side picture.",
            examples=["iebn", "bn,iebn", "all"],
            max_length=64,
        ),
    ],
    style: Annotated[
        str | None,
        Form(
            description="Name of a style, as GET /styles lists it; or a blend of several with their shares, "
            "painted by the weighted mean of their networks. Only networks that were trained from the same "
            "base network can be blended. Either this or `style_picture`.",
            examples=["mosaic", "wave:0.6,cubist:0.4"],
            max_length=128,
        ),
    ] = None,
    style_picture: Annotated[
        UploadFile | None,
        File(
            description="Any picture as the style, within the limits of photos and with a shorter side of "
            "64 px or more. Its network is predicted, which takes about a second the first time."
        ),
    ] = None,
    max_side: Annotated[
        int | None,
        Form(
            description="Shrink the photo to this longer side first, in pixels. Default: its own size, or "
            "the largest that the server paints if that is smaller.",
            examples=[640],
            ge=16,
        ),
    ] = None,
    options: StyleOptions = DEFAULT_OPTIONS,
    mask: Annotated[
        UploadFile | None,
        File(
            description="A picture that chooses between two styles, `style=wave,cubist` (without it, that is "
            "a blend): where it is black, the first; where it is white, the second; grey mixes them. It is "
            "stretched to the photo's size."
        ),
    ] = None,
    format: Annotated[
        Literal["png", "jpeg", "webp"] | None,
        Form(description="Format of the pictures. Default: what Accept prefers, else `png`."),
    ] = None,
    precision: Annotated[
        Literal["fp32", "fp16", "bf16", "int8"],
        Form(
            description="Number format of the computation. The others are faster than `fp32` and nearly the "
            "same: `int8` and `bf16` where the server's engine is OpenVINO, `fp16` where it has a GPU. Not "
            "for blends."
        ),
    ] = "fp32",
) -> Response:
    """Paint `image` in a style, or in that of any picture: with one normalizer, or with several to compare.

    One normalizer gives that painting, with the size of the photo; photos above the largest size that the
    server paints, or above `max_side`, are shrunk to it first. Several give a labelled picture of the photo
    and its paintings side by side; under `Accept: application/zip`, an archive with each painting in the
    size it was painted in and that picture. The same request gives the same bytes.
    """
    _only_known_fields(await request.form(), request.query_params)
    kind, archive = negotiate(request.headers.get("accept"), format)
    if bool(style) == bool(style_picture):
        why = "Give a style or a style_picture" + (", not both" if style else "")
        raise RequestValidationError([{"loc": ("body", "style"), "msg": why}])
    norms = _norms(service, style, norm, mask is not None)
    upload = _file(service, image)

    timing = ServerTiming()
    photo = await service.read(upload, max_side)
    wanted: str | StylePicture = style or ""
    if style_picture:
        wanted = await service.read_style(_file(service, style_picture))
    where = await service.read_mask(_file(service, mask), photo.size) if mask else None
    timing.lap("decode")
    paintings = await service.paint_all(
        photo, wanted, norms, max_side, options, partial(_left, request), where, precision
    )
    seconds = sum(painting.seconds for painting in paintings)
    timing.lap("queue", less=seconds)
    timing.add("paint", seconds)
    body = await service.in_codec_thread(lambda: response_body(photo, paintings, kind, archive))
    timing.lap("encode")
    return Response(
        body,
        media_type=ZIP if archive else MEDIA_TYPES[kind],
        headers={
            "X-Stylizer-Style": paintings[0].style,
            "X-Stylizer-Norm": ",".join(painting.norm for painting in paintings),
            "X-Stylizer-Size": "{}x{}".format(*paintings[0].image.size),
            "X-Stylizer-Seconds": f"{seconds:.3f}",
            "X-Stylizer-Precision": paintings[0].precision,
            "Server-Timing": timing.header(),
            "Content-Disposition": content_disposition(paintings[0].style, norms, kind, archive),
            "Vary": "Accept",
        },
    )


FIELDS: Final = frozenset(inspect.signature(stylize).parameters) - {"request", "service"}
"""Of POST /stylize, the three files included."""


@router.get(
    "/styles",
    summary="What can be painted",
    tags=["catalogue"],
    responses=described(NotReadyError, KeyMissingError, WrongKeyError),
)
async def list_styles(request: Request, service: Service) -> Catalogue:
    """The styles; for each normalizer, the size of its model and its losses on held-out photos."""
    root = request.scope.get("root_path", "").rstrip("/")
    return Catalogue(styles=[style_info(service, style, root) for style in service.registry.styles()])


@router.get(
    "/styles/{style}/image",
    summary="The picture whose style it is",
    tags=["catalogue"],
    response_class=Response,
    responses={
        200: {"description": "The picture.", "content": {"image/png": _BINARY, "image/jpeg": _BINARY}},
        **described(UnknownStyleError, InvalidRequestError, KeyMissingError, WrongKeyError),
    },
)
async def style_image(
    request: Request,
    service: Service,
    style: StyleName,
    size: Annotated[
        int | None,
        Query(
            description="Longer side of a thumbnail (JPEG), in pixels, from 64 on in steps of 32: the next "
            "smaller is taken. Default: the picture itself (PNG).",
            examples=[256],
            ge=16,
            le=1024,
        ),
    ] = None,
) -> Response:
    """The style's picture, or a thumbnail of it."""
    found = service.registry.style(style)
    headers = {"Cache-Control": "public, max-age=3600"}
    if size is None:
        # From the file, piece by piece: a picture has megabytes, and many may read it slowly. Never a range
        # of it, because FileResponse answers errors about ranges that are no problem documents.
        request.scope["headers"] = [pair for pair in request.scope["headers"] if pair[0] != b"range"]
        headers["Accept-Ranges"] = "none"
        return FileResponse(present(found), media_type="image/png", headers=headers)
    data = await service.in_codec_thread(lambda: thumbnail(found, size))
    return Response(data, media_type="image/jpeg", headers=headers)


@router.get("/healthz", summary="Is the process alive?", tags=["operation"])
async def healthz() -> State:
    """200 as long as the server answers."""
    return State(status="ok")


@router.get(
    "/readyz",
    summary="Can it paint now?",
    tags=["operation"],
    responses=described(NotReadyError, QueueFullError, StorageFullError, ShuttingDownError),
)
async def readyz(service: Service) -> State:
    """200 if the models are loaded, and queue, places for uploads and disk have room, else 503."""
    if (refusal := service.refusal()) is not None:
        raise refusal
    return State(status="ready")


@router.get(
    "/metrics",
    summary="Counters for Prometheus",
    tags=["operation"],
    response_class=Response,
    responses={
        200: {
            "description": "Prometheus text format.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
        **described(KeyMissingError, WrongKeyError),
    },
)
async def metrics(service: Service) -> Response:
    """Requests by route and status, seconds per painting, the queue, refusals, memory."""
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


async def _left(request: Request) -> None:
    """Returns when the client of a request whose body was read has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _only_known_fields(form: Any, query: Iterable[str]) -> None:
    """Refuses a field that does not exist or is repeated, or stands in the address: no option is ignored
    silently."""
    wrong = {name: "There is no such field" for name in form if name not in FIELDS}
    counts = Counter(name for name, _ in form.multi_items())
    wrong |= {name: "It is given more than once" for name in form if counts[name] > 1}
    wrong |= dict.fromkeys(query, "Fields are read from the form, not from the address")
    if wrong:
        raise RequestValidationError(
            [{"loc": ("body", name[:64]), "msg": why} for name, why in sorted(wrong.items())]
        )


def _file(service: PaintingService, upload: UploadFile) -> IO[bytes]:
    """What was uploaded; on the disk where it is large, so that waiting requests do not fill the memory."""
    size = upload.size or 0
    if size > service.settings.max_upload_bytes:
        raise UploadTooLargeError(
            f"The picture has {size:,} bytes; at most {service.settings.max_upload_bytes:,} are accepted."
        )
    return upload.file


def _norms(service: PaintingService, style: str | None, names: str, masked: bool) -> list[str]:
    """The normalizers that are asked for; where there is no style, of those that have a predictor."""
    styles = [name for part in service.registry.parts(style, masked) for name in part] if style else []
    if names.strip().lower() != "all":
        return list(dict.fromkeys(canonical_norm(name) for name in names.split(",")))
    return service.registry.norms(*styles) if style else predicted_norms()
