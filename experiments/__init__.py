"""The paper, measured: arXiv 1908.04008 on this project's own networks and on CIFAR-100.

    python -m experiments --dry-run --jobs 2          the plan: runs in their order, and the hours they take
    python -m experiments --data DIR --content DIR --styles DIR --jobs 2 --minutes 700
                                                      every run that is missing, most telling first; the same
                                                      command goes on where it was stopped
    python -m experiments.noise                       those of one table or figure
    python -m experiments.figures                     figures and docs/results.md from what is there

One module a figure or table (`accuracy`, `noise`, `mixed`, `ablations`, `curves`, `inside`, `pictures`,
`any_style`): its `trials`, the `figures` and `table` drawn from their results, and the `claims` judged by
them. The networks are trained by `classification` and `stylization` of `experiments.harness`; nothing outside
this package knows of it.
"""
