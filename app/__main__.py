"""Starts the web application: python -m app [--host HOST] [--port PORT] [--device DEVICE]"""

from __future__ import annotations

from transformer_net import interrupts

# isort: split

import argparse
import logging
import os
import signal
import sys

from pydantic import ValidationError

from app.settings import Settings, misspelt
from transformer_net.commandline import complain
from transformer_net.errors import StylizerError

interrupts.as_before()


def main() -> None:
    """Parse the arguments and serve until stopped."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during the imports: no traceback of them
    parser = argparse.ArgumentParser(prog="python -m app", description="Serve the page and the HTTP API.")
    parser.add_argument("--host", help="address to listen on (default: STYLIZER_HOST, else 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on (default: STYLIZER_PORT, else 7860)")
    parser.add_argument(
        "--device", help="auto, cpu, cuda, cuda:1, mps, openvino:GPU (default: STYLIZER_DEVICE, else auto)"
    )
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
    from app.server import make_server

    try:
        app = create_app(settings)
        service = app.state.service
        service.warm()  # here rather than in the server, which would tell of a broken model by a traceback
        server = make_server(app, service)
    except StylizerError as error:
        complain(error)
        raise SystemExit(2) from None
    # The painting thread needs the interpreter between any two layers. By default it waits up to 5 ms for the
    # threads that answer requests to let go of it, and the cores that it computes with stand still.
    sys.setswitchinterval(0.0005)
    server.run()
    if service.jobs.running:  # the interpreter would crash: it takes apart what that thread computes with
        os._exit(0)


if __name__ == "__main__":
    main()
