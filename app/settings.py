"""Every setting of the web application, in one place, with its default and the reason for it.

Each is read from the environment as `STYLIZER_<NAME>`, for example `STYLIZER_QUEUE_LENGTH=4`. A value that
is out of range stops the start with a sentence that names it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from functools import cached_property
from ipaddress import ip_address
from typing import Annotated, Final, Literal, Self

from pydantic import DirectoryPath, Field, FilePath, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from transformer_net.cores import available_cores
from transformer_net.imaging.decode import DEFAULT_LIMITS

_PREFIX: Final = "STYLIZER_"

_ELSEWHERE: Final = ("OWN_STYLES",)
"""A folder of the library, which the commands use as well."""


_SHORTEST_KEY: Final = 16
"""Characters: shorter ones can be guessed."""


class Settings(BaseSettings):
    """What can be configured; each field says why it has its default."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="ignore")

    max_upload_bytes: Annotated[
        int, Field(ge=1, description="Largest picture file, in bytes. A 108 megapixel JPEG has 30 to 60 MB.")
    ] = 64_000_000
    max_pixels: Annotated[
        int,
        Field(
            ge=256,
            description="Largest width x height, read from the header before decoding. Phones take 108 "
            "megapixels. Decoding one takes up to 16 bytes a pixel (WebP; JPEG a few), two at a time.",
        ),
    ] = DEFAULT_LIMITS.max_pixels
    min_side: Annotated[
        int,
        Field(ge=16, description="Shortest side of a photo, in pixels. Narrower than 20, it is extended."),
    ] = DEFAULT_LIMITS.min_side
    max_side: Annotated[
        int,
        Field(
            ge=16,
            description="Longest side that the page paints unless told otherwise, in pixels: fills a screen, "
            "takes seconds.",
        ),
    ] = 1280
    api_max_side: Annotated[
        int,
        Field(
            ge=16,
            description="Longest side ever painted, in pixels; larger photos are shrunk to it first. It "
            "bounds memory: a painting takes about 400 bytes a pixel while it is computed, so 2.6 GB.",
        ),
    ] = 2560
    queue_length: Annotated[
        int,
        Field(
            ge=0,
            description="Jobs that may wait while one runs; the next is refused at once. 16 photos of the "
            "page's size are done in about the deadline on two cores.",
        ),
    ] = 16
    deadline_seconds: Annotated[
        float,
        Field(
            gt=0,
            allow_inf_nan=False,
            description="Longest time from entering the queue to the finished painting. Proxies give up "
            "after 60 seconds.",
        ),
    ] = 60.0
    upload_seconds: Annotated[
        float,
        Field(
            gt=0,
            allow_inf_nan=False,
            description="Longest time that an upload may take, so that slow clients cannot hold every place. "
            "64 MB in 60 seconds needs 8.5 Mbit/s.",
        ),
    ] = 60.0
    max_requests: Annotated[
        int,
        Field(
            ge=1,
            description="Requests for a painting being uploaded, decoded, painted or encoded at once. Each "
            "may hold its upload in memory.",
        ),
    ] = 32
    client_requests: Annotated[
        int,
        Field(
            ge=1,
            description="The same for one client, told by its address: a third of the places, so that no "
            "client fills them alone, and ten photos at once find one each.",
        ),
    ] = 10
    page_uploads: Annotated[
        int,
        Field(
            ge=0,
            description="Pictures uploaded to the page in a second, on the average; five times as many may "
            "come at once. One client has a quarter of the former and half of the latter. More than can be "
            "painted; each takes the event loop some milliseconds. 0: any.",
        ),
    ] = 8
    min_rate: Annotated[
        int,
        Field(
            ge=0,
            description="Bytes a second that an upload brings at least, and that a client reads, on the "
            "average after ten seconds of grace. The slowest mobile networks are faster. 0: any.",
        ),
    ] = 16_000
    max_connections: Annotated[
        int,
        Field(
            ge=16,
            description="Open connections; fewer where the system allows this process fewer files. An open "
            "page has two. One address gets half of them at most.",
        ),
    ] = 1000
    trusted_proxies: Annotated[
        str,
        Field(
            description="Addresses or networks of proxies, with commas, whose X-Forwarded-For names the "
            "client. Default: this machine, whose own users could forge it.",
        ),
    ] = "127.0.0.1,::1"
    temp_bytes: Annotated[
        int,
        Field(
            ge=1_000_000,
            description="Space in the temporary folder for uploads that arrive, at most half of it, and for "
            "the page's uploads and paintings, whose oldest are deleted first.",
        ),
    ] = 900_000_000
    api_keys: Annotated[
        SecretStr,
        Field(
            description="Keys with commas, one of which each request to the API then needs. Without any, "
            "everybody may call. The page is open in any case."
        ),
    ] = SecretStr("")
    api_keys_file: Annotated[
        FilePath | None,
        Field(description="A file with more of them, one a line: other processes see variables."),
    ] = None
    cors_origins: Annotated[
        str,
        Field(
            description="Web sites whose scripts may call the API, with commas, such as "
            "https://example.org; * for all. Browsers keep others out."
        ),
    ] = ""
    rate: Annotated[
        str,
        Field(
            description="Requests of one client, such as 60/minute: for paintings, and on the page uploads "
            "and events as well, of which painting a photo takes three."
        ),
    ] = ""
    threads: int = Field(
        default_factory=available_cores,
        ge=1,
        description="Threads that one painting is computed with. Default: the cores of this container.",
    )
    engine: Annotated[
        Literal["auto", "torch", "openvino", "onnxruntime"],
        Field(
            description="What computes a painting. auto takes PyTorch on a GPU; on a CPU OpenVINO, where "
            "installed."
        ),
    ] = "auto"
    device: Annotated[
        str,
        Field(
            pattern=r"^(auto|cpu|mps|cuda(:\d+)?|openvino:\w+(\.\d+)?)$",
            description="Where paintings are computed: cpu, cuda, cuda:1, mps, or openvino:GPU. auto takes a "
            "GPU that paints a small picture at the start, else the CPU. Engines other than torch and auto "
            "are for the CPU.",
        ),
    ] = "auto"
    gpu_memory: Annotated[
        float,
        Field(
            gt=0,
            le=1,
            description="Share of a CUDA GPU's memory that this process may take. A painting that needs more "
            "is painted in small tiles, or refused. On a Ray cluster, a replica takes that share of a GPU.",
        ),
    ] = 1.0
    batch: Annotated[
        int | None,
        Field(
            ge=1,
            le=64,
            description="Photos that are painted at once; those of one size and model, together. Default: 8 "
            "on a GPU, which one photo does not keep busy, and 1 on a CPU, which it does.",
        ),
    ] = None
    live_cameras: Annotated[
        int,
        Field(
            ge=0,
            description="Cameras that are painted live at once; others wait for their turn. Each sends "
            "half a megabyte a second, gets a whole one, and takes what time no photo needs. 0: no such tab.",
        ),
    ] = 4
    live_side: Annotated[
        int,
        Field(
            ge=16,
            description="Longest side of a live painting, in pixels. At 320 a frame takes two cores some "
            "30 ms in int8.",
        ),
    ] = 320
    live_browser_rate: Annotated[
        int,
        Field(
            ge=0,
            le=60,
            description="Frames that a visitor's browser has to paint in its first second to paint its own "
            "camera from then on. It loads 5 MB to find out. 0: the server paints all, as it does where "
            "onnxruntime-web is not in node_modules, or the package onnx is missing.",
        ),
    ] = 10
    allow_training: Annotated[
        bool | None,
        Field(
            description="Let visitors of the page train their own styles. Default: only where the server "
            "listens on this machine alone, since a training takes the processor for minutes and its results "
            "stay on the disk."
        ),
    ] = None
    max_own_styles: Annotated[
        int,
        Field(
            ge=0,
            description="Own styles, after which visitors of the page train no more. Each stays on "
            "the disk with its run folders, and is loaded at every start.",
        ),
    ] = 100
    content: Annotated[
        DirectoryPath | None,
        Field(description="Folder of photos to train on; 2,000 are good. Default: the few shipped ones."),
    ] = None
    replicas: Annotated[
        int,
        Field(
            ge=1,
            description="Processes on a Ray cluster, each with `threads` cores; without Ray it is one.",
        ),
    ] = 1
    page: Annotated[bool, Field(description="Serve the page at /ui. Without it, only the API starts.")] = True
    host: Annotated[
        str, Field(min_length=1, description="Address to listen on. Default: this machine only.")
    ] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="Port to listen on; 0 takes a free one.")] = 7860
    root_path: Annotated[
        str,
        Field(
            pattern="^(/[^/]+)*$",
            description="Path under which a proxy serves the application, such as /stylizer.",
        ),
    ] = ""
    grace_seconds: Annotated[
        int,
        Field(
            ge=0,
            description="Time that running requests get to finish after SIGTERM. An open page would "
            "otherwise keep the process running.",
        ),
    ] = 3
    log_level: Annotated[
        Literal["debug", "info", "warning", "error", "critical"],
        Field(description="Least severe message logged."),
    ] = "info"

    @property
    def trains(self) -> bool:
        """Whether visitors of the page may train their own styles."""
        return is_loopback(self.host) if self.allow_training is None else self.allow_training

    @model_validator(mode="after")
    def _sides_in_order(self) -> Self:
        if not self.min_side <= self.max_side <= self.api_max_side:
            raise ValueError(
                f"STYLIZER_MIN_SIDE ({self.min_side}) to STYLIZER_MAX_SIDE ({self.max_side}) to "
                f"STYLIZER_API_MAX_SIDE ({self.api_max_side}) must not decrease"
            )
        # A camera's frame has 4:3, and is shrunk to `live_side`.
        if self.live_cameras and min(self.live_side, self.api_max_side) * 3 // 4 < self.min_side:
            raise ValueError(
                f"STYLIZER_LIVE_SIDE ({self.live_side}) must be 4/3 of STYLIZER_MIN_SIDE "
                f"({self.min_side}) or more, unless STYLIZER_LIVE_CAMERAS is 0"
            )
        return self

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """The keys of the API, from the variable and from the file."""
        lines = self.api_keys_file.read_text(encoding="utf-8").splitlines() if self.api_keys_file else []
        words = (word.strip() for word in (*self.api_keys.get_secret_value().split(","), *lines))
        return tuple(word for word in words if word and not word.startswith("#"))

    @property
    def origins(self) -> list[str]:
        """The web sites of `cors_origins`."""
        return [origin.strip() for origin in self.cors_origins.split(",") if origin.strip()]

    @model_validator(mode="after")
    def _keys_are_long(self) -> Self:
        try:
            short = [key for key in self.keys if len(key) < _SHORTEST_KEY]
        except (OSError, UnicodeError):
            raise ValueError("STYLIZER_API_KEYS_FILE cannot be read") from None
        if short:
            raise ValueError(f"a key of STYLIZER_API_KEYS has fewer than {_SHORTEST_KEY} characters")
        if not self.keys and self.api_keys_file:
            raise ValueError("STYLIZER_API_KEYS_FILE holds no key")
        return self

    @model_validator(mode="after")
    def _origins_and_rate_are_some(self) -> Self:
        for origin in self.origins:
            if origin != "*" and not re.fullmatch(r"https?://[^/\s]+", origin):
                raise ValueError(f"STYLIZER_CORS_ORIGINS: {origin!r} is no https://HOST")
        if self.rate and not re.fullmatch(r"[1-9]\d{0,5} ?/ ?(second|minute|hour|day)", self.rate):
            raise ValueError(f"STYLIZER_RATE: {self.rate!r} is nothing like 60/minute")
        return self

    @model_validator(mode="after")
    def _room_for_an_upload(self) -> Self:
        if self.temp_bytes < 4 * self.max_upload_bytes:
            raise ValueError(
                f"STYLIZER_TEMP_BYTES ({self.temp_bytes:,}) must be at least four times "
                f"STYLIZER_MAX_UPLOAD_BYTES ({self.max_upload_bytes:,})"
            )
        return self


def is_loopback(host: str) -> bool:
    """Whether who listens on this address is reached from this machine only."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def misspelt(names: Iterable[str]) -> list[str]:
    """A sentence for each of these environment variables that begins like a setting and is not one."""
    known = [name.upper() for name in (*Settings.model_fields, *_ELSEWHERE)]
    ours = {name: name.upper().removeprefix(_PREFIX) for name in names if name.upper().startswith(_PREFIX)}
    sentences = []
    for name, setting in sorted(ours.items()):
        if setting not in known:
            meant = difflib.get_close_matches(setting, known, n=1)
            hint = f"; {_PREFIX}{meant[0]} may be meant" if meant else ""
            sentences.append(f"There is no setting {name}{hint}.")
    return sentences
