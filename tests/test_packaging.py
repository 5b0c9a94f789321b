"""What pyproject.toml promises: commands that exist, versions that were tested, a wheel that works."""

import importlib
import json
import os
import subprocess
import sys
import sysconfig
import tomllib
import zipfile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from app.site import parts
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


def test_the_image_has_what_paints_in_the_visitors_browser():
    steps = (ROOT.parent / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    (copied,) = (step.split() for step in steps if "--from=browser" in step and "/dist/" in step)
    *sources, target = copied[2:]
    runtime = parts.RUNTIME.relative_to(parts.ROOT)
    assert target == f"{runtime}/dist/"
    files = {name for build in parts.BUILDS.values() for name in build}
    assert set(sources) == {f"/src/{runtime}/dist/{name}" for name in files}
    lock = json.loads((ROOT.parent / "package-lock.json").read_text())
    assert "dev" not in lock["packages"][str(runtime)]  # npm ci --omit=dev installs it


_PAINT = """
import site, sys
site.addsitedir(sys.argv.pop(1))
sys.path.append(sys.argv.pop(1))
import app.page.file_access, stylize, train_style
from app.training.process import COMMAND
assert COMMAND.is_file() and list(app.page.file_access.EXAMPLES.glob("*.jpg"))
print(app.__file__, stylize.__file__, sep="\\n")
stylize.main()
"""


@pytest.mark.slow
def test_a_wheel_has_one_name_and_paints(tmp_path):
    def run(*command):
        done = subprocess.run(
            [sys.executable, *map(str, command)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": ""},
            text=True,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, ROOT.parent)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name.split("/")[0] for name in archive.namelist()}
        archive.extractall(tmp_path / "installed")
    assert names == {"stylizer", "stylizer.pth", wheel.name.rsplit("-", 3)[0] + ".dist-info"}
    photo = tmp_path / "installed" / "stylizer" / "examples" / "cat.jpg"
    # Without site, Python does not find this checkout, only what is named here.
    others, options = sysconfig.get_path("purelib"), ("--style", "wave", "--norm", "bn", "--max-side", "64")
    said = run("-S", "-c", _PAINT, tmp_path / "installed", others, photo, *options, "--engine", "torch")
    assert all(str(tmp_path / "installed") in line for line in said.splitlines()[:2])
    assert (tmp_path / "out" / "cat-wave-bn.png").is_file()
