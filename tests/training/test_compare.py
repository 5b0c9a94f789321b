"""Four normalizers, one after the other: train_style.py --compare."""

import sys
import time

import pytest
import torch
from PIL import Image

import train_style
from tests.conftest import make_picture
from transformer_net import commandline
from transformer_net.norms import norm_slug
from transformer_net.training import report
from transformer_net.training import run as run_module
from transformer_net.training.run import Run
from transformer_net.training.run_folder import RunFolder
from transformer_net.training.trainer import Trainer

NORMS = "bn,in,bn+se,iebn"


@pytest.fixture
def compare(tmp_path, photo_folder, monkeypatch, capsys):
    """Runs the command with tiny settings: exit code and output."""
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    make_picture(100, 80, seed=99).save("dots.png")
    tiny = [
        "--iterations",
        "4",
        "--warmup-iterations",
        "2",
        "--batch-size",
        "2",
        "--size",
        "32",
        "--width",
        "4",
    ]
    tiny += ["--style-size", "64", "--content", str(photo_folder), "--precision", "fp32"]

    def command(*arguments):
        words = ["train_style.py", "--style", "dots.png", "--compare", NORMS, *tiny, *arguments]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as stopped:
            commandline.run(train_style.train)
        return stopped.value.code, "".join(capsys.readouterr())

    return command


@pytest.mark.slow
def test_four_runs_on_the_same_batches_and_one_picture(compare, tmp_path, monkeypatch):
    seen, drawn = {}, []
    step, write = Trainer.step, report._write

    def noting(trainer, batch):
        seen.setdefault(trainer.config.norm, []).append(batch.photo.clone())
        return step(trainer, batch)

    def drawing_noted(figure, path):
        if path.name == "dots-compare.png":
            drawn.append(figure)
        write(figure, path)

    monkeypatch.setattr(Trainer, "step", noting)
    monkeypatch.setattr(report, "_write", drawing_noted)
    monkeypatch.setattr(run_module, "_RECORD_EVERY", 2)
    code, said = compare()
    assert code == 0, said
    assert list(seen) == NORMS.split(",")
    first, *others = seen.values()
    assert len(first) == 6
    assert len({batch.numpy().tobytes() for batch in first}) == 6  # they differ from step to step,
    for batches in others:  # and not from norm to norm
        assert all(torch.equal(a, b) for a, b in zip(first, batches, strict=True))
    runs = tmp_path / "runs"
    slugs = {"bn", "in", "bn-se", "iebn"}
    assert {path.name for path in runs.iterdir()} == {f"dots-{s}" for s in slugs} | {"dots-compare.png"}
    for slug in slugs:
        assert RunFolder(runs / f"dots-{slug}").load_state().finished
    with Image.open(runs / "dots-compare.png") as drawing:
        drawing.load()
    (figure,) = drawn
    for axes in figure.axes:
        lines = {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}
        assert list(lines) == NORMS.split(",")
        assert len({line.get_color() for line in lines.values()}) == 4
        assert all(list(line.get_xdata()) == [4, 6] for line in lines.values())
    content = {line.get_label(): list(line.get_ydata()) for line in figure.axes[0].lines}
    for norm in seen:
        records = RunFolder(runs / f"dots-{norm_slug(norm)}").records()
        assert content[norm] == [r["content"] for r in records if r["phase"] == "style"]


@pytest.mark.slow
def test_a_comparison_that_was_stopped_goes_on_where_it_was(compare, tmp_path, monkeypatch):
    """Stopped in the third run: the first two stay as they are, the third goes on, the fourth begins."""
    run, begun = Run.run, []

    def noted(self):
        begun.append((self.trainer.config.norm, self.trainer.iteration))
        return run(self)

    def interrupted(self):
        if len(begun) == 2:
            self.should_stop = lambda: self.trainer.iteration >= 3
        return noted(self)

    monkeypatch.setattr(Run, "run", interrupted)
    code, said = compare()
    assert (code, "Stopped and saved at iteration 3" in said) == (128, True)
    done = tmp_path / "runs" / "dots-bn" / "state.safetensors"
    before = done.read_bytes()
    assert not (tmp_path / "runs" / "dots-compare.png").exists()
    begun.clear()
    monkeypatch.setattr(Run, "run", noted)
    code, said = compare("--resume")
    assert code == 0, said
    assert begun == [("bn", 6), ("in", 6), ("bn+se", 3), ("iebn", 0)]
    assert done.read_bytes() == before
    assert (tmp_path / "runs" / "dots-compare.png").exists()


def test_a_comparison_chooses_its_own_folders(compare):
    code, said = compare("--out", "elsewhere")
    assert code == 2
    assert "--compare trains into runs/<style>-<norm>; leave out --out." in said


@pytest.mark.slow
def test_a_model_without_its_state_is_not_lost(compare, tmp_path):
    assert compare()[0] == 0
    model, state = (tmp_path / "runs" / "dots-in" / f"{name}.safetensors" for name in ("model", "state"))
    state.unlink()
    before = model.read_bytes()
    code, said = compare("--resume")
    assert code == 2
    assert "runs/dots-in holds a run already: --overwrite starts again." in said
    assert model.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--norm", "in"], "Give --norm or --compare, not both."),
        (["--resume", "--overwrite"], "Give --resume or --overwrite, not both."),
        (["--compare", ""], "There is no normalizer ''"),
    ],
)
def test_options_that_contradict_each_other(compare, options, sentence):
    code, said = compare(*options)
    assert code == 2
    assert sentence in said


@pytest.mark.slow
def test_nothing_is_overwritten_for_want_of_tensorboard(compare, tmp_path, monkeypatch):
    assert compare()[0] == 0
    model = tmp_path / "runs" / "dots-bn" / "model.safetensors"  # which is trained first
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    code, said = compare("--overwrite", "--tensorboard")
    assert code == 2
    assert "--tensorboard needs TensorBoard" in said
    assert model.is_file()


@pytest.mark.slow
def test_a_budget_is_each_norms_own(compare, monkeypatch):
    """What all need, read before the first, is not on its account."""
    began = []
    initialize = Run.__init__

    def noting(self, *arguments, **options):
        began.append((time.perf_counter() - options["began"]) < 2.5)
        initialize(self, *arguments, **options)

    features = train_style.Vgg16Features

    def slow(source):
        time.sleep(3)
        return features(source)

    monkeypatch.setattr(Run, "__init__", noting)
    monkeypatch.setattr(train_style, "Vgg16Features", slow)
    assert compare()[0] == 0
    assert began == [True] * 4
