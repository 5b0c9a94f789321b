"""Make the base networks: python -m transformer_net.training.make_pretrained --content DIR

The four normalizers see the same photos in the same order, from the same seed.
"""

from __future__ import annotations

import time
from typing import Annotated

import torch
import typer

from transformer_net.checkpoint import save_model
from transformer_net.commandline import run, say
from transformer_net.devices import describe_machine, pick_device
from transformer_net.network import TransformerNet
from transformer_net.norms import NORMS
from transformer_net.training.config import TrainConfig
from transformer_net.training.content import ContentBatches, ContentPhotos, open_content
from transformer_net.training.pretrained import WIDTH, base_file
from transformer_net.training.report import duration
from transformer_net.training.run import VALIDATION_SIDE
from transformer_net.training.trainer import Trainer, add_grain


def make_base(
    config: TrainConfig, photos: ContentPhotos, device: torch.device
) -> tuple[TransformerNet, float]:
    """A network that reproduces its photo; and its mean absolute error on photos not trained on.

    Args:
        config: Its warm-up is all that is run.
        photos: What to train on and validate on.
        device: Where to compute.
    """
    trainer = Trainer(config, None, None, device)
    batches = ContentBatches(photos, config.batch_size, config.crop_scale, config.seed)
    began = time.perf_counter()
    for batch in batches.iterate(0, trainer.schedule.crop_size, trainer.prepare, config.warmup_iterations):
        loss = trainer.step(batch)["identity"]
        done = trainer.iteration
        if done % 50 == 0:
            left = (time.perf_counter() - began) / done * (config.warmup_iterations - done)
            say(f"{config.norm} {done}/{config.warmup_iterations}  {duration(left)} left  {loss:.4f}")
    network = trainer.network.eval()
    with torch.inference_mode():
        errors = [
            (network(add_grain(photo, config.grain).to(device)).cpu() - photo).abs().mean().item()
            for photo in photos.validation_tensors(VALIDATION_SIDE)
        ]
    return network, sum(errors) / len(errors)


def make_bases(
    content: Annotated[str, typer.Option(help="Photos: a folder or a data set, as for train_style.py.")],
    content_name: Annotated[str | None, typer.Option(help="Name of the photos in the model files.")] = None,
    iterations: Annotated[int, typer.Option(min=1, help="Steps.")] = 400,
    norm: Annotated[str | None, typer.Option(help="One normalizer; all four if not given.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
) -> None:
    """Train the base networks again."""
    photos, target = open_content(content, content_name), pick_device(device)
    for name in [norm] if norm else NORMS:
        config = TrainConfig("photo", norm=name, width=WIDTH, warmup_iterations=iterations)
        began = time.perf_counter()
        network, error = make_base(config, photos, target)
        training = {
            "warmup_iterations": iterations,
            "warmup_size": config.warmup_size,
            "batch_size": config.batch_size,
            "seed": config.seed,
            "content": {"name": photos.name, "photos": len(photos.training)},
            "validation": {"identity": error},
            "seconds": round(time.perf_counter() - began, 1),
            "machine": describe_machine(target),
            "torch": torch.__version__,
        }
        save_model(base_file(name), network, config.style, config.grain, training)
        say(f"{config.norm}: mean absolute error {error:.4f}; saved to {base_file(name)}")


if __name__ == "__main__":
    run(make_bases)
