"""The picture formats that are read: how their files begin, what they are called, and what opens them."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from PIL import Image

from transformer_net.errors import UnsupportedImageError
from transformer_net.imaging.openers import OPENERS, Opener, export_first, open_by_pillow

INPUT_FORMATS: Final[tuple[str, ...]] = ("JPEG", "PNG", "WEBP", "AVIF", "HEIC", "GIF", "BMP", "TIFF", "PNM")
"""What `decode` opens, and JPEG XL where its plugin is installed. Everything else that Pillow knows is
refused: codecs are attack surface."""

_HAS_JXL: Final = find_spec("pillow_jxl") is not None

SUFFIXES: Final = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".avif", ".heic", ".heif", ".hif"),
        *(".gif", ".bmp", ".dib", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
        *((".jxl",) if _HAS_JXL else ()),
    }
)
"""What files of these formats are called: a picture in a folder is known by it. `decode` ignores names."""

_CAMERA_RAW: Final = frozenset(
    {
        *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".mef"),
        *(".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf"),
        *(".srw", ".x3f"),
    }
)

REFUSED_SUFFIXES: Final = _CAMERA_RAW | {
    *(
        ".psd",
        ".psb",
        ".svg",
        ".svgz",
        ".xcf",
        ".kra",
        ".ai",
        ".eps",
        ".ico",
        ".cur",
        ".icns",
        ".wmf",
        ".emf",
    ),
    *(
        ".jp2",
        ".j2k",
        ".jpf",
        ".jpx",
        ".jxr",
        ".wdp",
        ".bpg",
        ".flif",
        ".qoi",
        ".tga",
        ".pcx",
        ".dds",
        ".djvu",
    ),
    *(".exr", ".hdr", ".heics", ".heifs", ".avifs", ".jng", ".mng", *(() if _HAS_JXL else (".jxl",))),
}
"""What pictures are called that are not read: in a folder they fail, and are not passed over."""

ANIMATED: Final = frozenset({"GIF", "WEBP", "PNG", "AVIF"})
"""Formats of animations. Several pages are none."""

PREFIX: Final = 1024
"""Bytes at the beginning of a file that tell its format."""

_REFUSED: Final = (
    (0, b"8BPS", "a Photoshop"),
    (0, b"FUJIFILMCCD-RAW", "a camera raw"),
    (8, b"CR\x02", "a camera raw"),  # Canon, which is a TIFF otherwise
    (6, b"HEAPCCDR", "a camera raw"),
    (4, b"ftypcrx ", "a camera raw"),
    (0, b"IIRO", "a camera raw"),  # Olympus
    (0, b"IIRS", "a camera raw"),
    (0, b"MMOR", "a camera raw"),
    (0, b"IIU\0", "a camera raw"),  # Panasonic
    (0, b"FOVb", "a camera raw"),
    (0, b"\0MRM", "a camera raw"),
    (0, b"gimp xcf", "a GIMP"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000"),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR"),
    (0, b"\0\0\x01\0", "an icon"),
    (0, b"%PDF-", "a PDF"),
    (0, b"%!PS", "a PostScript"),
)
"""Where in a file which bytes tell a format that is named when it is refused."""

_JXL_BEGINNINGS: Final = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_HEIF_BRANDS: Final = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2", b"msf1"}
)


def identify(prefix: bytes) -> tuple[str, Opener]:
    """The format of a file that begins with these bytes, and what opens it: its size, not its pixels yet.

    The openers are called directly, not through `Image.open`: that would warn about large pictures (a
    warnings filter is shared by all threads) and refuse them by a limit of its own.

    Args:
        prefix: `PREFIX` bytes, or the whole of a smaller file.

    Raises:
        UnsupportedImageError: It is none of `INPUT_FORMATS`.
    """
    Image.init()
    known = [name for name in INPUT_FORMATS if name in Image.OPEN or name in OPENERS]
    if _HAS_JXL:
        known.append("JPEG XL")
    name = _container(prefix) or next((name for name in known if _accepts(name, prefix)), None)
    if refused := _refused(prefix):
        raise export_first(refused)
    if name == "JPEG XL" and name not in known:
        raise export_first("a JPEG XL")
    if name not in known:  # Pillow may be built without a codec
        *most, last = known
        raise UnsupportedImageError(
            f"This is not a picture in a format that can be read ({', '.join(most)} or {last})."
        )
    return name, OPENERS.get(name, partial(open_by_pillow, name))


def format_of(path: Path) -> str:
    """The format of a picture's file, by its first bytes: nothing is decoded.

    Raises:
        UnsupportedImageError: As `identify`.
        OSError: It cannot be read.
    """
    with path.open("rb") as stream:
        return identify(stream.read(PREFIX))[0]


def _refused(prefix: bytes) -> str | None:
    """What a file is that is no picture for us but has a name, as "a Photoshop"."""
    start = prefix.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"<svg") or (start.startswith((b"<?xml", b"<!")) and b"<svg" in start):
        return "an SVG"
    return next((what for at, magic, what in _REFUSED if prefix.startswith(magic, at)), None)


def _container(prefix: bytes) -> str | None:
    """JPEG XL; or HEIC or AVIF, by the brands of a file of the ISO base media format (ISO/IEC 14496-12, 4.3).

    Both are named by `mif1` first in some files, so that what else they call themselves decides.
    """
    if prefix.startswith(_JXL_BEGINNINGS):
        return "JPEG XL"
    if prefix[4:8] != b"ftyp":
        return None
    length = min(int.from_bytes(prefix[:4], "big"), len(prefix))
    brands = {prefix[8:12], *(prefix[at : at + 4] for at in range(16, length - 3, 4))}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIC" if brands & _HEIF_BRANDS else None


def _accepts(name: str, prefix: bytes) -> bool:
    if name in ("AVIF", "HEIC", "JPEG XL"):
        return False  # `_container` knows them
    if name == "PNM":
        return prefix.startswith((b"P4", b"P5", b"P6")) and prefix[2:3].isspace()  # not the slow ones of text
    accepts = Image.OPEN[name][1]
    return accepts is not None and accepts(prefix) is True
