"""Cores: of the affinity, of the container, of a service of the host."""

import os

import pytest

from transformer_net.cores import available_cores, default_threads

CORES = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("100000 100000", 1),
        ("50000 100000", 1),
        ("max 100000", CORES),
        ("9900000 100000", CORES),
        ("broken", CORES),
        ("1 0", CORES),
        ("", CORES),
    ],
)
def test_quota_of_version_2(tmp_path, text, expected):
    (tmp_path / "cpu.max").write_text(text)
    assert available_cores(tmp_path, tmp_path / "none") == expected


@pytest.mark.parametrize(("quota", "expected"), [("-1\n", CORES), ("100000\n", 1), ("1\n", 1)])
@pytest.mark.parametrize("controller", ["cpu", "cpu,cpuacct"])
def test_quota_of_version_1(tmp_path, controller, quota, expected):
    folder = tmp_path / controller
    folder.mkdir()
    (folder / "cpu.cfs_period_us").write_text("100000\n")
    (folder / "cpu.cfs_quota_us").write_text(quota)
    assert available_cores(tmp_path, tmp_path / "none") == expected


def test_no_control_group(tmp_path):
    assert available_cores(tmp_path, tmp_path / "none") == CORES


@pytest.mark.parametrize("limited", ["system.slice", "system.slice/stylizer.service"])
def test_quota_of_a_service_and_of_what_it_lies_in(tmp_path, limited):
    folder = tmp_path / "system.slice" / "stylizer.service"
    folder.mkdir(parents=True)
    membership = tmp_path / "membership"
    membership.write_text("0::/system.slice/stylizer.service\n")
    (tmp_path / limited / "cpu.max").write_text("100000 100000\n")
    assert available_cores(tmp_path, membership) == 1
    membership.write_text("0::/user.slice\nnonsense\n")
    assert available_cores(tmp_path, membership) == CORES


def test_version_1_reads_the_group_of_the_cpu_controller(tmp_path):
    for name, quota in {"docker/a": "100000", "docker/b": "-1"}.items():
        folder = tmp_path / "cpu" / name
        folder.mkdir(parents=True)
        (folder / "cpu.cfs_period_us").write_text("100000")
        (folder / "cpu.cfs_quota_us").write_text(quota)
    membership = tmp_path / "membership"
    membership.write_text("4:memory:/docker/a\n3:cpu,cpuacct:/docker/b\n")
    assert available_cores(tmp_path, membership) == CORES
    membership.write_text("4:memory:/docker/b\n3:cpu,cpuacct:/docker/a\n")
    assert available_cores(tmp_path, membership) == 1


def test_fewer_threads_on_demand(monkeypatch):
    for text, expected in {"1": 1, "10000": CORES, "0": CORES, "": CORES, "two": CORES}.items():
        monkeypatch.setenv("OMP_NUM_THREADS", text)
        assert default_threads() == min(expected, available_cores())
