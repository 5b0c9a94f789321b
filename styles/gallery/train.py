"""Make the gallery: train what is missing or out of date, and put it on show.

    python -m styles.gallery.train --content DIR            everything
    python -m styles.gallery.train --style mosaic --content DIR

One model at a time; stop it whenever you like, the same command goes on. The recipes are in `recipes.toml`.
A model is up to date when its file says that it was trained to the end with today's recipe on today's style
picture.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from styles.catalog import Style, find_style, recipes
from styles.gallery.quality import config_of, model_losses
from transformer_net.checkpoint import load_model, read_info, write_atomically
from transformer_net.commandline import console, run, say
from transformer_net.devices import pick_device
from transformer_net.errors import ModelFileError, SettingError
from transformer_net.imaging.decode import decode
from transformer_net.memory import keep_freed_memory
from transformer_net.network import TransformerNet, parameter_count
from transformer_net.norms import NORMS, norm_slug
from transformer_net.training.config import TrainConfig
from transformer_net.training.content import EXAMPLES, ContentPhotos, open_content
from transformer_net.training.losses.vgg import Vgg16Features
from transformer_net.training.pretrained import load_base
from transformer_net.training.report import STYLE_LOSSES, ProgressLine
from transformer_net.training.run import Run
from transformer_net.training.run_folder import RunFolder
from transformer_net.training.trainer import Trainer, picture_sha256

_EVALUATIONS = 5
"""Samples and validations of a training."""


def is_finished(model: Path, style: Style, norm: str) -> bool:
    """Whether a model file was trained to the end with today's recipe and style picture, and validated."""
    try:
        training = read_info(model).training
        trained = TrainConfig.from_dict(training["config"])
    except (ModelFileError, SettingError, KeyError, TypeError):
        return False
    config = config_of(style.name, norm)
    return (
        trained == config
        and training.get("base_sha256", "") == config.base_sha256
        and training.get("iterations_done") == config.total_iterations
        and training.get("style_picture_sha256") == picture_sha256(decode(style.picture).rgb)
        and bool(training.get("validation"))
    )


def up_to_date(style: Style, norm: str) -> bool:
    """Whether the shipped model is finished and has its entry in the card."""
    return norm in style.card.get("norms", {}) and is_finished(style.model_file(norm), style, norm)


def train_model(
    style: Style, norm: str, photos: ContentPhotos, folder: RunFolder, device: str = "auto"
) -> None:
    """Train one model of the gallery, from where an earlier sitting left it.

    Raises:
        RunFolderError: The earlier sitting had other photos.
    """
    config = config_of(style.name, norm)
    begun = None
    if config.init == "shipped":  # a style that is new begins where the others once did
        shipped = style.model_file(norm)
        begun = load_model(shipped)[0] if shipped.is_file() else load_base(norm)
    trainer = Trainer(config, decode(style.picture).rgb, Vgg16Features(), pick_device(device), begun)
    sample = decode(EXAMPLES / "astronaut.jpg").rgb
    with ProgressLine(console, f"{style.name} {norm}") as line:
        every = max(1, config.total_iterations // _EVALUATIONS)
        run = Run(trainer, photos, folder, sample, every, line.update)
        saved = folder.load_state() if folder.state.exists() else None
        if saved and saved.config == config and saved.inputs.get("style") == trainer.style_sha256:
            run.resume()
        else:
            folder.create()
        run.run()


def publish(style: Style, norm: str, folder: RunFolder) -> None:
    """Copy a finished run into the style's folder, with its losses on the example photos."""
    losses = model_losses(style, folder.model)
    more: dict[str, Any] = {"example_losses": {name: round(value, 5) for name, value in losses.items()}}
    replaced = style.model_file(norm)
    if config_of(style.name, norm).init == "shipped" and replaced.is_file():
        more["before"] = {**read_info(replaced).training, "sha256": _sha256(replaced)}
    put(style, norm, folder, more)


def put(style: Style, norm: str, folder: RunFolder, more: Mapping[str, Any] | None = None) -> None:
    """Copy a run into the style's folder: model, card and curves.

    Args:
        style: Whose folder; it is made where there is none.
        norm: Normalizer of the run.
        folder: A run that has saved a model.
        more: What the card says beside what the model file does.

    Raises:
        OSError: A file cannot be read or written.
        ModelFileError: The run's model is unusable.
    """
    target = style.model_file(norm)
    write_atomically(target, folder.model.read_bytes())
    info = read_info(target)
    entry = {
        **info.training,
        "parameters": parameter_count(TransformerNet(info.norm, info.width, info.norm_options)),
        "bytes": target.stat().st_size,
        "sha256": _sha256(target),
        **(more or {}),
    }
    curves = curves_of(folder.records())
    _update(style.folder / "card.json", lambda card: {"norms": {**card.get("norms", {}), norm: entry}})
    _update(style.folder / "curves.json", lambda all_curves: {**all_curves, norm: curves})


def curves_of(records: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, float]]]:
    """Training and validation losses over the iterations on the perceptual losses.

    `style` is the mean over the four layers. Values are rounded to four digits.
    """
    training = [r for r in records if r["phase"] == "style"]
    first = training[0]["iteration"] if training else 0
    validation = [r for r in records if r["phase"] == "validation" and r["iteration"] >= first]
    return {"training": [_point(r) for r in training], "validation": [_point(r) for r in validation]}


def _point(record: dict[str, Any]) -> dict[str, float]:
    layers = {name: float(f"{record[name]:.4g}") for name in STYLE_LOSSES}
    return {
        "iteration": record["iteration"],
        "content": float(f"{record['content']:.4g}"),
        "style": float(f"{sum(layers.values()) / len(layers):.4g}"),
        **layers,
        "palette": float(f"{record['palette']:.4g}"),
    }


def _update(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    old = json.loads(path.read_text()) if path.is_file() else {}
    write_atomically(path, (json.dumps(change(old), indent=1) + "\n").encode())


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def gallery(
    style: Annotated[str | None, typer.Option(help="One style; all with a recipe if not given.")] = None,
    content: Annotated[
        str | None, typer.Option(help="Photos to train on: a folder or a data set, as for train_style.py.")
    ] = None,
    content_name: Annotated[
        str | None, typer.Option(help="What the cards shall call the photos; the folder's name if not given.")
    ] = None,
    runs: Annotated[Path, typer.Option(help="Where the runs are kept until they are published.")] = Path(
        "runs/gallery"
    ),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
) -> None:
    """Train the models of the gallery that are missing or out of date, and publish them."""
    for name in [find_style(style).name] if style else sorted(recipes()):
        for norm in NORMS:
            found = find_style(name)
            if up_to_date(found, norm):
                say(f"{name} {norm}: up to date")
                continue
            folder = RunFolder(runs / f"{name}-{norm_slug(norm)}")
            if not is_finished(folder.model, found, norm):
                if (
                    content is None
                ):  # the few shipped photos would make poor models, and they would be published
                    raise SettingError(
                        f"The model {name} {norm} is to be trained: say on which photos, --content."
                    )
                train_model(found, norm, open_content(content, content_name), folder, device)
            publish(found, norm, folder)
            say(f"{name} {norm}: published in {found.folder}")


if __name__ == "__main__":
    keep_freed_memory()
    run(gallery)
