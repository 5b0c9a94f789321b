"""The errors a user can cause, each with one public sentence and the HTTP status that fits it.

The command line prints the sentence and exits with 2; the web turns it into a problem document with
`status`. Anything else that is raised is a bug and is reported as one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar


class StylizerError(Exception):
    """Base of all errors that a user may see.

    Attributes:
        status: HTTP status code of this kind of error.
        title: Short name of this kind of error, the same for each occurrence (RFC 9457 `title`).
        retry_after: Seconds after which the same request may succeed; None where waiting does not help.
    """

    status: ClassVar[int] = 400
    title: ClassVar[str] = "Bad request"
    retry_after: int | None = None


@contextmanager
def about(what: str) -> Iterator[None]:
    """Begins the sentence of a `StylizerError` from within with `what`: it could be of several files."""
    try:
        yield
    except StylizerError as error:
        error.args = (f"{what}: {error}",)
        raise


class UnreadableImageError(StylizerError):
    """The bytes are of a supported image format, but they are damaged, truncated or empty."""

    status = 422
    title = "Unreadable image"


class UnsupportedImageError(StylizerError):
    """The bytes are not an image, or an image of an unsupported format."""

    status = 415
    title = "Unsupported image format"


class UnreadableVideoError(StylizerError):
    """A file that is not a video, or a video that is damaged, truncated or of an unknown kind."""

    status = 422
    title = "Unreadable video"


class DamagedVideoError(StylizerError):
    """A video that is painted, though some of it could not be read."""

    status = 422
    title = "Damaged video"


class ImageSizeError(StylizerError):
    """The picture has too many pixels, or a side that is too short."""

    status = 422
    title = "Image size out of range"


class StylePictureError(StylizerError):
    """A picture that is no style: it has a single colour."""

    status = 422
    title = "Unusable style picture"


class UnknownNormError(StylizerError):
    """A normalizer name that is not in the table."""

    status = 422
    title = "Unknown normalizer"


class UnknownStyleError(StylizerError):
    """A style name that is not in the catalogue, or a style without a model for that normalizer."""

    status = 404
    title = "Unknown style"


class ModelFileError(StylizerError):
    """A model file that is missing, damaged, of an unknown version, or does not fit its own config."""

    status = 500
    title = "Unusable model file"


class SettingError(StylizerError):
    """An option with a value outside its range, or options that do not go together."""

    status = 422
    title = "Invalid option"


class DeviceMemoryError(StylizerError):
    """A GPU's memory is full, for small tiles, too."""

    status = 503
    title = "GPU memory full"
    retry_after = 5

    def __init__(self) -> None:
        super().__init__("The GPU has too little free memory for this painting; a smaller one needs less.")


class DeviceFailedError(StylizerError):
    """A GPU reported an error amid a painting."""

    status = 503
    title = "GPU failed"
    retry_after = 1

    def __init__(self) -> None:
        super().__init__("The GPU failed while this was painted; try again.")


class ExportError(StylizerError):
    """A model whose exported file paints something else."""

    status = 500
    title = "Export failed"


class ContentError(StylizerError):
    """A content folder that does not exist or holds no readable picture."""

    title = "Unusable content photos"


class RunFolderError(StylizerError):
    """A training run folder that cannot be written, or cannot be resumed."""

    title = "Unusable run folder"


class DivergedError(StylizerError):
    """Training diverged or reached NaN; the last good state is kept."""

    title = "Training diverged"
