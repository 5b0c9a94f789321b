"""Blends, masks and palettes over HTTP and on the page: the library's and the command line's pixels."""

from __future__ import annotations

import asyncio
import io
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

import stylize
from app.metrics import Metrics
from app.painting import registry
from app.settings import Settings
from tests.app.conftest import SETTINGS, assert_problem, file, opened, picture, post
from transformer_net import commandline, devices
from transformer_net.imaging.decode import decode
from transformer_net.imaging.encode import encode
from transformer_net.inference.masked_stylizer import MaskedStylizer
from transformer_net.inference.options.mask import read_mask
from transformer_net.inference.options.style_options import StyleOptions
from transformer_net.inference.stylizer import Stylizer

BLEND = "wave:0.6,cubist:0.4"
PHOTO = file(picture())


def on_the_page(service, cache, style, second, mix, match_palette=False):
    """Paths of the four paintings that the page shows in the end."""
    from app.page.compare_tab import CompareHandlers, Wall

    upload = cache / "cat.png"
    upload.write_bytes(PHOTO)

    async def steps():
        options = (style, None, 64, 100, False, match_palette, 1, second, mix, *[None] * 9)
        return [
            step async for step in CompareHandlers(service).paint(Wall(), {"path": str(upload)}, *options)
        ]

    return [Path(path) for path in asyncio.run(steps())[-1][2:6]]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """The library and the command line compute with as many threads as the server; others round otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(devices, "available_cores", lambda: 1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    pytest.importorskip("gradio")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return tmp_path


@pytest.mark.slow
def test_library_command_line_http_and_page_give_the_same_pixels(client, cache, monkeypatch):
    library = encode(Stylizer.from_style(BLEND, "iebn").paint(PHOTO))
    assert post(client, PHOTO, style=BLEND).content == library

    page = on_the_page(client.app.state.service, cache, "wave", "cubist", 40)
    assert page[3].name == "cat-wave60-cubist40-iebn.png"
    assert page[3].read_bytes() == library

    monkeypatch.setattr(sys, "argv", ["stylize", str(cache / "cat.png"), "--style", BLEND, "-o", str(cache)])
    with pytest.raises(SystemExit, match="0"):
        commandline.run(stylize.stylize)
    assert (cache / "cat-wave60-cubist40-iebn.png").read_bytes() == library
    assert library != post(client, PHOTO, style="wave").content


def test_a_blend_has_names_of_ours(client):
    response = post(client, PHOTO, {"accept": "application/zip"}, style=" WAVE :3, cubist: 2 ", norm="all")
    assert response.headers["x-stylizer-style"] == "wave60-cubist40"
    assert response.headers["x-stylizer-norm"] == "bn,in,bn+se,iebn"
    assert response.headers["content-disposition"] == 'attachment; filename="wave60-cubist40.zip"'
    archive = zipfile.ZipFile(io.BytesIO(response.content))
    assert archive.namelist()[-2:] == ["wave60-cubist40-iebn.png", "wave60-cubist40.png"]
    assert archive.read("wave60-cubist40-iebn.png") == post(client, PHOTO, style=BLEND).content


@pytest.mark.slow
def test_blends_are_made_once_and_not_kept_for_ever(client):
    service = client.app.state.service
    service.registry._blend.cache_clear()
    for _ in range(2):
        opened(post(client, PHOTO, style=BLEND))
    assert service.registry._blend.cache_info()[:2] == (1, 1)  # one hit, one miss
    most = service.registry._blend.cache_info().maxsize
    for percent in range(1, most + 3):
        assert post(client, PHOTO, style=f"wave:{percent},ink:{100 - percent}").status_code == 200
    assert service.registry._blend.cache_info().currsize == most


def test_a_blend_is_never_of_a_model_that_was_replaced_while_it_was_computed(client, monkeypatch):
    loaded = client.app.state.service.registry
    ours = registry.ModelRegistry(Settings(**SETTINGS), Metrics())
    ours._models, ours._styles = loaded._models, loaded._styles
    adopted = replace(loaded.model("wave", "in"), bytes=1)
    monkeypatch.setattr(registry, "load", lambda *arguments: adopted)
    computed = []

    def computing(models, shares, threads, device):
        if not computed:
            ours.adopt(loaded.style("wave"), "in")
        computed.append(models)
        return models

    monkeypatch.setattr(registry, "blended", computing)
    for _ in range(3):
        ours.find({"wave": 0.6, "cubist": 0.4}, "in", "fp32")()
    assert len(computed) == 2
    assert computed[1] == {"wave": adopted, "cubist": loaded.model("cubist", "in")}


@pytest.mark.slow
def test_all_blends_are_one_series(client):
    for share in (0.31, 0.32):
        opened(post(client, PHOTO, style=f"wave:{share},cubist:1"))
    labels = {
        line.split('style="')[1].split('"')[0]
        for line in client.get("/metrics").text.splitlines()
        if line.startswith("stylizer_inference_seconds_count")
    }
    assert "blend" in labels
    styles = {style.name for style in client.app.state.service.registry.styles()}
    assert labels - {"mask", "picture"} <= {"blend", *styles}  # one series each, too, of other tests


def test_what_cannot_be_blended_is_refused_with_the_reason(client, cache, monkeypatch):
    service = client.app.state.service
    for norm in ("bn", "in"):
        stylizer = service.registry.model("ink", norm).stylizer
        monkeypatch.setattr(stylizer, "info", replace(stylizer.info, training={}))
    problem = assert_problem(post(client, PHOTO, style="wave,ink", norm="in"), 422, "invalid-option")
    assert (
        problem["detail"]
        == "wave and ink cannot be blended with in: ink was not trained from a base network."
    )
    assert opened(post(client, PHOTO, style="ink", norm="in")).size == (40, 32)
    with pytest.raises(Exception, match="ink was not trained from a base network"):
        on_the_page(service, cache, "wave", "ink", 50)


def test_styles_without_a_common_normalizer(client, monkeypatch):
    service = client.app.state.service
    some = {k: m for k, m in service.registry._models.items() if k[1] == ("bn" if k[0] == "ink" else "in")}
    monkeypatch.setattr(service.registry, "_models", some)
    problem = assert_problem(post(client, PHOTO, style="wave,ink", norm="all"), 422, "invalid-option")
    assert problem["detail"] == "wave and ink have no normalizer in common."
    assert_problem(post(client, PHOTO, style="wave,ink", norm="in"), 404, "unknown-style")


@pytest.mark.parametrize(("second", "mix"), [("", 50), ("wave", 30), ("cubist", 0)])
def test_the_page_mixes_only_where_there_is_something_to_mix(client, cache, second, mix):
    paths = on_the_page(client.app.state.service, cache, "wave", second, mix)
    assert [path.name for path in paths] == [f"cat-wave-{slug}.png" for slug in ("bn", "in", "bn-se", "iebn")]
    assert paths[1].read_bytes() == post(client, PHOTO, style="wave", norm="in").content
    assert Image.open(paths[0]).size == (40, 32)


def gradient():
    return file(Image.linear_gradient("L").resize((30, 50)))


def test_a_mask_chooses_the_style_by_region(client, cache, monkeypatch):
    files = {"image": PHOTO, "mask": gradient()}
    form = {"style": "cubist, WAVE", "norm": "in"}
    response = client.post("/stylize", files=files, data=form)
    assert response.headers["x-stylizer-style"] == "cubist-wave"
    assert response.headers["content-disposition"] == 'inline; filename="cubist-wave-in.png"'
    pair = [Stylizer.from_style(style, "in", engine="torch") for style in ("cubist", "wave")]
    library = MaskedStylizer(*pair, read_mask(files["mask"])).paint_photo(decode(PHOTO))
    assert response.content == encode(library)

    (cache / "cat.png").write_bytes(PHOTO)
    (cache / "mask.png").write_bytes(files["mask"])
    options = [
        "--style",
        "cubist,wave",
        "--mask",
        str(cache / "mask.png"),
        "--norm",
        "in",
        "--engine",
        "torch",
    ]
    monkeypatch.setattr(sys, "argv", ["stylize", str(cache / "cat.png"), *options, "-o", str(cache)])
    with pytest.raises(SystemExit, match="0"):
        commandline.run(stylize.stylize)
    assert (cache / "cat-cubist-wave-in.png").read_bytes() == response.content
    assert 'style="mask"' in client.get("/metrics").text

    both = client.post(
        "/stylize", files=files, data={**form, "norm": "all"}, headers={"accept": "application/zip"}
    )
    assert zipfile.ZipFile(io.BytesIO(both.content)).read("cubist-wave-in.png") == response.content


@pytest.mark.parametrize(
    ("style", "mask", "status", "kind"),
    [
        ("wave", None, 422, "invalid-option"),
        ("wave:0.5,ink:0.5", None, 422, "invalid-option"),
        ("wave,ink,cubist", None, 422, "invalid-option"),
        ("wave,wave", None, 422, "invalid-option"),
        ("wave,vangogh", None, 404, "unknown-style"),
        ("wave,ink", b"", 422, "unreadable-image"),
        ("wave,ink", b"no picture", 415, "unsupported-image-format"),
        ("wave,ink", file(Image.new("L", (8, 40))), 422, "image-size-out-of-range"),
    ],
)
def test_masks_that_will_not_do(client, style, mask, status, kind):
    files = {"image": PHOTO, "mask": gradient() if mask is None else mask}
    problem = assert_problem(
        client.post("/stylize", files=files, data={"style": style, "norm": "in"}), status, kind
    )
    if kind in ("unreadable-image", "unsupported-image-format", "image-size-out-of-range"):
        assert problem["detail"].startswith("Mask: ")
    if kind == "invalid-option":
        assert problem["detail"].startswith("With a mask, the style is two names such as wave,cubist")


def test_the_palette_is_matched_as_in_the_library(client, cache):
    options = StyleOptions(match_palette=True)
    library = encode(Stylizer.from_style("wave", "in", engine="torch").paint(PHOTO, options=options))
    assert post(client, PHOTO, style="wave", norm="in", match_palette="true").content == library
    blend = encode(Stylizer.from_style(BLEND, "in").paint(PHOTO, options=options))
    assert post(client, PHOTO, style=BLEND, norm="in", match_palette="true").content == blend
    assert on_the_page(client.app.state.service, cache, "wave", "", 50, True)[1].read_bytes() == library
    assert post(client, PHOTO, style="wave", norm="in").content != library
