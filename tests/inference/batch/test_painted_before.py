"""What decides whether a photo of a folder was painted before, and what does not."""

from pathlib import Path

import pytest

from tests.conftest import make_picture
from tests.inference.networks import random_network
from transformer_net.checkpoint import save_model
from transformer_net.imaging.decode import Limits
from transformer_net.inference import ledger
from transformer_net.inference.batch.inputs import InputFile
from transformer_net.inference.batch.runner import BatchPlan
from transformer_net.inference.engines.factory import make_engine
from transformer_net.inference.engines.quantization import load_ranges, save_ranges
from transformer_net.inference.ledger import Ledger
from transformer_net.inference.options.style_options import DEFAULT_OPTIONS, StyleOptions
from transformer_net.inference.stylizer import Stylizer
from transformer_net.network import ReflectConv2d

MATCHED = StyleOptions(match_palette=True)
RANGES = {"head": (0.0, 1.0)}


@pytest.fixture
def style(tmp_path, monkeypatch):
    """The folder of an own style, dots, with a model for instance norm that is prepared for int8."""
    folder = tmp_path / "own" / "dots"
    folder.mkdir(parents=True)
    monkeypatch.setenv("STYLIZER_OWN_STYLES", str(folder.parent))
    make_picture(64, 64).save(folder / "style.png")
    save_model(folder / "in.safetensors", random_network("in"), "dots", 0.05)
    save_ranges(folder / "in.safetensors", RANGES, {})
    make_picture(40, 30).save(tmp_path / "photo.png")
    return folder


def made_of(style, options=DEFAULT_OPTIONS, stylizer=None, **changed):
    """What a plan says that the painting of photo.png is made of."""
    settings = {"kind": "png", "max_side": None, "memory": 1, "exact": False, "limits": Limits()}
    settings |= {"skip": True, "keep_exif": False, "keep_gps": False, "out": style, "ledger": Ledger(style)}
    stylizer = stylizer or Stylizer.from_style("dots", "in", engine="torch")
    plan = BatchPlan(stylizers=[stylizer], options=options, **{**settings, **changed})
    return plan.made_of(InputFile(style.parents[1] / "photo.png", Path("photo")))


def test_photo_and_settings_decide(style):
    found = [
        made_of(style),
        made_of(style, kind="jpeg"),
        made_of(style, keep_exif=True),
        *(
            made_of(style, StyleOptions(**{name: value}))
            for name, value in (("strength", 0.5), ("stroke_scale", 2))
        ),
    ]
    make_picture(41, 30).save(style.parents[1] / "photo.png")
    assert len({*found, made_of(style)}) == 6
    assert made_of(style) == made_of(style)


def test_the_style_picture_decides_where_its_palette_is_matched(style):
    plain, matched = made_of(style), made_of(style, MATCHED)
    make_picture(64, 64, seed=1).save(style / "style.png")
    assert made_of(style) == plain
    assert made_of(style, MATCHED) not in (plain, matched)


def int8(network, path):
    """An engine as `make_engine` makes it, with all the ranges that the network needs."""
    names = [name for name, module in network.named_modules() if isinstance(module, ReflectConv2d)]
    found = load_ranges(path)
    return make_engine(network, precision="int8", ranges=dict.fromkeys(names, found["head"]))


def test_the_ranges_decide_in_int8(style):
    pytest.importorskip("openvino")

    def stylizer():
        made = Stylizer.from_style("dots", "in", engine="torch")
        made.engine = int8(made.network, style / "in.safetensors")
        return made

    before = made_of(style, stylizer=stylizer()), made_of(style)
    save_ranges(style / "in.safetensors", {"head": (0.0, 2.0)}, {})
    assert made_of(style, stylizer=stylizer()) != before[0]
    assert made_of(style) == before[1]


def test_the_version_of_the_pipeline_decides_and_not_its_source(style, monkeypatch):
    """A docstring that changes paints no folder again."""
    stylizer = Stylizer.from_style("dots", "in", engine="torch")
    before = made_of(style, stylizer=stylizer)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", None)
        assert made_of(style, stylizer=stylizer) == before
    monkeypatch.setattr(ledger, "PIPELINE_VERSION", ledger.PIPELINE_VERSION + 1)
    assert made_of(style, stylizer=stylizer) != before


def test_an_option_at_its_default_does_not_decide():
    """One that is added later leaves what was painted without it."""
    assert DEFAULT_OPTIONS.chosen() == {}
    assert StyleOptions(0.5, stroke_scale=2).chosen() == {"strength": 0.5, "stroke_scale": 2}
