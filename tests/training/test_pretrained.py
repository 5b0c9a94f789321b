"""The base networks that every style begins at."""

import pytest
import torch

from styles.gallery.quality import example_photos, painter
from tests.conftest import make_picture
from transformer_net.checkpoint import read_info
from transformer_net.errors import UnknownNormError
from transformer_net.norms import NORMS
from transformer_net.training.config import TrainConfig
from transformer_net.training.content import ContentPhotos
from transformer_net.training.make_pretrained import make_base
from transformer_net.training.pretrained import base_file, base_sha256, load_base
from transformer_net.training.trainer import Trainer

CPU = torch.device("cpu")


@pytest.mark.parametrize("norm", NORMS)
def test_the_shipped_base_reproduces_photos(norm):
    """As a correlation: instance norm forgets how bright and how contrasty a photo was."""
    paint = painter(base_file(norm))
    for name, photo in example_photos(256).items():
        both = torch.stack([paint(photo).flatten(), photo.flatten()])
        assert torch.corrcoef(both)[0, 1] > (0.6 if norm == "in" else 0.85), name


def test_the_shipped_bases_differ_in_their_norm_only():
    trainings = [read_info(base_file(norm)).training for norm in NORMS]
    for key in ("warmup_iterations", "warmup_size", "batch_size", "seed", "content"):
        assert all(training[key] == trainings[0][key] for training in trainings), key
    assert len({base_sha256(norm) for norm in NORMS}) == len(NORMS)


def test_an_unknown_normalizer_has_none():
    with pytest.raises(UnknownNormError):
        load_base("layer")


def test_a_trainer_begins_where_its_config_says(vgg):
    config = TrainConfig("test", norm="se", init="base", style_size=64, warmup_iterations=0)
    trainer = Trainer(config, make_picture(64, 64), vgg, CPU)
    begun, base = trainer.network.state_dict(), load_base("bn+se").state_dict()
    assert all(torch.equal(begun[name], base[name]) for name in base)


@pytest.mark.slow
def test_make_base_teaches_the_photo(photo_folder):
    config = TrainConfig("photo", width=8, norm="iebn", warmup_iterations=60, warmup_size=32, batch_size=2)
    photos = ContentPhotos.from_folder(photo_folder)
    network, error = make_base(config, photos, CPU)
    assert not network.training
    untrained = Trainer(TrainConfig("photo", width=8, norm="iebn", warmup_iterations=60), None, None, CPU)
    before = [
        (untrained.paint(photo) - photo).abs().mean().item() for photo in photos.validation_tensors(256)
    ]
    assert error < 0.8 * sum(before) / len(before)
