"""What the commands share: how they start, and how they report errors."""

from __future__ import annotations

import inspect
import io
import logging
import sys
from collections.abc import Callable
from typing import Any

import typer
from rich.console import Console
from rich.logging import RichHandler

from transformer_net.errors import StylizerError

console = Console()
"""Where results and progress go: standard output."""

_errors = Console(stderr=True)


def say(text: str, style: str | None = None) -> None:
    """Print a line as it is: brackets in file names are no markup, and long lines are not folded."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def complain(sentence: object) -> None:
    """Print a sentence to standard error, in red on a terminal."""
    _errors.print(str(sentence), style="red", markup=False, highlight=False, soft_wrap=True)


def run(command: Callable[..., Any]) -> None:
    """Run a typer command; a user's error is one sentence on standard error and exit code 2."""
    logging.basicConfig(
        level=logging.WARNING, format="%(message)s", handlers=[RichHandler(console=_errors, show_path=False)]
    )
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr: names of files may be any bytes
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(help=_reflowed(inspect.getdoc(command) or ""))(command)
    try:
        app()
    except StylizerError as error:
        complain(error)
        raise SystemExit(2) from error


def _reflowed(text: str) -> str:
    """Each paragraph on one line: typer keeps line ends as they are, wherever the terminal's are."""
    return "\n\n".join(paragraph.replace("\n", " ") for paragraph in text.split("\n\n"))
