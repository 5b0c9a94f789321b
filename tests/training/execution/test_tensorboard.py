"""What a run shows in TensorBoard, read back from its event file."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import make_picture
from transformer_net.norms import NORMS
from transformer_net.training.config import TrainConfig
from transformer_net.training.content import ContentPhotos
from transformer_net.training.execution.tensorboard import TensorBoardWriter
from transformer_net.training.run import Run
from transformer_net.training.run_folder import RunFolder
from transformer_net.training.trainer import Trainer

accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
LOSSES = {
    "total", "content", "style_relu1_2", "style_relu2_2", "style_relu3_3", "style_relu4_3", "palette", "tv",
}  # fmt: skip


def shown(folder):
    """What TensorBoard reads there, all of it."""
    events = accumulators.EventAccumulator(
        str(folder), {"scalars": 0, "images": 0, "histograms": 0, "compressedHistograms": 1}
    )
    return events.Reload()


def train(norm, photo_folder, folder, vgg, stop_at=99):
    """Two steps of warm-up, four of style, a look after every third; from where the folder is."""
    config = TrainConfig(
        "test", norm=norm, width=4, iterations=4, warmup_iterations=2, batch_size=2, size=32, warmup_size=32,
        style_size=64, precision="fp32",
    )  # fmt: skip
    trainer = Trainer(config, make_picture(100, 80, seed=99), vgg, torch.device("cpu"))
    run = Run(
        trainer, ContentPhotos.from_folder(photo_folder), RunFolder(folder), make_picture(48, 40), 3,
        should_stop=lambda: trainer.iteration >= stop_at,
    )  # fmt: skip
    if run.folder.state.exists():
        run.resume()
    else:
        run.folder.create()
    run.tensorboard_writer = TensorBoardWriter(folder, trainer.iteration)
    run.run()
    run.tensorboard_writer.close()
    return run


@pytest.mark.slow
@pytest.mark.parametrize("norm", NORMS)
def test_a_run_on_the_board(norm, photo_folder, tmp_path, vgg):
    run = train(norm, photo_folder, tmp_path / "run", vgg)
    events = shown(run.folder.path)
    tags = events.Tags()
    training = {f"training/{name}" for name in LOSSES | {"identity", "images_per_second", "learning_rate"}}
    assert set(tags["scalars"]) == training | {f"validation/{name}" for name in LOSSES}
    # The same numbers, at the same iterations, as in the run's own record.
    for kind, phases in (("training", ("warm-up", "style")), ("validation", ("validation",))):
        records = [r for r in run.folder.records() if r["phase"] in phases]
        for name in {n for r in records for n in r} - {"iteration", "phase", "seconds"}:
            written = [(r["iteration"], pytest.approx(r[name], rel=1e-5)) for r in records if name in r]
            assert [(e.step, e.value) for e in events.Scalars(f"{kind}/{name}")] == written, name
    samples = events.Images("sample")
    assert [s.step for s in samples] == [3, 6]
    assert {(s.width, s.height) for s in samples} == {(48, 40)}
    for sample in samples:
        painted = run.folder.samples / f"{sample.step:06}.jpg"
        with Image.open(io.BytesIO(sample.encoded_image_string)) as seen, Image.open(painted) as saved:
            difference = np.asarray(seen.convert("RGB")).astype(float) - np.asarray(saved.convert("RGB"))
        assert np.abs(difference).mean() < 8  # a JPEG's


@pytest.mark.slow
@pytest.mark.parametrize("norm", NORMS)
def test_gates_on_the_board(norm, photo_folder, tmp_path, vgg):
    """A histogram of δ for each of the fifteen norms, where they have gates: a value a channel."""
    run = train(norm, photo_folder, tmp_path / "run", vgg)
    events = shown(run.folder.path)
    if norm in ("bn", "in"):
        assert events.Tags()["histograms"] == []
        return
    gates = run.trainer.gates(run.sample)
    assert len(gates) == 15
    assert set(events.Tags()["histograms"]) == {f"gate/{layer}" for layer in gates}
    for layer, gate in gates.items():
        first, last = events.Histograms(f"gate/{layer}")
        assert (first.step, last.step) == (3, 6)
        values = last.histogram_value
        assert values.num == len(gate)
        assert 0 < values.min <= values.max < 1
        assert (values.min, values.max) == pytest.approx((gate.min().item(), gate.max().item()), rel=1e-5)
        assert values.sum == pytest.approx(gate.sum().item(), rel=1e-4)


@pytest.mark.slow
def test_what_was_written_after_the_last_save_is_not_shown_twice(photo_folder, tmp_path, vgg):
    """A run that goes on from iteration 3 shows one curve, not the old end beside the new one."""
    run = train("in", photo_folder, tmp_path / "run", vgg, stop_at=3)
    lost = TensorBoardWriter(run.folder.path)
    lost.training(5, {"content": 99.0})
    lost.close()
    # Files are read in the order of their names: of the seconds they were begun at, which are the same here.
    for number, path in enumerate(
        sorted(run.folder.path.glob("events.*"), key=lambda p: p.stat().st_mtime_ns)
    ):
        path.rename(path.with_name(f"events.out.tfevents.{number:010}.before"))
    train("in", photo_folder, tmp_path / "run", vgg)
    content = shown(run.folder.path).Scalars("training/content")
    assert 99.0 not in [event.value for event in content]
    assert [event.step for event in content] == sorted({event.step for event in content})
    assert content[-1].step == 6
