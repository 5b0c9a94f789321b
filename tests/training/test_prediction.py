"""Training of a style predictor: its styles, its steps, and its command."""

import sys

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import train_predictor
from styles.gallery import painted
from tests.conftest import make_picture
from transformer_net.errors import SettingError
from transformer_net.network import TransformerNet
from transformer_net.prediction import style_picture
from transformer_net.prediction.predictor import StylePredictor, load_predictor
from transformer_net.prediction.style_picture import StylePicture
from transformer_net.training.content import ContentPhotos
from transformer_net.training.losses.perceptual import relative_gram_distance
from transformer_net.training.prediction import styles
from transformer_net.training.prediction.config import PredictorConfig
from transformer_net.training.prediction.styles import StyleCrops
from transformer_net.training.prediction.trainer import PredictorTrainer, distance
from transformer_net.training.run import Run
from transformer_net.training.run_folder import RunFolder

CPU = torch.device("cpu")


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(styles, "BEGINNING", 4)


def drawn(number):
    """One grey for four crops each."""
    return Image.new("RGB", (80, 80), (number // 4,) * 3)


def config(**given):
    settings = {"norm": "iebn", "width": 4, "iterations": 6, "batch_size": 2, "size": 48, "early_size": 0}
    settings |= {"hidden": 8, "crop": 64, "crops": 6, "shift": 4, "precision": "fp32", "init": ""}
    return PredictorConfig(style="predictor", **{**settings, **given})


def trainer(folder, vgg, **given):
    made = config(**given)
    crops = StyleCrops(ContentPhotos.from_folder(folder), drawn, vgg, CPU, made)
    torch.manual_seed(0)
    network = StylePredictor.around(TransformerNet(made.norm, made.width), made.hidden)
    return PredictorTrainer(made, crops, vgg, CPU, network)


def test_crops_follow_from_seed_and_number(photo_folder, vgg):
    pictures = ContentPhotos.from_folder(photo_folder)
    first, again = (StyleCrops(pictures, drawn, vgg, CPU, config()) for _ in range(2))
    other = StyleCrops(pictures, drawn, vgg, CPU, config(seed=1))
    for number in range(12):
        crop = first.crop(number)
        assert crop.shape == (3, 64, 64)
        assert 0 <= crop.min() <= crop.max() <= 1
        assert torch.equal(crop, again.crop(number))
        assert not torch.equal(crop, other.crop(number))


def test_some_crops_are_of_drawn_pictures_and_all_where_there_are_no_others(photo_folder, vgg):
    pictures = ContentPhotos.from_folder(photo_folder)

    def share(pictures, **given):
        crops = StyleCrops(pictures, drawn, vgg, CPU, config(**given))
        return sum(bool(crops.crop(number).std((1, 2)).max() < 1e-3) for number in range(60)) / 60

    assert 0.02 < share(pictures) < 0.25
    assert (share(pictures, painted=0.0), share(None)) == (0, 1)
    assert (
        len(
            list(StyleCrops(None, lambda number: Image.new("RGB", (80, 80)), vgg, CPU, config()).validation())
        )
        == 4
    )


def test_painters_draw_another_picture_for_every_few_crops(monkeypatch):
    monkeypatch.setattr(painted, "SIDE", 64)
    monkeypatch.setattr(painted, "PAINTERS", ("ink",))
    first, same, other, seeded = (
        painted.painted(n, s).tobytes() for n, s in ((0, 0), (15, 0), (16, 0), (0, 1))
    )
    assert first == same
    assert len({first, other, seeded}) == 3


def test_new_crops_come_into_use_and_old_ones_go(photo_folder, vgg, few):
    crops = StyleCrops(ContentPhotos.from_folder(photo_folder), drawn, vgg, CPU, config(fresh=0.5))
    assert [crops.in_use(i) for i in (0, 2, 4, 10)] == [range(4), range(5), range(6), range(3, 9)]
    assert all(set(crops.drawn(i, 50)) == set(crops.in_use(i)) for i in (0, 10))
    crops.targets(crops.in_use(0))
    crops.targets(crops.in_use(10), oldest=3)
    assert sorted(crops._kept) == list(range(3, 9))


def test_targets_are_those_of_the_crop(photo_folder, vgg):
    crops = StyleCrops(ContentPhotos.from_folder(photo_folder), drawn, vgg, CPU, config())
    both = crops.targets([1, 2])
    exact = crops.of(crops.crop(2)[None])
    torch.testing.assert_close(both.descriptor[1:], exact.descriptor)
    for gram, wanted in zip(both.grams, exact.grams, strict=True):
        assert distance(gram[1:], wanted).item() < 1e-4  # bfloat16
    apart = distance(both.gram_2[:1], both.gram_2[1:])
    assert apart.item() == pytest.approx(relative_gram_distance(both.gram_2[:1], both.gram_2[1:]).item())


def test_the_loss_of_predicted_paintings_falls(photo_folder, vgg, few):
    made = trainer(photo_folder, vgg, norm="in", iterations=40, fresh=0.0, lr=0.01, lattice=0.0)
    made.standardize()
    photo = torch.rand(2, 3, 48, 48)
    totals = [made.step(made.prepare(photo, i))["total"].item() for i in range(40)]
    assert sum(totals[-8:]) < 0.9 * sum(totals[:8])


def test_three_batches_of_four_are_enlarged_from_the_first_on(photo_folder, vgg, few):
    one, photo = trainer(photo_folder, vgg, iterations=200), torch.rand(2, 3, 48, 48)
    whole = sum(torch.equal(one.prepare(photo, iteration).photo, photo) for iteration in range(80))
    assert 10 <= whole <= 30


def test_batch_norms_keep_their_statistics_in_the_second_half(photo_folder, vgg, few):
    made = trainer(photo_folder, vgg, norm="bn", iterations=4)
    made.standardize()
    found = []
    for i in range(4):
        losses = made.step(made.prepare(torch.rand(2, 3, 48, 48), i))
        found.append((made.network.get_buffer("encoder.1.running_mean").clone(), "lattice" in losses))
    assert [with_lattice for _, with_lattice in found] == [False, False, True, True]
    assert not torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[1][0], found[3][0])


def test_a_resumed_run_gives_what_an_uninterrupted_one_gives(photo_folder, tmp_path, vgg, few):
    def run(path, stop_at=None, resume=False):
        made = trainer(photo_folder, vgg)
        folder, sample = RunFolder(path, PredictorConfig), make_picture(40, 40)
        stop = lambda: made.iteration == stop_at  # noqa: E731
        going = Run(made, ContentPhotos.from_folder(photo_folder), folder, sample, 3, should_stop=stop)
        if resume:
            going.resume()
        else:
            folder.create()
            made.standardize()
        return going.run()

    whole = run(tmp_path / "whole")
    assert not run(tmp_path / "parts", stop_at=3).finished
    parts = run(tmp_path / "parts", resume=True)
    assert parts.validation == whole.validation
    assert whole.validation["closed"] < 1
    states = [load_file(tmp_path / name / "state.safetensors") for name in ("whole", "parts")]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    found, description = load_predictor(tmp_path / "parts" / "model.safetensors")
    assert found.norm == "iebn"
    assert description["training"]["iterations_done"] == 6


def test_wrong_settings_are_refused():
    with pytest.raises(SettingError, match="hidden must be at least 1"):
        config(hidden=0)
    with pytest.raises(SettingError, match="not both"):
        train_predictor.train(iterations=3, budget="3m")
    with pytest.raises(SettingError, match="not both"):
        train_predictor.train(resume=True, overwrite=True)


def test_without_scipy_the_run_that_is_there_stays(tmp_path, monkeypatch):
    """The first drawn picture is needed long after `--overwrite` has deleted."""
    (tmp_path / "model.safetensors").touch()
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(SettingError, match=r"scipy, which draws style pictures, is not installed"):
        train_predictor.train(out=tmp_path, overwrite=True)
    assert (tmp_path / "model.safetensors").exists()


def test_training_goes_on_from_the_predictor_that_ships(predictors):
    made, before = train_predictor._beginning(PredictorConfig(style="predictor", norm="iebn", init="shipped"))
    shipped, description = load_predictor(predictors / "iebn.safetensors")
    assert made.state_dict().keys() == shipped.state_dict().keys()
    assert all(torch.equal(tensor, shipped.state_dict()[name]) for name, tensor in made.state_dict().items())
    assert (
        PredictorConfig("predictor", "iebn", init="shipped").base_sha256
        == description["training"]["base_sha256"]
    )
    assert before == description["training"]


def test_a_card_has_the_training_before_and_models_tell_the_steps_of_both(
    predictors, photo_folder, vgg, tmp_path, monkeypatch
):
    one = trainer(photo_folder, vgg)
    one.before = load_predictor(predictors / "iebn.safetensors")[1]["training"]
    one.save(tmp_path / "iebn.safetensors", {"iterations_done": 6})
    monkeypatch.setattr(style_picture, "PREDICTORS", tmp_path)
    _, info = StylePicture(make_picture(90, 80), "mine").model("iebn")
    assert info.training["predictor_iterations"] == 13
