"""Both ends of a process that trains: the command train_style.py, at lower priority than any painting.

Its standard input is the only connection between the two. The command is told to save and stop by closing
it, which also happens when the server ends for any reason: a training never outlives its server.
"""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
COMMAND: Final = ROOT / "train_style.py"

STOPPED: Final = (128 + signal.SIGTERM, -signal.SIGTERM)
"""Exit codes of the command after it was stopped: it has saved, or had not started."""

NICE: Final = 10
"""A painting that wants the same core gets nine tenths of it."""


class TrainingProcess:
    """The command in a process of its own.

    Args:
        options: Its options by name, without the dashes; None for one that takes no value.
        threads: To compute with.

    Raises:
        OSError: The process cannot be started.
    """

    def __init__(self, options: Mapping[str, object], threads: int) -> None:
        arguments = [f"--{name}" if value is None else f"--{name}={value}" for name, value in options.items()]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as the process)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "app.training.process", *arguments],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            start_new_session=True,  # Ctrl-C in the server's terminal is the server's to pass on
        )

    def stop(self) -> None:
        """Ask it to save and end; returns at once, and can be called twice."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()

    def kill(self) -> None:
        """Kill it now; the last save stays."""
        self._process.kill()

    def wait(self, seconds: float | None = None) -> int | None:
        """Its exit code, negative where a signal ended it; None if it still runs after `seconds`."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        self.stop()  # lets go of our end
        return code

    def complaint(self) -> str:
        """The last line of its standard error: the sentence, where it ended with exit code 2."""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else ""


def main() -> None:
    """Run the command with the arguments of this process."""
    os.nice(NICE)
    threading.Thread(target=_end_with_server, daemon=True).start()
    runpy.run_path(str(COMMAND), run_name="__main__")


def _end_with_server() -> None:
    while os.read(sys.stdin.fileno(), 1):  # not `sys.stdin.read`, whose lock would be held at exit
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
