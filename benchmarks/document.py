"""Measure anew what a document says, and write it there: python -m benchmarks.document docs/performance.md

A document names the commands that its figures come from, in comments, and has their output below each:

    <!-- python -m benchmarks.int8 -->
    (what the command printed)
    <!-- end -->

    python -m benchmarks.document docs/performance.md --only int8      the commands with `int8` in them
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.tables import tell
from transformer_net.checkpoint import write_atomically
from transformer_net.commandline import run
from transformer_net.errors import SettingError

ROOT = Path(__file__).parents[1]

_PART = re.compile(r"<!-- python (?P<command>.+?) -->\n.*?<!-- end -->", re.DOTALL)


def renewed(text: str, only: str = "") -> str:
    """The document with the output of its commands as it is now.

    Args:
        text: The document.
        only: Leave alone what comes from commands without this in them.

    Raises:
        SettingError: A command failed, or there is none to run.
    """
    ran = []

    def output(part: re.Match[str]) -> str:
        command = part["command"]
        if only not in command:
            return part[0]
        ran.append(command)
        tell(f"python {command}")
        done = subprocess.run(
            [sys.executable, *shlex.split(command)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        if done.returncode:
            raise SettingError(f"python {command} failed; the document stays as it was.")
        return f"<!-- python {command} -->\n\n{done.stdout.strip()}\n\n<!-- end -->"

    new = _PART.sub(output, text)
    if not ran:
        raise SettingError(
            f"The document has no command with {only!r} in it." if only else "It has no command."
        )
    return new


def document(
    path: Annotated[Path, typer.Argument(help="The document.")],
    only: Annotated[str, typer.Option(help="Run only the commands with this text in them.")] = "",
) -> None:
    """Run the commands that a document names, and put their output where the last one stands."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingError(f"{path} cannot be read: {error.strerror or error}.") from error
    write_atomically(path, renewed(text, only).encode())


if __name__ == "__main__":
    run(document)
