"""Optional libraries."""

from __future__ import annotations

import importlib
from typing import Any

from transformer_net.errors import SettingError


def require(module: str, wanted: str, packages: str) -> Any:
    """A module of an optional library.

    Args:
        module: Its name.
        wanted: Beginning of the sentence if it is missing: what is not installed, or what needs it.
        packages: What has to be installed.

    Raises:
        SettingError: It is not installed; the sentence says what to do.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise SettingError(f"{wanted} is not installed: pip install {packages}.") from error
