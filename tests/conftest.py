"""Fixtures shared by all rooms: small pictures made here, and the loss network read once."""

import numpy as np
import pytest
import torch
from PIL import Image

from transformer_net.network import with_upsampling
from transformer_net.norms import NORMS, norm_slug
from transformer_net.prediction import style_picture
from transformer_net.prediction.predictor import StylePredictor, save_predictor
from transformer_net.training.losses.vgg import Vgg16Features
from transformer_net.training.pretrained import base_sha256, load_base


def make_picture(width, height, seed=0):
    """A smooth, colourful picture with an edge in it: something that losses and codecs can bite on."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    picture.paste((20, 40, 90), (0, 0, width // 3, height // 2))
    return picture


@pytest.fixture(scope="session", autouse=True)
def own_styles(tmp_path_factory):
    """Own styles go to a folder of the test run, and those of whoever runs it are not seen."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("own-styles")
        patch.setenv("STYLIZER_OWN_STYLES", str(folder))
        yield folder


@pytest.fixture(scope="session")
def vgg():
    return Vgg16Features()


@pytest.fixture(scope="session")
def _predictor_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("predictors")
    for norm in NORMS:
        predictor = StylePredictor.around(with_upsampling(load_base(norm), "bilinear"), hidden=16)
        torch.manual_seed(0)
        for parameter in predictor.predictor[-1].parameters():
            torch.nn.init.normal_(parameter, std=0.05)
        card = {"base_sha256": base_sha256(norm), "iterations_done": 7}
        save_predictor(folder / f"{norm_slug(norm)}.safetensors", predictor, 0.05, card)
    return folder


@pytest.fixture
def predictors(_predictor_folder, monkeypatch):
    """The folder of the style predictors: small ones, for whom every picture is another random style."""
    monkeypatch.setattr(style_picture, "PREDICTORS", _predictor_folder)
    return _predictor_folder


@pytest.fixture
def photo_folder(tmp_path):
    """Twelve JPEGs in a small tree."""
    root = tmp_path / "photos"
    for i in range(12):
        path = root / f"part{i % 2}" / f"photo{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        make_picture(60 + 3 * i, 80 - 2 * i, seed=i).save(path)
    return root
