"""What the commands share: how they start, and how they report errors."""

from __future__ import annotations

import inspect
import io
import logging
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, get_type_hints

import typer
from rich.console import Console
from rich.logging import RichHandler

from transformer_net.errors import StylizerError

_R = TypeVar("_R")

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


def with_options(record: type[_R]) -> Callable[[Callable[[_R], None]], Callable[..., None]]:
    """Give a command, which takes a record, an option for each field of this dataclass.

    Args:
        record: Its fields are annotated and have defaults as the parameters of a typer command.
    """
    hints = get_type_hints(record, include_extras=True)
    parameters = inspect.signature(record).parameters.values()
    signature = inspect.Signature([part.replace(annotation=hints[part.name]) for part in parameters])

    def decorated(command: Callable[[_R], None]) -> Callable[..., None]:
        @wraps(command)
        def with_record(**options: Any) -> None:
            command(record(**options))

        with_record.__signature__ = signature  # type: ignore[attr-defined]  # which typer goes by
        return with_record

    return decorated


def _reflowed(text: str) -> str:
    """Each paragraph on one line: typer keeps line ends as they are, wherever the terminal's are."""
    return "\n\n".join(paragraph.replace("\n", " ") for paragraph in text.split("\n\n"))
