"""What pyproject.toml promises: commands that exist, and versions that were tested."""

import importlib
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from styles.catalog import ROOT

PROJECT = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())["project"]
REQUIREMENTS = [
    Requirement(line)
    for group in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for line in group
    if not line.startswith("stylizer[")
]


@pytest.mark.parametrize("command", PROJECT["scripts"])
def test_each_command_is_a_function(command):
    module, function = PROJECT["scripts"][command].split(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_each_requirement_has_a_tested_version():
    lines = (ROOT.parent / "constraints.txt").read_text().splitlines()
    tested = dict(line.split("==") for line in lines if not line.startswith("#"))
    tested = {canonicalize_name(name): version for name, version in tested.items()}
    for requirement in REQUIREMENTS:
        version = tested[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} is not {version}"
