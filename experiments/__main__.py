"""The whole plan: `python -m experiments --data DIR --content DIR`."""

from experiments.experiment import main
from experiments.figures import EXPERIMENTS

main(*EXPERIMENTS)
