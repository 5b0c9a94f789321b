"""Jobs are computed once, by one process, and again when their settings change."""

import pytest

from experiments.harness.runner import Inputs, Store, Trial, rounded, run_trials
from transformer_net.errors import SettingError


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


@pytest.fixture
def inputs(tmp_path):
    return Inputs(tmp_path, None, "cpu", tmp_path)


class Counter:
    """Work that counts how often it is done."""

    def __init__(self, fail_at=None):
        self.done, self.fail_at = [], fail_at

    def __call__(self, config, inputs):
        if config["n"] == self.fail_at:
            raise KeyboardInterrupt
        self.done.append(config["n"])
        return {"twice": 2 * config["n"]}


def trials(work, *numbers):
    return [Trial("kind", f"job{n}", {"n": n, "pair": (1, 2)}, work) for n in numbers]


def test_what_is_done_is_skipped(store, inputs):
    work = Counter()
    assert run_trials(trials(work, 1, 2), store, inputs) == 2
    assert run_trials(trials(work, 1, 2, 3), store, inputs) == 1
    assert work.done == [1, 2, 3]
    assert store.metrics(trials(work, 2)[0]) == {"twice": 4}
    record = store.record(trials(work, 2)[0])
    assert record["seconds"] >= 0
    assert record["machine"]
    assert record["torch"]


def test_an_interrupted_plan_goes_on_where_it_was(store, inputs):
    broken = Counter(fail_at=2)
    with pytest.raises(KeyboardInterrupt):
        run_trials(trials(broken, 1, 2, 3), store, inputs)
    assert not store.path(trials(broken, 2)[0]).exists()
    work = Counter()
    run_trials(trials(work, 1, 2, 3), store, inputs)
    assert work.done == [2, 3]


def test_other_settings_replace_the_result(store, inputs):
    work = Counter()
    run_trials([Trial("kind", "same", {"n": 1}, work)], store, inputs)
    run_trials([Trial("kind", "same", {"n": 5}, work)], store, inputs)
    assert work.done == [1, 5]
    assert store.metrics(Trial("kind", "same", {"n": 1}, work)) == {"twice": 10}  # figures show what there is


def test_what_another_process_computes_is_left_to_it(store, inputs):
    work = Counter()
    one, two = trials(work, 1, 2)
    with store.claimed(one) as ours:
        assert ours
        assert run_trials([one, two], store, inputs) == 1
    assert work.done == [2]
    assert run_trials([one, two], store, inputs) == 1


def test_no_job_begins_after_the_time_is_over(store, inputs):
    work = Counter()
    assert run_trials(trials(work, 1, 2), store, inputs, minutes=-1) == 0
    assert work.done == []


def test_rounding_keeps_the_structure():
    assert rounded({"a": [1.23456789, 2], "b": ("x", True)}) == {"a": [1.2346, 2], "b": ["x", True]}


def test_photos_are_named_or_the_run_is_not_begun(inputs):
    """Results on the few shipped ones would stand among those on thousands, under the same names."""
    with pytest.raises(SettingError, match="--content"):
        inputs.photos  # noqa: B018
    with pytest.raises(SettingError, match="--styles"):
        inputs.styles  # noqa: B018
