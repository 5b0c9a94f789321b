"""The paper, measured: arXiv 1908.04008 on this project's own networks and on CIFAR-100.

    python -m experiments --data DIR --content DIR    every run that is missing, most telling first
    python -m experiments.noise                       those of one table or figure
    python -m experiments.figures                     figures and docs/results.md from what is there

One module a figure or table (`accuracy`, `noise`, `mixed`, `ablations`, `curves`, `inside`, `pictures`): its
`trials`, the `figures` and `table` drawn from their results, and the `claims` judged by them. The networks
are trained by `classification` and `stylization` of `experiments.harness`; nothing outside this package knows
of it.
"""
