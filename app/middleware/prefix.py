"""The prefix of a path that a reverse proxy may leave there or cut off (`STYLIZER_ROOT_PATH`)."""

from __future__ import annotations

from starlette.types import Scope


def below(root_path: str, scope: Scope) -> Scope:
    """`scope` as ASGI wants it, with the prefix in its path, whether the proxy cut that off or left it there.

    Mounted applications, as the page is, find their own part of the path by it.
    """
    path = scope.get("path", "")
    if scope["type"] not in ("http", "websocket") or f"{path}/".startswith(f"{root_path}/"):
        return {**scope, "root_path": root_path}
    raw = root_path.encode() + (scope.get("raw_path") or path.encode())
    return {**scope, "root_path": root_path, "path": root_path + path, "raw_path": raw}


def own_path(scope: Scope) -> str:
    """The path of a request without the prefix: what routes are declared for.

    A path that only begins with the same letters, /stylizers below /stylizer, is left as it is.
    """
    path, root_path = str(scope["path"]), scope.get("root_path", "")
    if not f"{path}/".startswith(f"{root_path}/"):
        return path
    return path.removeprefix(root_path)
