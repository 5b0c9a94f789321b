"""Table 1 in small: accuracy and parameters of the normalizers on CIFAR-100.

python -m experiments.accuracy --data DIR
"""

from __future__ import annotations

import sys
from pathlib import Path

from experiments.harness import classification
from experiments.harness.drawing import COLOURS, dots, markdown
from experiments.harness.experiment import main
from experiments.harness.intervals import SEEDS, UNFINISHED, Claim, Estimate, difference, judged, per_seed
from experiments.harness.runner import Store, Trial
from transformer_net.norms import NORMS

TITLE = "Accuracy (Table 1 in small)"
COMMAND = "python -m experiments.accuracy"
NETWORKS = {"ResNet-20": False, "PreResNet-20": True}


def trials(quick: bool = False) -> list[Trial]:
    """Four normalizers in ResNet-20, three seeds, IN after the others; last in PreResNet-20."""
    return [
        classification.trial(
            norm, seed, preact=preact, quick=quick, stage=6 if preact else 4 if norm == "in" else 2
        )
        for preact in NETWORKS.values()
        for seed in SEEDS
        for norm in NORMS
        if not quick or (seed < 2 and not preact)
    ]


def accuracies(store: Store, norm: str, preact: bool = False) -> dict[int, float]:
    """Test accuracy in percent of runs trained to the end, by seed."""
    return per_seed(store, lambda s: classification.trial(norm, s, preact=preact), classification.accuracy)


def parameters(store: Store, norm: str, preact: bool = False) -> int | None:
    """Number of learned parameters, as counted in a run."""
    counted = per_seed(
        store, lambda s: classification.trial(norm, s, preact=preact), lambda m: m["parameters"]
    )
    return int(next(iter(counted.values()))) if counted else None


def table(store: Store) -> str:
    """Accuracy, its difference from BN's by seed, and parameters."""
    rows = []
    for network, preact in NETWORKS.items():
        bn = accuracies(store, "bn", preact)
        for norm in NORMS:
            shown = classification.show(store, lambda s: classification.trial(norm, s, preact=preact))  # noqa: B023
            if shown:
                found = Estimate.of(difference(accuracies(store, norm, preact), bn))
                gain = found.show(2, signed=True) if norm != "bn" and found.count else ""
                rows.append([network, f"`{norm}`", shown, gain, f"{parameters(store, norm, preact):,}"])
    columns = ["network", "norm", "accuracy, %", "to `bn`, points", "parameters"]
    return markdown(columns, rows) + classification.MARK


def figures(store: Store, folder: Path) -> list[tuple[Path, str]]:
    """Accuracy with interval."""
    groups = {
        network: {norm: Estimate.of(accuracies(store, norm, preact)) for norm in NORMS}
        for network, preact in NETWORKS.items()
    }
    caption = "Accuracy on CIFAR-100's subset; mean of the seeds and its 95 % interval"
    return [(p, caption) for p in dots({"test accuracy, %": groups}, folder / "accuracy.png", COLOURS)]


def claims(store: Store) -> list[Claim]:
    """IEBN beats BN, keeps up with SE, and costs little."""
    found = []
    for network, preact in NETWORKS.items():
        bn, se, iebn = (accuracies(store, norm, preact) for norm in ("bn", "bn+se", "iebn"))
        for text, gains, margin in (
            ("IEBN is more accurate than BN", difference(iebn, bn), 0.0),
            ("IEBN keeps up with SE (not worse by more than half a point)", difference(iebn, se), -0.5),
        ):
            gain = Estimate.of(gains)
            found.append(
                Claim(
                    "Table 1",
                    text,
                    f"{network}, CIFAR-100 with 100 images a class, last epoch",
                    gain,
                    COMMAND,
                    gain.show(2, " points", signed=True),
                    margin,
                    absent=UNFINISHED,
                )
            )
    counts = {norm: parameters(store, norm) for norm in ("bn", "bn+se", "iebn")}
    base, with_se, with_gate = counts["bn"], counts["bn+se"], counts["iebn"]
    if base and with_se and with_gate:
        ours, theirs = 100 * (with_gate / base - 1), 100 * (with_se / base - 1)
        found.append(
            Claim(
                "Table 1",
                "IEBN needs few more parameters than BN, and fewer than SE",
                "counted in ResNet-20",
                Estimate.of({}),
                COMMAND,
                f"+{ours:.2f} % against +{theirs:.2f} %",
                counted="holds" if 0 < ours < theirs else "does not hold",
            )
        )
    return judged(found)


if __name__ == "__main__":
    main(sys.modules[__name__])
