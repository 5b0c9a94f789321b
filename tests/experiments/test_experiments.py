"""Each experiment's quick mode from end to end, on one store: what they share is run once."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image

from experiments import ablations, accuracy, any_style, curves, figures, inside, mixed, noise, pictures
from experiments.figures import EXPERIMENTS
from experiments.harness import classification, stylization
from experiments.harness.experiment import measure, plan, timetable
from experiments.harness.intervals import SEEDS, UNFINISHED, Verdict
from experiments.harness.paper import CAPTIONS
from experiments.harness.runner import Inputs, Store, run_trials
from transformer_net.errors import SettingError
from transformer_net.training.content import EXAMPLES

LOSSES = {"content": 9.0, "style": 0.3}
HEALTHY = {
    "diverged": "",
    "final": LOSSES,
    "training": LOSSES,
    "held_out": {side: dict.fromkeys(("training", "evaluation"), LOSSES) for side in ("256", "512")},
    "curves": {"validation": [{"iteration": i, **LOSSES} for i in (75, 450)]},
}


def falling(percent, end=LOSSES):
    """Curves whose losses fall by so many percent in the last fifth."""
    before = {name: loss / (1 - percent / 100) for name, loss in end.items()}
    return {"validation": [{"iteration": 400, **before}, {"iteration": 500, **end}]}


@pytest.fixture(scope="module", autouse=True)
def flat_styles():
    """In place of drawn ones, which take seconds each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            any_style, "painted", lambda number: Image.new("RGB", (64, 64), (number // 100 % 256, 80, 9))
        )
        yield


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    store = Store(root)
    return store, Inputs(root / "no-data", str(EXAMPLES), "cpu", store.pictures, EXAMPLES)


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
        assert claim.verdict in get_args(Verdict)
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
    of_styles = {"glance", "noise", "mixed", "ablations", "inside", "curves-mosaic"}
    assert of_styles <= {path.stem for path in drawn}  # no accuracy: two epochs are shown to nobody
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
    for trial in curves.trials():
        diverged = trial.label.startswith("mosaic-iebn-long-seed1")
        metrics = {"diverged": "at 20", "curves": {}} if diverged else HEALTHY
        store.keep(trial, metrics, 1, 1, "")
    ours = [claim for claim in curves.claims(store) if claim.ran.startswith(curves.LONG)]
    reasons = {claim.text: claim.reason for claim in ours}
    assert reasons["IEBN has a lower content loss than BN"] == "a training diverged"
    assert {c.verdict for c in ours if c.text.startswith("SE has")} == {"no difference"}
    assert "not a number (n = 10)" in curves.table(store)


@pytest.mark.parametrize("diverged", [["bn"], ["bn", "iebn"]])
def test_a_baseline_that_diverged_decides_nothing(tmp_path, diverged):
    store = Store(tmp_path)
    for trial in curves.trials():
        broken = any(trial.label.startswith(f"mosaic-{norm}-long-seed{i}") for i, norm in enumerate(diverged))
        store.keep(trial, {"diverged": "at 20", "curves": {}} if broken else HEALTHY, 1, 1, "")
    ours = [claim for claim in curves.claims(store) if claim.ran.startswith(curves.LONG)]
    assert {c.reason for c in ours if "IEBN" in c.text} == {"a training diverged"}


def test_claims_about_the_longer_runs_are_corrected_for_their_number(tmp_path):
    ours = [claim for claim in curves.claims(Store(tmp_path)) if claim.ran.startswith(curves.LONG)]
    assert len(ours) == curves.FAMILY
    assert {claim.family for claim in ours} == {curves.LONG}


@pytest.mark.parametrize(
    ("falls", "finished"),
    [
        ([2.0, 2.4, 1.8, 3.1, 2.2], True),  # one of them above, the mean surely below
        ([2.0, 4.5, 2.6, 3.6, 1.7], False),  # the mean is below 3 %, not surely
        ([2.0], False),  # of one nobody can say
        ([-1.0, -2.0, -1.5], True),
    ],
)
def test_losses_are_flat_where_their_mean_surely_is(tmp_path, falls, finished):
    store, runs = Store(tmp_path), [stylization.trial("iebn", seed) for seed in range(len(falls))]
    for trial, fall in zip(runs, falls, strict=True):
        store.keep(trial, {**HEALTHY, "curves": falling(fall)}, 1, 1, "")
    assert stylization.are_finished(store, runs) == finished


def test_seeds_count_once_with_the_mean_of_their_styles(tmp_path):
    store, runs = Store(tmp_path), []
    for style, fall in (("mosaic", 4.0), ("wave", 1.0)):
        for seed in range(2):
            runs.append(stylization.trial("iebn", seed, style=style, long=True))
            store.keep(runs[-1], {**HEALTHY, "curves": falling(fall)}, 1, 1, "")
    (fall,) = stylization.falls(store, runs).values()
    assert (fall.mean, fall.count) == (pytest.approx(2.5), 2)


def curve(accuracies, rates):
    return [
        {"epoch": i + 1, "lr": rate, "accuracy": accuracy}
        for i, (accuracy, rate) in enumerate(zip(accuracies, rates, strict=True))
    ]


RISING, FLAT = [20 + i / 2 for i in range(30)], [30.0 + i % 2 for i in range(30)]
AT_ITS_END, FALLING = [0.1] * 20 + [0.01] * 10, [0.1] * 28 + [0.01] * 2


@pytest.mark.parametrize(
    ("metrics", "finished"),
    [
        ({"curve": curve(FLAT, AT_ITS_END)}, True),
        ({"curve": curve(RISING, AT_ITS_END)}, False),
        ({"curve": curve(FLAT, FALLING)}, False),
        ({"curve": curve(FLAT, [0.1] * 30)}, False),
        ({"curve": [{"epoch": 1, "accuracy": 30.0}] * 30}, False),  # nobody knows the learning rate
        ({"curve": curve(FLAT[:1], [0.1]), "dead": True}, True),
        ({"curve": curve(FLAT[:1], [0.1]), "diverged": True}, True),
    ],
)
def test_which_trainings_came_to_their_end(metrics, finished):
    metrics = {"accuracy": 30.0, "diverged": False, **metrics}
    assert classification.is_finished(metrics) == finished
    assert classification.accuracy(metrics) == (30.0 if finished else None)


@pytest.mark.parametrize(("rates", "fall"), [(AT_ITS_END, 0.02), (FALLING, 0.04)])
def test_no_verdict_from_trainings_that_did_not_come_to_their_end(tmp_path, rates, fall):
    """However large the differences are, and however many the seeds."""
    store = Store(tmp_path)
    for number, trial in enumerate(plan(EXPERIMENTS)):
        if trial.kind == "classify":
            metrics = {"accuracy": 10.0 + number / 9 + trial.config["seed"] / 1e4, "parameters": 1}
            store.keep(trial, {**metrics, "diverged": False, "curve": curve(FLAT, rates)}, 1, 1, "")
        elif trial.kind == "stylize":
            end = {"content": 9.0 + number % 40 + trial.config["train"]["seed"] / 1e4, "style": 0.3}
            metrics = {**HEALTHY, "final": end, "training": end, "curves": falling(100 * fall, end)}
            store.keep(trial, metrics, 1, 1, "")
    about = [
        claim
        for experiment in (curves, accuracy, noise, mixed, ablations)
        for claim in experiment.claims(store)
        if re.match("mosaic|three styles|.*CIFAR", claim.ran)
    ]
    for of in ("mosaic|three styles", ".*CIFAR"):
        verdicts = {claim.verdict for claim in about if re.match(of, claim.ran)}
        assert (verdicts != {"not decidable"}) == (rates is AT_ITS_END)
    assert {claim.source for claim in about} >= {f"Table {n}" for n in range(1, 7)} | {
        "Figure 4",
        "Figures 3, 5",
    }
    if rates is FALLING:
        assert {claim.reason.split(";")[0] for claim in about} == {UNFINISHED}
        assert "†" in accuracy.table(store)
    assert bool(accuracy.figures(store, tmp_path)) == (rates is AT_ITS_END)


def test_what_was_measured_on_other_models_says_so(tmp_path):
    store = Store(tmp_path)
    assert all("shipped before" not in claim.ran for claim in inside.claims(store))
    trial = inside.trials()[0]
    store.keep(
        replace(trial, config={**trial.config, "model_sha256": "0"}), {"layers": [], "gap": {}}, 1, 1, ""
    )
    assert all(claim.ran.startswith("the models shipped before") for claim in inside.claims(store))


def test_labels_are_the_paper_s():
    """Table 6 is the grid of start values, and Figure 4 the activations."""
    subjects = {"operator": "operator", "acts on": "acts on", "activation": "activation", "init": "start"}
    for part, word in subjects.items():
        assert word in CAPTIONS[ablations.PAPER[part][0]]
    for one in EXPERIMENTS:
        for claim in one.claims(Store()):
            sources = re.sub(r"s (\d), (\d)", r" \1/Figure \2", claim.source).split("/")
            assert set(sources) <= CAPTIONS.keys()
    files = [figures.DOCUMENT, *Path(figures.__file__).parent.rglob("*.py")]
    for label in re.findall(r"(?:Table|Figure) \d+", "".join(file.read_text() for file in files)):
        assert label in CAPTIONS


def test_a_plan_says_when_it_is_done_and_leaves_out_what_is(tmp_path):
    store = Store(tmp_path)
    runs = plan([accuracy])
    before = timetable([accuracy], store, jobs=2)
    expected = sum(trial.minutes for trial in runs if trial.stage == 2) / 120
    assert f"| 2 | {accuracy.TITLE} | 9 | 0 | {expected * 120 / 9:.1f} | {expected:.1f} |" in before
    for trial in runs:
        if trial.stage == 2:
            store.keep(trial, {}, 60, 60, "")
    assert f"| 2 | {accuracy.TITLE} | 9 | 9 | 1.0 |  |" in timetable([accuracy], store, jobs=2)


@pytest.mark.slow
def test_processes_side_by_side_share_a_plan(tmp_path):
    command = [sys.executable, "-m", "experiments.accuracy", "--quick", "--jobs", "2"]
    command += ["--device", "cpu", "--results", str(tmp_path)]
    outcome = subprocess.run(command, capture_output=True, text=True, cwd=figures.ROOT, timeout=600)
    assert outcome.returncode == 0, outcome.stderr
    runs = accuracy.trials(quick=True)
    assert all(Store(tmp_path).is_done(trial) for trial in runs)
    for trial in runs:
        assert (outcome.stdout + outcome.stderr).count(f"{trial.name}: ") == 1


@pytest.mark.slow
def test_only_batch_norms_lose_style_to_the_rest_of_a_batch(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(20):  # two of which are held out
        colours = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(colours).resize((64, 64)).save(tmp_path / f"{number}.png")
    inputs = Inputs(tmp_path, str(tmp_path), "cpu", tmp_path, EXAMPLES)
    size = {"photos": 2, "batch_size": 2}
    losses = {
        norm: any_style.measure({**any_style.trial(norm, quick=True).config, **size}, inputs)
        for norm in ("in", "bn")
    }
    instance, batch = ([losses[norm][mode]["style"] for mode in any_style.MODES] for norm in ("in", "bn"))
    assert len(instance[0]) == losses["in"]["styles"] > 2
    for mode in instance[1:]:
        assert mode == pytest.approx(instance[0], rel=1e-3)
    assert all(abs(m / e - 1) > 1e-3 for e, m in zip(batch[0], batch[2], strict=True))
    assert batch[1] != batch[2]
    with pytest.raises(SettingError, match="3 held-out photos"):
        any_style.measure({**any_style.trial("bn", quick=True).config, **size, "photos": 3}, inputs)


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
    """And come first: what decides about style transfer, then the accuracy of three normalizers."""
    stages = {trial.name: trial.stage for trial in plan(EXPERIMENTS)}
    for norm in ("bn", "bn-se", "iebn", "in"):
        for seed in range(10):
            assert [stages[f"stylize/{style}-{norm}-long-seed{seed}"] for style in curves.STYLES] == [1, 1, 1]
        for seed in SEEDS:
            assert stages[f"classify/{norm}-seed{seed}"] == (4 if norm == "in" else 2)
