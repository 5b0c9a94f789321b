"""The errors of the service, each with its HTTP status; `app.http.problems` makes documents of them."""

from __future__ import annotations

import errno
from typing import ClassVar

from transformer_net.errors import StylizerError


class ServiceError(StylizerError):
    """An error of the service rather than of the picture."""

    def __init__(self, sentence: str, retry_after: int | None = None) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class QueueFullError(ServiceError):
    """There is no place in the queue."""

    status: ClassVar[int] = 503
    title: ClassVar[str] = "Queue full"


class StorageFullError(ServiceError):
    """There is no space left on the server's disk for an upload or a painting."""

    status: ClassVar[int] = 503
    title: ClassVar[str] = "Storage full"

    def __init__(self) -> None:
        super().__init__("The server's disk is full; this is no fault of the request.", retry_after=30)


class KeyMissingError(ServiceError):
    """The server asks for a key, and the request has none."""

    status: ClassVar[int] = 401
    title: ClassVar[str] = "Key missing"

    def __init__(self) -> None:
        super().__init__("This server asks for a key: send it as Authorization: Bearer KEY.")


class WrongKeyError(ServiceError):
    """The request has a key that is none of this server's."""

    status: ClassVar[int] = 403
    title: ClassVar[str] = "Wrong key"

    def __init__(self) -> None:
        super().__init__("The key of the request is none of this server's.")


class TooManyRequestsError(ServiceError):
    """The client asks for more at once, or in a time, than one client may."""

    status: ClassVar[int] = 429
    title: ClassVar[str] = "Too many requests"


class DeadlineError(ServiceError):
    """The painting was not ready in time. Repeat the request only if it was never started."""

    status: ClassVar[int] = 504
    title: ClassVar[str] = "Deadline exceeded"


class NotReadyError(ServiceError):
    """The models are not loaded yet."""

    status: ClassVar[int] = 503
    title: ClassVar[str] = "Not ready"


class ShuttingDownError(ServiceError):
    """The server was told to stop."""

    status: ClassVar[int] = 503
    title: ClassVar[str] = "Shutting down"

    def __init__(self) -> None:
        super().__init__("The server is shutting down.", retry_after=5)


class ClientGoneError(ServiceError):
    """The client left; nobody will read the answer. 499 is what proxies log for it."""

    status: ClassVar[int] = 499
    title: ClassVar[str] = "Client closed the connection"


class UploadTooLargeError(ServiceError):
    """The request has more bytes than are accepted."""

    status: ClassVar[int] = 413
    title: ClassVar[str] = "Upload too large"


class NotAcceptableError(ServiceError):
    """The Accept header allows no format that can be written."""

    status: ClassVar[int] = 406
    title: ClassVar[str] = "Not acceptable"


class InvalidRequestError(ServiceError):
    """A field of the request is missing, unknown or out of range."""

    status: ClassVar[int] = 422
    title: ClassVar[str] = "Invalid request"


class TrainingOffError(ServiceError):
    """This server trains no styles."""

    status: ClassVar[int] = 403
    title: ClassVar[str] = "Training is off"

    def __init__(self) -> None:
        super().__init__("This server does not train styles; STYLIZER_ALLOW_TRAINING=true allows it.")


class TrainingBusyError(ServiceError):
    """Another style is being trained; two at once would both be slow."""

    status: ClassVar[int] = 409
    title: ClassVar[str] = "Training already"


def disk_is_full(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, says that a disk has no space or takes no more."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return True
        error = error.__cause__ or error.__context__
    return False


OUR_FAULT = "Something went wrong on our side; it has been logged."
"""What clients are told of a bug."""
