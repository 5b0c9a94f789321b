"""The whole plan: `python -m experiments --data DIR --content DIR --styles DIR --jobs 2 --minutes 700`."""

from experiments.figures import EXPERIMENTS
from experiments.harness.experiment import main

main(*EXPERIMENTS)
