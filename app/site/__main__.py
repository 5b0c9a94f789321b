"""Builds the static page that paints in the visitor's browser: python -m app.site

It lies beside the server's page, whose words and looks it has; see docs/site.md.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import importlib.metadata
import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from html import escape
from itertools import chain
from pathlib import Path
from string import Template

from app.page import ICON, card_captions, compare_view, layout
from app.page.file_access import EXAMPLES
from app.page.theme import look
from app.site import parts
from styles.catalog import Style, shipped
from transformer_net.checkpoint import load_model
from transformer_net.errors import SettingError
from transformer_net.imaging.arrays import fit
from transformer_net.imaging.decode import decode
from transformer_net.imaging.encode import encode
from transformer_net.inference.options.style_options import DECLARED
from transformer_net.network import MIN_SIDE, parameter_count
from transformer_net.norms import NORMS, norm_slug

_PAGE_ASSETS = parts.ROOT / "app" / "page" / "assets"

_WRITTEN = ("vendor", "models", "examples", "icon.svg", "licences.txt", "site.css", "index.html")
"""Names of what is written besides the scripts."""

_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "form-action 'none'",
        "base-uri 'none'",
    )
)
"""What the page, and the programs beside it, may load: nothing from elsewhere."""

_PHOTOS = sorted(EXAMPLES.glob("*.jpg"))
_SMALL_SIDE = 176

_SIDES = (384, 512, 768, 1024)
_USUAL_SIDE = 512


def build(target: Path, styles: Sequence[Style]) -> None:
    """Write the page to `target`, in place of one that is there.

    Args:
        target: A folder, empty or one that was written by this. Hidden entries and a CNAME are left as they
            are, so that it may be a checkout of what a host publishes.
        styles: What it offers, the first one chosen.

    Raises:
        SettingError: The runtime is not there, a package is missing, or `target` has something else in it.
    """
    if not parts.RUNTIME.is_dir():
        raise SettingError("onnxruntime-web is not there. Run: npm ci --ignore-scripts")
    _clear(target)
    (target / "vendor").mkdir(parents=True)  # first of all: it tells that the rest is this page's
    for name in chain(*parts.BUILDS.values()):
        shutil.copyfile(parts.RUNTIME / "dist" / name, target / "vendor" / name)
    parameters = _models(styles, target / "models")
    for script in _scripts():
        shutil.copyfile(script, target / script.name)
    _examples(target / "examples")
    (target / "icon.svg").write_text(ICON)
    (target / "licences.txt").write_text(_licences())
    (target / "site.css").write_text(look(styles) + (parts.ASSETS / "site.css").read_text())
    (target / "index.html").write_text(_page(styles, parameters))
    _finish_service_worker(target)


def _scripts() -> tuple[Path, ...]:
    return (*sorted(parts.ASSETS.glob("*.js")), _PAGE_ASSETS / "compare_view.js")


def _entries(target: Path) -> list[Path]:
    """What lies in the folder, without what a build leaves alone: a repository, say, or a host's name."""
    return sorted(path for path in target.iterdir() if path.name != "CNAME" and not path.name.startswith("."))


def _files(target: Path) -> list[Path]:
    """The files of the page."""
    found = [entry.rglob("*") if entry.is_dir() else [entry] for entry in _entries(target)]
    return sorted(path for path in chain(*found) if path.is_file())


def _clear(target: Path) -> None:
    """Removes an earlier page, and nothing else: many a page has an index.html or a service worker."""
    entries = _entries(target) if target.exists() else []
    is_page = (target / "vendor" / parts.BUILDS["WebAssembly"][0]).is_file()
    written = {*_WRITTEN, *(script.name for script in _scripts())} if is_page else set()
    for entry in entries:
        if entry.name not in written:
            raise SettingError(f"{target} has other files in it, like {entry.name}; choose another folder.")
    for entry in entries:
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _examples(folder: Path) -> None:
    """The photos, and small pictures of them: a photo is loaded when it is chosen."""
    (folder / "small").mkdir(parents=True)
    for photo in _PHOTOS:
        shutil.copyfile(photo, folder / photo.name)
        small = encode(fit(decode(photo).rgb, _SMALL_SIDE), "jpeg", quality=85)
        (folder / "small" / photo.name).write_bytes(small)


def _models(styles: Sequence[Style], folder: Path) -> dict[str, int]:
    """Writes the models; gives how many parameters one with each normalizer has."""
    parameters = {}
    for style in styles:
        (folder / style.name).mkdir(parents=True)
        for norm in NORMS:
            network, info = load_model(style.model(norm))
            data = parts.model(network.eval(), info, "CC0-1.0")
            (folder / style.name / f"{norm_slug(norm)}.onnx").write_bytes(data)
            parameters[norm_slug(norm)] = parameter_count(network)
    return parameters


def _page(styles: Sequence[Style], parameters: dict[str, int]) -> str:
    gallery = {
        "minSide": MIN_SIDE,
        "norms": [norm_slug(norm) for norm in NORMS],
        "parameters": parameters,
        "captions": {
            norm_slug(norm): {
                "waiting": card_captions.waiting(norm),
                "painting": card_captions.painting(norm),
                "stopped": card_captions.stopped(norm, card_captions.waiting(norm)),
            }
            for norm in NORMS
        },
    }
    norms = {"all": "All four", **{norm_slug(norm): card_captions.title(norm) for norm in NORMS}}
    options = {
        f"{name}{suffix}": escape(text)
        for name in ("strength", "keep_colour")
        for suffix, text in (("", DECLARED[name].label), ("_help", DECLARED[name].help))
    }
    return Template((parts.ASSETS / "index.html").read_text()).substitute(
        title=layout.TITLE,
        policy=_POLICY,
        header=layout.HEADER,
        examples="".join(
            f'<button disabled value="examples/{photo.name}">'
            f'<img src="examples/small/{photo.name}" alt="Example photo: {photo.stem}"></button>'
            for photo in _PHOTOS
        ),
        styles=_choices("style", {style.name: style.name.capitalize() for style in styles}, styles[0].name),
        norms=_choices("norms", norms, "iebn"),
        sides=_choices("side", {str(side): f"{side} px" for side in _SIDES}, str(_USUAL_SIDE)),
        cards="".join(_card(norm) for norm in NORMS),
        compare_view=compare_view.markup(),
        gallery=json.dumps(gallery).replace("<", "\\u003c"),
        **options,
    )


def _choices(name: str, titles: dict[str, str], chosen: str) -> str:
    return "".join(
        f'<label><input type="radio" name="{name}" value="{value}"{" checked" * (value == chosen)}>'
        f"<span>{title}</span></label>"
        for value, title in titles.items()
    )


def _card(norm: str) -> str:
    slug, title = norm_slug(norm), card_captions.title(norm)
    return (
        f'<figure class="card" id="card-{slug}"><div id="out-{slug}"><img alt="Painting, {title}" hidden>'
        f'<canvas role="img" aria-label="Live painting, {title}" hidden></canvas><div class="empty"></div>'
        f'<a class="download" download hidden aria-label="Download the painting, {title}">Download</a></div>'
        f'<div id="caption-{slug}">{card_captions.empty(norm)}</div></figure>'
    )


def _licences() -> str:
    """This project's licence, and the runtime's, which Python's package of the same project has in full."""
    texts = {
        "Stylizer (the models and style pictures: CC0)": (parts.ROOT / "LICENSE").read_text(),
        "Example photos": (EXAMPLES / "README.md").read_text(),
    }
    runtime = importlib.metadata.distribution("onnxruntime")
    for name in ("LICENSE", "ThirdPartyNotices.txt"):
        path = Path(str(runtime.locate_file(f"onnxruntime/{name}")))
        texts[f"ONNX Runtime: {name}"] = path.read_text(encoding="utf-8", errors="replace")
    return "\n\n".join(f"{title}\n{'=' * len(title)}\n\n{text}" for title, text in texts.items())


def _finish_service_worker(target: Path) -> None:
    """Names the page's files, those that it loads beforehand, and a version that changes with every file."""
    digest = hashlib.sha256()
    names = []
    for path in _files(target):
        names.append(path.relative_to(target).as_posix())
        digest.update(names[-1].encode() + path.read_bytes())
    files = sorted({"./", *names} - {"sw.js"})
    shell = [name for name in files if "/" not in name and name.endswith((".css", ".js", ".svg"))]
    script = (target / "sw.js").read_text()
    for name, value in {
        "version": digest.hexdigest()[:16],
        "policy": _POLICY,
        "files": json.dumps(files),
        "shell": json.dumps(["./", *shell]),
    }.items():
        script = script.replace(f"${name}", value)
    (target / "sw.js").write_text(script)


def transferred(target: Path, style: str) -> dict[str, dict[str, int]]:
    """What a visitor loads to see a photo in a first style, in bytes, each file compressed by gzip.

    Args:
        target: Where the page was built.
        style: The style.

    Returns:
        For each way to compute, the bytes of page, runtime and models.
    """
    page = [path for path in target.iterdir() if path.suffix in (".html", ".css", ".js", ".svg")]
    page += (target / "examples" / "small").iterdir()
    models = (target / "models" / style).iterdir()
    shared = {"page": _compressed(page), "models": _compressed(models)}
    return {
        backend: {**shared, "runtime": _compressed(target / "vendor" / name for name in builds)}
        for backend, builds in parts.BUILDS.items()
    }


def _compressed(files: Iterable[Path]) -> int:
    return sum(len(gzip.compress(path.read_bytes(), 6)) for path in files)


def main() -> None:
    """Build the page into a folder."""
    parser = argparse.ArgumentParser(description="Build the page that paints in the visitor's browser.")
    parser.add_argument("--out", type=Path, default=Path("site"), help="folder to write (default: site)")
    target = parser.parse_args().out
    try:
        build(target, shipped())
    except SettingError as error:
        sys.exit(str(error))
    size = sum(path.stat().st_size for path in _files(target))
    sys.stdout.write(f"{target}: {size / 1e6:.0f} MB.\n")
    for backend, parts_of_it in transferred(target, shipped()[0].name).items():
        sums = " + ".join(f"{size / 1e6:.2f} {part}" for part, size in parts_of_it.items())
        total = sum(parts_of_it.values()) / 1e6
        sys.stdout.write(f"First style by {backend}, compressed by gzip: {total:.2f} MB ({sums}).\n")
    sys.stdout.write(f"Try it: python -m http.server -d {target}\n")


if __name__ == "__main__":
    main()
