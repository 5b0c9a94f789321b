"""Each experiment's quick mode from end to end, on one store: what they share is run once."""

import json
import math

import pytest
import torch
from PIL import Image

from experiments import accuracy, curves, figures, mixed, noise, pictures
from experiments.figures import EXPERIMENTS
from experiments.harness import classification
from experiments.harness.experiment import measure, plan
from experiments.harness.intervals import SEEDS
from experiments.harness.runner import Inputs, Store, run_trials
from transformer_net.training.content import EXAMPLES


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    store = Store(root)
    return store, Inputs(root / "no-data", str(EXAMPLES), "cpu", store.pictures)


@pytest.mark.slow
@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda e: e.__name__.removeprefix("experiments."))
def test_quick_mode_runs_from_end_to_end(experiment, quick, capsys):
    store, inputs = quick
    measure([experiment], store, inputs, quick=True)
    trials = plan([experiment], quick=True)
    assert trials
    assert all(store.is_done(trial) for trial in trials)
    printed = capsys.readouterr().out
    assert experiment.TITLE in printed
    for claim in experiment.claims(store):
        assert claim.text in printed
        assert claim.verdict in ("reproduced", "not reproduced", "not decidable")
        assert bool(claim.reason) == (claim.verdict == "not decidable")


@pytest.mark.slow
def test_all_of_it_is_drawn_and_nothing_is_computed(quick, tmp_path, monkeypatch):
    store, inputs = quick
    run_trials(plan(EXPERIMENTS, quick=True), store, inputs)
    monkeypatch.setattr(torch.nn.Module, "__call__", lambda *_: pytest.fail("something was computed"))
    page = tmp_path / "results.md"
    figures.draw(store, page)
    text = page.read_text()
    for experiment in EXPERIMENTS:
        assert f"## {experiment.TITLE}" in text
    drawn = list((store.root / "figures").iterdir())
    assert {"accuracy.png", "noise.png", "mixed.png", "ablations.png", "inside.png", "curves-mosaic.png"} <= {
        path.name for path in drawn
    }
    for path in drawn:
        assert path.name in text
        with Image.open(path) as image:
            assert min(image.size) > 100


@pytest.mark.slow
def test_a_second_run_computes_nothing(quick):
    store, inputs = quick
    trials = plan([accuracy, pictures], quick=True)
    run_trials(trials, store, inputs)
    assert run_trials(trials, store, inputs) == 0


@pytest.mark.slow
def test_a_run_that_diverged_decides_nothing_but_is_told(tmp_path):
    store = Store(tmp_path)
    losses = {"content": 9.0, "style": 0.3}
    for trial in curves.trials():
        diverged = trial.label.startswith("mosaic-iebn-seed1")
        metrics = (
            {"diverged": "at 20", "curves": {}}
            if diverged
            else {"diverged": "", "final": losses, "training": losses}
        )
        store.keep(trial, metrics, 1, 1, "")
    reasons = {claim.text: claim.reason for claim in curves.claims(store) if claim.ran.startswith("mosaic")}
    assert reasons["IEBN has a lower content loss than BN"] == "a training diverged"
    assert reasons["SE has a lower content loss than BN"] == "the interval contains 0"
    assert "not a number (n = 3)" in curves.table(store)


@pytest.mark.parametrize("diverged", [["bn"], ["bn", "iebn"]])
def test_a_baseline_that_diverged_decides_nothing(tmp_path, diverged):
    store = Store(tmp_path)
    losses = {"content": 9.0, "style": 0.3}
    for trial in curves.trials():
        broken = any(trial.label.startswith(f"mosaic-{norm}-seed{i}") for i, norm in enumerate(diverged))
        healthy = {"diverged": "", "final": losses, "training": losses}
        store.keep(trial, {"diverged": "at 20", "curves": {}} if broken else healthy, 1, 1, "")
    ours = [claim for claim in curves.claims(store) if claim.ran.startswith("mosaic")]
    reasons = {claim.reason for claim in ours if claim.text == "IEBN has a lower content loss than BN"}
    assert reasons == {"a training diverged"}


def test_a_classification_that_diverged_has_no_accuracy():
    assert classification.accuracy({"diverged": False, "accuracy": 24.5}) == 24.5
    assert math.isnan(classification.accuracy({"diverged": True, "accuracy": 1.0}))


def test_the_plan_names_every_run_once():
    """Runs of the same name would replace each other's results."""
    configs = {}
    for experiment in EXPERIMENTS:
        for trial in experiment.trials():
            config = json.dumps(trial.config, sort_keys=True)
            assert configs.setdefault(trial.name, config) == config
    assert len(set(configs.values())) == len(configs)


def test_normalizers_differ_in_their_norm_only():
    def anonymous(config):
        return json.dumps(config).replace('"iebn"', "NORM").replace(f'"{other}"', "NORM")

    for one, other in [(noise, "bn"), (mixed, "bn"), (curves, "in"), (accuracy, "bn")]:
        configs = {trial.name: {**trial.config, "label": ""} for trial in one.trials()}
        pairs = [(name, name.replace("iebn", other)) for name in configs if "iebn" in name]
        assert pairs
        for ours, theirs in pairs:
            assert anonymous(configs[ours]) == anonymous(configs[theirs])


def test_main_claims_have_every_seed():
    names = {trial.name for trial in plan(EXPERIMENTS) if trial.stage == 1}
    for norm in ("bn", "bn-se", "iebn", "in"):
        for seed in SEEDS:
            assert f"classify/{norm}-seed{seed}" in names
            assert f"stylize/mosaic-{norm}-seed{seed}" in names
