"""The whole plan: `python -m experiments --data DIR --content DIR`."""

from experiments.figures import EXPERIMENTS
from experiments.harness.experiment import main

main(*EXPERIMENTS)
