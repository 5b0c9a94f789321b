"""Starts the web application: python -m app [--host HOST] [--port PORT]"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import socket
import sys
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn
from pydantic import ValidationError

from app.settings import Settings, misspelt
from transformer_net.commandline import complain
from transformer_net.errors import StylizerError

if TYPE_CHECKING:
    from app.painting.service import PaintingService


class Server(uvicorn.Server):
    """uvicorn that prints its address, and refuses waiting jobs once it is told to stop."""

    def __init__(self, config: uvicorn.Config, service: PaintingService) -> None:
        super().__init__(config)
        self._service = service
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until stopped."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and print the address once the models are warm."""
        await super().startup(sockets)
        if self.started and self.servers:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            settings = self._service.settings
            path = f"{settings.root_path}/{'ui' if settings.page else 'docs'}"
            sys.stdout.write(f"Ready at http://{shown}:{port}{path}\n")
            sys.stdout.flush()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Finish running jobs within the grace period; answer waiting jobs instead of cutting them off.

        This is the signal handler, which may interrupt the code that holds a lock that `refuse` takes: that
        has to wait its turn in the event loop.
        """
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._service.jobs.refuse)
        super().handle_exit(sig, frame)


def main() -> None:
    """Parse the arguments and serve until stopped."""
    parser = argparse.ArgumentParser(prog="python -m app", description="Serve the page and the HTTP API.")
    parser.add_argument("--host", help="address to listen on (default: STYLIZER_HOST, else 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on (default: STYLIZER_PORT, else 7860)")
    given = {name: value for name, value in vars(parser.parse_args()).items() if value is not None}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        for item in error.errors():
            name = "".join(f"STYLIZER_{part}: ".upper() for part in item["loc"])
            complain(f"{name}{item['msg'].removeprefix('Value error, ')}")
        raise SystemExit(2) from None
    logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s %(name)s: %(message)s")
    for sentence in misspelt(os.environ):  # no reason to stop: another version may know them
        logging.getLogger("app").warning(sentence)
    from app.main import create_app  # takes seconds; mistakes in the settings are told before

    try:
        app = create_app(settings)
        service = app.state.service
        service.warm()  # here rather than in the server, which would tell of a broken model by a traceback
    except StylizerError as error:
        complain(error)
        raise SystemExit(2) from None
    # The painting thread needs the interpreter between any two layers. By default it waits up to 5 ms for the
    # threads that answer requests to let go of it, and the cores that it computes with stand still.
    sys.setswitchinterval(0.0005)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_level=settings.log_level,
        timeout_graceful_shutdown=settings.grace_seconds,
        server_header=False,
    )
    Server(config, service).run()


if __name__ == "__main__":
    main()
