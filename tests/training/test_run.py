"""Whole runs on a tiny budget, with the real loss network."""

import itertools
import json

import pytest
import torch

from styles.catalog import find_style
from tests.conftest import make_picture
from transformer_net.checkpoint import load_model
from transformer_net.errors import ContentError, DivergedError, RunFolderError, SettingError
from transformer_net.imaging.decode import decode
from transformer_net.norms import NORMS, BatchNorm
from transformer_net.training.config import TrainConfig
from transformer_net.training.content import ContentPhotos, open_content
from transformer_net.training.run import Run
from transformer_net.training.run_folder import RunFolder
from transformer_net.training.trainer import Trainer, add_grain, scaled_style

CPU = torch.device("cpu")
TINY = {
    "width": 4, "iterations": 12, "warmup_iterations": 6, "batch_size": 2, "size": 32, "warmup_size": 32,
    "style_size": 64, "precision": "fp32",
}  # fmt: skip


@pytest.fixture
def start(vgg, photo_folder, tmp_path):
    """Begins a run: start(folder name, **settings) gives a `Run` whose folder is made."""

    def begin(name="run", resume=False, should_stop=lambda: False, on_progress=lambda p: None, **settings):
        config = TrainConfig("test", **{**TINY, "norm": "iebn", **settings})
        trainer = Trainer(config, make_picture(100, 80, seed=99), vgg, CPU)
        photos = ContentPhotos.from_folder(photo_folder)
        run = Run(
            trainer, photos, RunFolder(tmp_path / name), make_picture(48, 40), 5, on_progress, should_stop
        )
        if resume:
            run.resume()
        else:
            run.folder.create()
        return run

    return begin


def after(count):
    """A `should_stop` that says yes at the `count`-th question."""
    asked = iter(range(1, 10_000))
    return lambda: next(asked) >= count


@pytest.mark.slow
@pytest.mark.parametrize("norm", NORMS)
def test_both_losses_fall(vgg, tmp_path, norm):
    """Real photos, real style picture, a minute's worth of nothing: from grey towards both at once."""
    config = TrainConfig(
        "mosaic", norm=norm, width=8, iterations=60, warmup_iterations=0, batch_size=2, size=64,
        style_size=128, precision="fp32", lr=5e-3, content_weight=8, palette_weight=0,
    )  # fmt: skip
    trainer = Trainer(config, decode(find_style("mosaic").picture).rgb, vgg, CPU)
    folder = RunFolder(tmp_path)
    folder.create()
    assert Run(trainer, open_content(None), folder, make_picture(48, 40)).run().finished
    records = [r for r in folder.records() if r["phase"] == "style"]
    first, last = (
        {"content": r["content"], "style": sum(v for k, v in r.items() if k.startswith("style_"))}
        for r in (records[0], records[-1])
    )
    assert last["content"] < 0.85 * first["content"]
    assert last["style"] < 0.985 * first["style"]


@pytest.mark.slow
def test_warm_up_teaches_the_photo(start):
    run = start(width=8, warmup_iterations=80, iterations=1)
    run.run()
    identity = [r["identity"] for r in run.folder.records() if r["phase"] == "warm-up"]
    assert identity[-1] < 0.7 * identity[0]


@pytest.mark.slow
def test_with_a_lattice_loss_the_second_half_is_trained_as_it_paints(start):
    """Without the statistics of a batch, that is; and the loss is of that half alone."""
    run = start(lattice=5.0, consistency=20.0, shift=8, upsampling="bilinear", warmup_iterations=0)
    trainer, seen = run.trainer, []
    norm = next(m for m in trainer.network.modules() if isinstance(m, BatchNorm))
    norm.register_forward_hook(lambda *_: seen.append(norm.running_mean.clone()))
    losses = [
        trainer.step(trainer.prepare(torch.rand(2, 3, 32, 32), i)) for i in range(trainer.config.iterations)
    ]
    assert [step["lattice"].item() != 0 for step in losses] == [False] * 6 + [True] * 6
    assert all(step["consistency"] > 0 for step in losses)
    first_passes = seen[::2]  # the others are of the second view
    moved = [not torch.equal(a, b) for a, b in itertools.pairwise(first_passes)]
    assert moved == [True] * 5 + [False] * 6
    assert all(torch.equal(a, b) for a, b in zip(first_passes, seen[1::2], strict=True))


@pytest.mark.slow
def test_resumed_run_equals_an_uninterrupted_one(start):
    """Stopped twice, once in the warm-up and once after it: the same weights, bit for bit."""
    whole = start("whole")
    whole.run()
    stopped = start("parts", should_stop=after(4)).run()
    assert (stopped.finished, stopped.iteration) == (False, 4)
    stopped = start("parts", resume=True, should_stop=after(7)).run()
    assert (stopped.finished, stopped.iteration) == (False, 11)
    parts = start("parts", resume=True)
    assert parts.run().finished

    a, b = (run.folder.load_state().tensors for run in (whole, parts))
    assert a.keys() == b.keys()
    for name, tensor in a.items():
        assert torch.equal(tensor, b[name]), name
    photo = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        paintings = [load_model(run.folder.model)[0](photo) for run in (whole, parts)]
    assert torch.equal(*paintings)
    last = [[r for r in run.folder.records() if r["phase"] == "validation"][-1] for run in (whole, parts)]
    assert last[0] == last[1]


@pytest.mark.slow
def test_same_seed_same_run_other_seed_another(start):
    states = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run = start(name, seed=seed)
        run.run()
        states.append(run.folder.load_state().tensors["network.head.weight"])
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


@pytest.mark.slow
def test_what_a_run_leaves(start):
    seen = []
    run = start(on_progress=seen.append)
    outcome = run.run()
    records = run.folder.records()
    assert {r["phase"] for r in records} == {"warm-up", "style", "validation"}
    assert records[-1]["phase"] == "validation"
    assert outcome.validation == {k: v for k, v in records[-1].items() if k not in ("phase", "iteration")}
    assert sorted(p.name for p in run.folder.samples.iterdir()) == [
        "000005.jpg", "000010.jpg", "000015.jpg", "000018.jpg",
    ]  # fmt: skip
    info = load_model(run.folder.model)[1]
    assert (info.style, info.norm, info.grain) == ("test", "iebn", 0.05)
    training = info.training
    assert training["config"] == run.trainer.config.to_dict()
    assert training["iterations_done"] == 18
    assert training["validation"] == outcome.validation
    assert training["content"] == {"name": "photos", "photos": 11}
    assert training["seconds"] > 0
    assert [p.iteration for p in seen] == [6, 10, 18]
    assert seen[-1].seconds_left == 0
    assert seen[-1].images_per_second > 0


@pytest.mark.slow
def test_validation_is_in_evaluation_mode(start):
    """A batch norm in training mode would use the photo's own statistics, and move the running ones."""
    run = start(norm="bn")
    run.run()
    before = {n: t.clone() for n, t in run.trainer.network.state_dict().items()}
    once = run.trainer.validate(run.photos.validation_tensors(64))
    after_ = run.trainer.network.state_dict()
    assert all(torch.equal(before[n], after_[n]) for n in before)
    assert run.trainer.network.training
    run.trainer.network.eval()
    loss, photo = run.trainer.loss, next(run.photos.validation_tensors(64))
    with torch.no_grad():
        painting = run.trainer.network(add_grain(photo, 0.05)).clamp(0, 1)
        assert loss(painting, photo).content.item() == pytest.approx(once["content"], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_the_run(start, poison):
    run = start()
    step = run.trainer.step

    def poisoned(photo):
        losses = step(photo)
        if run.trainer.iteration > 12:
            return {**losses, "content": torch.tensor(poison)}
        return losses

    run.trainer.step = poisoned
    run._save({})
    with pytest.raises(DivergedError, match=r"iteration 18.*Lower --lr \(now 0\.004\)"):
        run.run()
    assert run.folder.load_state().iteration == 0  # the last good state is still there


def test_a_network_that_is_no_number_is_never_saved(start):
    run = start()
    run._save({})
    with torch.no_grad():
        run.trainer.network.head.bias.fill_(float("nan"))
    with pytest.raises(DivergedError, match=r"head\.bias was not finite"):
        run._save({})
    assert all(torch.isfinite(t).all() for t in run.folder.load_state().tensors.values())
    load_model(run.folder.model)


def test_a_network_that_is_no_number_is_not_painted_with(start):
    run = start()
    with torch.no_grad():
        run.trainer.network.head.bias.fill_(float("nan"))
    with pytest.raises(DivergedError, match=r"head\.bias was not finite"):
        run._evaluate()


def test_a_loss_that_leaves_stops_the_run(start):
    trainer = start().trainer
    trainer.check({"total": 5.0})
    trainer.check({"total": 49.0})
    with pytest.raises(DivergedError, match="10 times its lowest, 5"):
        trainer.check({"total": 51.0})


def test_resume_refuses_another_config(start):
    start(should_stop=after(4)).run()
    with pytest.raises(RunFolderError, match=r"started with lr 0\.004, not 0\.001"):
        start(resume=True, lr=0.001)


def test_resume_refuses_other_photos(start, photo_folder):
    start(should_stop=after(4)).run()
    make_picture(50, 50).save(photo_folder / "new.jpg")
    with pytest.raises(RunFolderError, match="other content photos"):
        start(resume=True)


def test_resume_refuses_another_style_picture(start, vgg):
    run = start(should_stop=after(4))
    run.run()
    run.trainer = Trainer(run.trainer.config, make_picture(100, 80, seed=98), vgg, CPU)
    with pytest.raises(RunFolderError, match=r"another style picture; give the same --style\."):
        run.resume()


@pytest.mark.slow
def test_resuming_a_finished_run_changes_nothing(start):
    run = start()
    outcome = run.run()
    before = {p.name: p.read_bytes() for p in run.folder.path.glob("*.*")}
    again = start(resume=True).run()
    assert again.finished
    assert again.validation == outcome.validation
    assert {p.name: p.read_bytes() for p in run.folder.path.glob("*.*")} == before


@pytest.mark.slow
def test_a_finished_run_whose_metrics_are_lost_is_validated_again(start):
    run = start()
    outcome = run.run()
    run.folder.metrics.unlink()
    assert start(resume=True).run().validation == outcome.validation


@pytest.mark.slow
def test_a_run_killed_before_its_last_validation_is_not_finished(start, monkeypatch):
    """Its last iteration is saved once, together with the validation losses."""
    run = start(iterations=94)  # 100 with the warm-up: a multiple of the saving interval

    class Killed(BaseException):
        pass

    def die(self):
        if self.trainer.iteration == 100:
            raise Killed
        return {}

    monkeypatch.setattr(Run, "_evaluate", die)
    with pytest.raises(Killed):
        run.run()
    assert run.folder.load_state().iteration == 0
    assert not run.folder.load_state().finished


def test_resume_without_a_run(start):
    with pytest.raises(RunFolderError, match="nothing to resume"):
        start("nowhere", resume=True)


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["truncate", "garbage", "description", "version", "missing tensor"])
def test_resume_refuses_a_broken_state(start, damage):
    run = start(should_stop=after(8))
    run.run()
    state = run.folder.state
    data = state.read_bytes()
    if damage == "truncate":
        state.write_bytes(data[:-50])
    elif damage == "garbage":
        state.write_bytes(b"\x80\x04garbage" * 20)
    elif damage == "description":
        state.write_bytes(data.replace(b'\\"iteration\\"', b'\\"iteratiom\\"', 1))
    elif damage == "version":
        state.write_bytes(data.replace(b'\\"version\\": 1', b'\\"version\\": 9', 1))
    else:
        state.write_bytes(data.replace(b'"network.head.bias"', b'"network.head.bios"', 1))
    with pytest.raises(RunFolderError) as caught:
        start(resume=True)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_metrics_newer_than_the_state_are_dropped_on_resume(start):
    run = start(should_stop=after(8))
    run.run()
    run.folder.append({"iteration": 9, "phase": "style"})
    with run.folder.metrics.open("a") as file:
        file.write('{"iteration": 10, "pha')  # killed in the middle of a line
    resumed = start(resume=True)
    assert max(r["iteration"] for r in resumed.folder.records()) == 8
    resumed.run()
    for line in resumed.folder.metrics.read_text().splitlines():
        json.loads(line)


def test_unwritable_folder(start, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunFolderError, match="cannot be written"):
        start("file/run")


def test_content_that_cannot_be_read_stops_with_a_sentence(start, photo_folder):
    run = start()
    for path in photo_folder.rglob("*.jpg"):
        path.write_bytes(b"\xff\xd8\xff broken")
    with pytest.raises(ContentError, match="None of the 12"):
        run.run()


def test_style_picture_keeps_its_aspect():
    assert scaled_style(make_picture(300, 200), 100).shape == (1, 3, 100, 150)


@pytest.mark.parametrize("size", [(16, 16), (4000, 20)])
def test_a_sample_that_is_thinner_than_the_network_takes(start, size):
    run = start()
    sample = Run(run.trainer, run.photos, run.folder, make_picture(*size)).sample
    assert run.trainer.paint(sample).shape == sample.shape


def test_style_picture_that_is_a_strip():
    with pytest.raises(SettingError, match="3000x100"):
        scaled_style(make_picture(3000, 100), 512)


@pytest.mark.slow
def test_start_from_another_network(vgg, start):
    run = start()
    run.run()
    network, _ = load_model(run.folder.model)
    picture = make_picture(80, 80)
    trainer = Trainer(run.trainer.config, picture, vgg, CPU, network)
    assert torch.equal(trainer.network.state_dict()["head.weight"], network.state_dict()["head.weight"])


@pytest.mark.parametrize("settings", [{"norm": "in"}, {"width": 8}, {"norm_options": {"operator": "fc"}}])
def test_a_network_of_another_kind_is_not_started_from(start, vgg, settings):
    other = start(name="other", **settings).trainer.network
    with pytest.raises(SettingError, match="The network to start from is"):
        Trainer(start().trainer.config, make_picture(80, 80), vgg, CPU, other)
