"""What the commands share: how they start, and how they report errors."""

from __future__ import annotations

import errno
import inspect
import io
import logging
import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer
from rich.console import Console
from rich.logging import RichHandler

from transformer_net.errors import SettingError, StylizerError

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
    except PermissionError as error:  # wherever a file is first asked for: never a defect of ours
        complain(f"{error.filename or 'A file'} cannot be used: {error.strerror or error}.")
        raise SystemExit(2) from error
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        complain(f"{error.filename or 'The output'} cannot be written: {error.strerror}.")
        # What could not be written waits to be written at the exit, which would complain of it once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(2) from error


def some_path(text: str) -> Path:
    """The path that an argument or an option gives; typer's `parser`.

    Raises:
        SettingError: It is empty: a variable of the shell that is not set. As a path it would be the current
            folder.
    """
    if not text:
        raise SettingError("A path is empty: a variable of the shell may not be set.")
    return Path(text)


def with_fields(
    parameter: str, record: type, described: Callable[[str], Any] | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator: a function that takes a dataclass is called with its fields instead.

    Commands and routes are made from a function's signature, so each field is an option or form field of its
    own, with the field's type and default.

    Args:
        parameter: Name of the parameter that takes the record.
        record: The dataclass.
        described: Annotates the field of a name: with typer's description, or FastAPI's. None where the
            fields are annotated themselves.
    """
    hints = get_type_hints(record, include_extras=True)
    of_record = [
        one.replace(annotation=Annotated[hints[name], described(name)] if described else hints[name])
        for name, one in inspect.signature(record).parameters.items()
    ]

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(function, eval_str=True)
        parameters: list[inspect.Parameter] = []
        for name, one in signature.parameters.items():
            parameters += of_record if name == parameter else [one]

        def gathered(values: dict[str, Any]) -> dict[str, Any]:
            given = {one.name: values.pop(one.name) for one in of_record if one.name in values}
            return {**values, parameter: record(**given)}

        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def with_record(*args: Any, **values: Any) -> Any:
                return await function(*args, **gathered(values))
        else:

            @wraps(function)
            def with_record(*args: Any, **values: Any) -> Any:
                return function(*args, **gathered(values))

        with_record.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        with_record.__annotations__ = {one.name: one.annotation for one in parameters}
        return with_record

    return decorate


def _reflowed(text: str) -> str:
    """Each paragraph on one line: typer keeps line ends as they are, wherever the terminal's are."""
    return "\n\n".join(paragraph.replace("\n", " ") for paragraph in text.split("\n\n"))
