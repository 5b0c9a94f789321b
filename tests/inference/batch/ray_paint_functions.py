"""What the workers of test_ray_workers.py run: a module that is imported in a moment, without torch."""

import os
import signal
import time

from transformer_net.errors import UnreadableImageError


def wait_for_go(folder):
    """A painter that notes which process paints what, and is done once there is a file `go`."""

    def paint(file):
        (folder / f"{file.stem}.{os.getpid()}.began").touch()
        while not (folder / "go").exists():
            time.sleep(0.02)
        if file.photo.name == "broken":
            raise UnreadableImageError("It is broken.")

    return paint


def die_of(name):
    """A painter that a photo of this name kills."""

    def paint(file):
        if file.stem.name == name:
            os.kill(os.getpid(), signal.SIGKILL)

    return paint


def note_gpus(folder):
    """A painter that notes which GPUs its process may see."""

    def paint(file):
        (folder / file.stem.name).write_text(os.environ.get("CUDA_VISIBLE_DEVICES", ""))

    return paint
