"""Runs that have a budget of time instead of a number of steps, on a clock that only the run moves.

Steps and validations take time by that clock, but compute nothing.
"""

import pytest
import torch

from tests.conftest import make_picture
from transformer_net.checkpoint import load_model, read_info
from transformer_net.errors import RunFolderError
from transformer_net.training.config import TrainConfig
from transformer_net.training.content import ContentPhotos
from transformer_net.training.run import Run
from transformer_net.training.run_folder import RunFolder
from transformer_net.training.schedule import make_schedule
from transformer_net.training.trainer import Trainer

CPU = torch.device("cpu")
BUDGET = 100.0
LOOK = 1.5
ONE = torch.tensor(1.0)


class Clock:
    """Stands still unless it is told how long something took."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def start(vgg, photo_folder, tmp_path):
    """start(seconds of a step by iteration) gives a `Run`; its validations take `LOOK` seconds."""

    def begin(step_seconds, name="run", resume=False, began=0.0, **options):
        settings = {
            "norm": "bn", "width": 4, "batch_size": 2, "size": 32, "warmup_size": 32, "style_size": 64,
            "precision": "fp32", "warmup_iterations": 0, "budget": BUDGET,
        }  # fmt: skip
        run_options = {k: options.pop(k) for k in ("on_progress", "should_stop") if k in options}
        config = TrainConfig("test", **{**settings, **options})
        trainer = Trainer(config, make_picture(100, 80, seed=99), vgg, CPU)
        clock, trainer.rates = Clock(), []

        def step(photo):
            clock.now += step_seconds(trainer.iteration)
            trainer.rates.append(trainer.learning_rate())
            losses = {"identity": ONE} if trainer.phase == "warm-up" else {"total": ONE, "content": ONE}
            trainer.iteration += 1
            return losses

        def validate(photos):
            clock.now += LOOK
            return {"content": 1.0}

        trainer.step, trainer.validate = step, validate
        photos = ContentPhotos.from_folder(photo_folder)
        run = Run(
            trainer, photos, RunFolder(tmp_path / name), make_picture(48, 40), clock=clock,
            began=clock.now - began, **run_options,
        )  # fmt: skip
        if resume:
            run.resume()
        else:
            run.folder.create()
        return run

    return begin


SPEEDS = {
    "steady": lambda i: 2.0,
    "slower": lambda i: 1.0 if i < 40 else 3.0,
    "faster": lambda i: 3.0 if i < 10 else 1.0,
    "jittery": lambda i: 3.0 if i % 3 else 1.0,
}


@pytest.mark.parametrize("speed", SPEEDS)
def test_a_run_ends_on_time_with_its_learning_rate_at_zero(start, speed):
    run = start(SPEEDS[speed])
    outcome = run.run()
    assert outcome.finished
    assert 0.95 * BUDGET <= outcome.seconds <= (1.02 if speed == "jittery" else 1) * BUDGET
    rates = run.trainer.rates
    assert max(rates) == pytest.approx(4e-3, rel=0.1)
    peak = rates.index(max(rates))
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] < 0.02 * max(rates)


def test_the_time_before_the_first_step_counts(start):
    run = start(SPEEDS["steady"], began=40.0)
    assert 0.95 * BUDGET <= run.run().seconds <= BUDGET
    assert run.trainer.iteration < 30


def test_the_time_left_is_true(start):
    seen = []
    run = start(SPEEDS["steady"], on_progress=lambda p: seen.append((p, run.seconds)))
    run.run()
    for progress, seconds in seen:
        assert progress.seconds_left == pytest.approx(BUDGET - seconds)
        assert progress.total == pytest.approx(run.trainer.iteration, abs=7)  # looks are not foreseen
    assert seen[-1][0].total == seen[-1][0].iteration


def test_a_model_is_on_disk_from_the_start_and_stays_fresh(start):
    ages = []

    def note():
        ages.append(run.seconds - read_info(run.folder.model).training["seconds"])
        return False

    run = start(SPEEDS["steady"], should_stop=note)
    run.run()
    assert len(ages) == run.trainer.iteration  # from the first step on
    assert max(ages) <= BUDGET / 20 + 2 + LOOK + 2
    training = load_model(run.folder.model)[1].training
    assert training["config"]["budget"] == BUDGET
    assert training["iterations_done"] == run.trainer.iteration
    assert training["validation"]


def test_a_resumed_run_has_what_is_left(start):
    asked = iter([False] * 15 + [True])
    first = start(SPEEDS["steady"], should_stop=lambda: next(asked))
    outcome = first.run()
    assert (outcome.finished, outcome.iteration) == (False, 16)
    second = start(SPEEDS["steady"], resume=True)
    assert second.seconds == pytest.approx(outcome.seconds)
    ended = second.run()
    assert ended.finished
    assert 0.95 * BUDGET <= ended.seconds <= BUDGET
    # The curve goes on where it was left.
    assert 0 <= first.trainer.rates[-1] - second.trainer.rates[0] < 5e-4
    again = start(SPEEDS["steady"], resume=True).run()
    assert (again.finished, again.iteration) == (True, ended.iteration)
    assert again.validation == ended.validation
    with pytest.raises(RunFolderError, match=r"started with budget 100\.0, not 200\.0"):
        start(SPEEDS["steady"], resume=True, budget=200.0)


@pytest.mark.parametrize("seconds", [1.3, 1.7, 2.1, 2.9])
def test_a_run_that_is_resumed_near_its_end_ends_on_time(start, seconds):
    """It knows what the last validation will take, though there is none before it."""
    first = start(lambda i: seconds, should_stop=lambda: first._spent() > 0.9 * BUDGET)
    assert not first.run().finished
    ended = start(lambda i: seconds, resume=True).run()
    assert ended.finished
    assert 0.95 * BUDGET <= ended.seconds <= BUDGET


def test_a_warm_up_takes_a_fifth_of_the_time_at_most(start):
    run = start(SPEEDS["steady"], warmup_iterations=300)
    run.run()
    warm = [r["seconds"] for r in run.folder.records() if r["phase"] == "warm-up"]
    assert 0.18 * BUDGET <= max(warm) <= 0.25 * BUDGET
    short = start(SPEEDS["steady"], "short", warmup_iterations=3)
    short.run()
    assert short.trainer.schedule.style_from == 3


def test_crops_grow_at_half_time():
    schedule = make_schedule(TrainConfig("x", budget=110.0, warmup_iterations=0, early_size=96, size=160))
    schedule.tick(0, 10.0, 0.0, 0.0)
    assert schedule.crop_size(0) == 96
    schedule.tick(7, 59.0, 0.0, 0.0)
    assert schedule.crop_size(7) == 96
    schedule.tick(8, 61.0, 0.0, 0.0)
    assert schedule.crop_size(8) == 160


def test_a_budget_that_is_gone_at_the_start_gives_one_step(start):
    outcome = start(SPEEDS["steady"], began=2 * BUDGET).run()
    assert (outcome.finished, outcome.iteration) == (True, 1)
