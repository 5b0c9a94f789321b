"""The JSON answers of the API."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, Field

from app.painting.registry import Model
from app.painting.service import PaintingService
from styles.catalog import Style
from transformer_net.norms import NORM_TITLES, norm_slug


class State(BaseModel):
    """Answer of the health checks."""

    status: Literal["ok", "ready"] = Field(
        description="`ok`: it runs. `ready`: it can paint.", examples=["ok"]
    )


class NormInfo(BaseModel):
    """One normalizer of a style."""

    name: str = Field(description="As POST /stylize takes it.", examples=["bn+se"])
    slug: str = Field(description="As it stands in file names.", examples=["bn-se"])
    title: str = Field(description="For people.", examples=["batch norm + SE"])
    bytes: int = Field(description="Size of the model file.", examples=[892364], ge=0)
    parameters: int = Field(description="Learned parameters of the network.", examples=[429583], ge=0)
    width: int = Field(description="Channels of its first layer.", examples=[16], ge=1)
    iterations: int | None = Field(description="Steps it was trained for; null if unknown.", examples=[4000])
    validation: dict[str, float] | None = Field(
        description="Losses on photos that it was not trained on, by name; null if unknown.",
        examples=[{"content": 8.1, "palette": 0.004}],
    )


class StyleInfo(BaseModel):
    """One style."""

    name: str = Field(description="As POST /stylize takes it.", examples=["mosaic"])
    image: str = Field(description="Address of its picture.", examples=["/styles/mosaic/image"])
    thumbnail: str = Field(description="Address of a small one.", examples=["/styles/mosaic/image?size=256"])
    norms: list[NormInfo] = Field(description="The normalizers that it has a model for.")


class Catalogue(BaseModel):
    """Everything that can be painted."""

    styles: list[StyleInfo] = Field(description="By name.")


def style_info(service: PaintingService, style: Style, root_path: str) -> StyleInfo:
    """Describes a style whose models are loaded; addresses begin with `root_path`."""
    image = f"{root_path}/styles/{style.name}/image"
    return StyleInfo(
        name=style.name,
        image=image,
        thumbnail=f"{image}?size=256",
        norms=[
            _norm_info(service.registry.model(style.name, norm))
            for norm in service.registry.norms(style.name)
        ],
    )


def _norm_info(model: Model) -> NormInfo:
    info = model.stylizer.info
    iterations, losses = info.training.get("iterations_done"), info.training.get("validation")
    return NormInfo(
        name=model.norm,
        slug=norm_slug(model.norm),
        title=NORM_TITLES[model.norm],
        bytes=model.bytes,
        parameters=model.parameters,
        width=info.width,
        iterations=iterations if isinstance(iterations, int) else None,
        validation=_finite(losses) if isinstance(losses, dict) and losses else None,
    )


def _finite(losses: dict[str, object]) -> dict[str, float]:
    # JSON has no NaN
    return {
        name: float(loss)
        for name, loss in losses.items()
        if isinstance(loss, int | float) and math.isfinite(loss)
    }
