"""Whatever happens to a run: it goes on or stops with a sentence, and what was saved is whole."""

import errno
import multiprocessing
import os
import random
import signal
import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from tests.conftest import make_picture
from transformer_net.checkpoint import load_model
from transformer_net.errors import RunFolderError
from transformer_net.training.config import TrainConfig
from transformer_net.training.content import ContentPhotos
from transformer_net.training.losses.vgg import Vgg16Features
from transformer_net.training.run import Run
from transformer_net.training.run_folder import RunFolder
from transformer_net.training.trainer import Trainer


def begin(photo_folder, folder, vgg, iterations=8):
    """A run that saves after every step, from where its folder is."""
    config = TrainConfig(
        "test", norm="iebn", width=4, iterations=iterations, warmup_iterations=2, batch_size=2, size=32,
        warmup_size=32, style_size=64, precision="fp32",
    )  # fmt: skip
    trainer = Trainer(config, make_picture(100, 80, seed=99), vgg, torch.device("cpu"))
    run = Run(trainer, ContentPhotos.from_folder(photo_folder), RunFolder(folder), make_picture(48, 40), 4)
    run._saves.every = 1
    if run.folder.state.exists():
        run.resume()
    else:
        run.folder.create()
    return run


def weights(folder):
    return RunFolder(folder).load_state().tensors


def assert_equal(one, two):
    a, b = weights(one), weights(two)
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def assert_whole(folder):
    """Both files can be read; files that were being written bear other names than those in use."""
    load_model(RunFolder(folder).model)
    RunFolder(folder).load_state()
    final = {"model.safetensors", "state.safetensors", "metrics.jsonl", "samples", "losses.png"}
    assert all(path.name in final or path.name.startswith(".") for path in folder.iterdir())


def sit(photo_folder, folder, seconds):
    """A sitting of a run, killed after so many seconds."""
    torch.set_num_threads(1)
    run = begin(photo_folder, folder, Vgg16Features(), 16)
    if seconds is not None:
        threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()
    run.run()


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_as_an_undisturbed_one(photo_folder, tmp_path):
    """At moments that nobody chose. The processes are forks of one that has imported everything."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__])

    def sitting(folder, seconds=None):
        process = processes.Process(target=sit, args=(photo_folder, folder, seconds))
        process.start()
        process.join(300)
        return process.exitcode

    moments = random.Random(0)
    for _ in range(3):
        assert sitting(tmp_path / "killed", moments.uniform(0.05, 0.8)) in (-signal.SIGKILL, 0)
        if (tmp_path / "killed" / "state.safetensors").exists():
            assert_whole(tmp_path / "killed")
    assert sitting(tmp_path / "killed") == 0
    assert sitting(tmp_path / "whole") == 0
    assert_equal(tmp_path / "whole", tmp_path / "killed")


@pytest.fixture(scope="module")
def network():
    return Vgg16Features()


@pytest.mark.slow
@pytest.mark.parametrize("write", [2, 3, 7, 11])
def test_a_full_disk_stops_the_run_with_a_sentence(photo_folder, tmp_path, network, monkeypatch, write):
    """The disk is full at the `write`-th file: a model, a state or a sample."""
    run = begin(photo_folder, tmp_path / "full", network)
    calls = iter(range(1, 1000))
    sync = os.fsync

    def full(descriptor):
        if next(calls) >= write:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        RunFolderError, match=r"run folder .*full cannot be written: No space left on device\."
    ):
        run.run()
    monkeypatch.undo()
    assert not list((tmp_path / "full").rglob(".*"))
    if write > 2:
        assert_whole(tmp_path / "full")
    if write == 11:
        assert begin(photo_folder, tmp_path / "full", network).run().finished
        begin(photo_folder, tmp_path / "whole", network).run()
        assert_equal(tmp_path / "whole", tmp_path / "full")


@pytest.mark.slow
def test_a_photo_that_vanishes_in_the_middle_is_skipped_and_named(photo_folder, tmp_path, network):
    run = begin(photo_folder, tmp_path / "run", network)
    gone = run.photos.training[:4]

    def vanish(progress):
        for path in gone:
            path.unlink(missing_ok=True)

    run.on_progress = vanish  # after the warm-up
    outcome = run.run()
    assert outcome.finished
    assert outcome.broken.keys() <= {str(path) for path in gone}
    assert outcome.broken


def test_a_folder_without_a_run_keeps_what_it_has(tmp_path):
    """`--out .` may name a folder of pictures."""
    (tmp_path / "samples").mkdir()
    kept = [tmp_path / name for name in ("samples/holiday.jpg", "samples/000100.jpg", "losses.png")]
    for file in kept:
        file.write_bytes(b"mine")
    folder = RunFolder(tmp_path)
    folder.create()
    assert all(file.exists() for file in kept)
    folder.model.touch()
    folder.create()
    assert [file.exists() for file in (*kept, folder.model)] == [True, False, False, False]


def test_a_state_that_cannot_be_read_is_not_called_damaged(tmp_path):
    """`--overwrite` would lose a run that may be whole."""
    folder = RunFolder(tmp_path)
    folder.state.mkdir()
    with pytest.raises(RunFolderError, match="cannot be read") as caught:
        folder.load_state()
    assert "--overwrite" not in str(caught.value)


def test_a_run_of_another_command_is_not_called_damaged(photo_folder, tmp_path, network):
    """`train_predictor.py --out` may be given the folder of `train_style.py`."""
    run = begin(photo_folder, tmp_path / "run", network)
    run._save({})
    state = RunFolder(tmp_path / "run").load_state()
    description = {**state.config.to_dict(), "hidden": 64}
    folder = RunFolder(tmp_path / "run")
    folder.save_state(replace(state, config=SimpleNamespace(to_dict=lambda: description)))
    with pytest.raises(RunFolderError, match="of another command") as caught:
        folder.load_state()
    assert "--overwrite" not in str(caught.value)
