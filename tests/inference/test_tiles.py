"""Pictures of any size: tiles against the whole."""

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import make_picture
from transformer_net.checkpoint import ModelInfo
from transformer_net.errors import SettingError
from transformer_net.grain import grain
from transformer_net.images import decode, to_array
from transformer_net.inference import tiles
from transformer_net.inference.colour import Look
from transformer_net.inference.frozen import constant_statistics, freeze, norms, statistics_of
from transformer_net.inference.stylizer import Stylizer
from transformer_net.inference.tiles import MIN_TILE, Tiling, cuts, fits_whole, parse_memory
from transformer_net.network import HALO, MARGIN, STRIDE, TransformerNet
from transformer_net.norms import NORMS, InstanceEnhancementBatchNorm

GRAIN = 0.05
SIZES = [(65, 49), (131, 150), (33, 215)]


def network(norm, width=4, **options):
    """A network whose every norm has something to say, and whose paintings clip on both sides."""
    torch.manual_seed(0)
    net = TransformerNet(norm, width, options).eval()
    with torch.no_grad():
        for layer in norms(net):
            layer.weight.uniform_(0.6, 1.4)
            layer.bias.uniform_(-0.3, 0.3)
            if norm != "in":
                layer.running_mean.uniform_(-0.2, 0.2)
                layer.running_var.uniform_(0.3, 0.8)
            if isinstance(layer, InstanceEnhancementBatchNorm):
                layer.gate_weight.uniform_(-1, 1)
                layer.gate_bias.uniform_(0, 1)
        net.head.weight.mul_(8)
    return net


def memory_for(side, picture_width, width=4):
    """The least memory in which tiles have that side."""
    outer = side + 2 * HALO
    return tiles._FROZEN * width * outer**2 + tiles._STRIP * picture_width * outer


class Collected(Tiling):
    """Keeps the tiles as they come from the network, in floats."""

    def __init__(self, net, picture, side=MIN_TILE):
        super().__init__(net, picture, GRAIN, memory_for(side, picture.width, net.width))
        self.canvas = np.full((3, self.rows[-1].stop, self.columns[-1].stop), np.nan, np.float32)

    def _put(self, painted, rows, columns):
        super()._put(painted, rows, columns)
        self.canvas[:, rows.start : rows.stop, columns.start : columns.stop] = painted

    def floats(self):
        height, width = self.picture.height, self.picture.width
        return torch.from_numpy(self.canvas[:, MARGIN : MARGIN + height, MARGIN : MARGIN + width])


def batch(picture):
    return torch.from_numpy(to_array(picture) + GRAIN * grain(picture.height, picture.width))[None]


def whole(net, picture):
    with torch.no_grad():
        return net(batch(picture))[0]


def assert_same_pixels(one, other, share=0.999):
    """Equal but for values that rounding brings to either side of a level."""
    assert (one.mode, one.size) == (other.mode, other.size)
    difference = np.abs(np.asarray(one).astype(int) - np.asarray(other))
    assert difference.max() <= 1
    assert (difference == 0).mean() > share


@pytest.mark.parametrize("side", [64, 100, 128])
@pytest.mark.parametrize("length", [52, 64, 68, 128, 132, 396, 1000])
def test_cuts_cover_the_length_once(length, side):
    found = cuts(length, side)
    assert [cut.start for cut in found] == [0, *(cut.stop for cut in found[:-1])]
    assert found[-1].stop == length
    for cut in found:
        assert (
            cut.start % STRIDE
            == cut.stop % STRIDE
            == cut.outer_start % STRIDE
            == cut.outer_stop % STRIDE
            == 0
        )
        # No tile is so thin that it lies in the margin alone.
        assert min(length, side // 2) <= cut.stop - cut.start <= side
        assert cut.outer_start in (0, cut.start - HALO)
        assert cut.outer_stop in (length, cut.stop + HALO)


@pytest.mark.parametrize(
    ("norm", "options"),
    [
        *((norm, {}) for norm in NORMS),
        ("iebn", {"acts_on": "both", "activation": "tanh", "noise": (0.8, 0.2)}),
    ],
    ids=str,
)
def test_a_frozen_network_paints_its_picture_as_before(norm, options):
    net, photo = network(norm, **options), batch(make_picture(60, 41))
    state = {name: value.clone() for name, value in net.state_dict().items()}
    frozen = freeze(net, statistics_of(net, photo))
    assert norms(frozen) == []
    with torch.no_grad():
        torch.testing.assert_close(frozen(photo), net(photo), rtol=0, atol=2e-5)
    assert len(norms(net)) == 15
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("norm", NORMS)
def test_tiled_equals_whole_given_the_same_statistics(norm, size):
    net, picture = network(norm), make_picture(*size)
    expected = whole(net, picture)
    tiling = Collected(net, picture)
    assert len(tiling.rows) * len(tiling.columns) > 1
    tiling.paint(statistics_of(net, batch(picture)))  # taken first: the picture is painted over
    torch.testing.assert_close(tiling.floats(), expected, rtol=0, atol=3e-5)


def test_tiled_equals_whole_whatever_the_tile():
    net, original = network("in"), make_picture(150, 171)
    expected, statistics = whole(net, original), statistics_of(net, batch(original))
    for side in (100, 152, 300):
        tiling = Collected(net, original.copy(), side)
        tiling.paint(statistics)
        torch.testing.assert_close(tiling.floats(), expected, rtol=0, atol=3e-5)
    assert len(tiling.rows) * len(tiling.columns) == 1


def test_no_seams():
    """With a thumbnail's statistics too, the step across a seam is a step like any other."""
    net, picture = network("in"), make_picture(230, 240)
    tiling = Tiling(net, picture, 0.0, memory_for(MIN_TILE, 230))
    tiling.paint(tiling.thumbnail_statistics())
    painted = np.asarray(picture).astype(int)
    across = np.abs(np.diff(painted, axis=1)).mean((0, 2))
    down = np.abs(np.diff(painted, axis=0)).mean((1, 2))
    for steps, cut_list in ((across, tiling.columns), (down, tiling.rows)):
        seams = [cut.start - MARGIN - 1 for cut in cut_list[1:]]
        assert len(seams) >= 3
        assert steps[seams].max() <= np.delete(steps, seams).max()
        for seam in seams:  # nor does it stand out from its neighbours, at the same phase of the stride
            assert steps[seam] < 2 * max(steps[seam - STRIDE], steps[seam + STRIDE])


@pytest.mark.parametrize("norm", NORMS)
def test_exact_statistics_are_the_whole_pictures(norm):
    net, picture = network(norm), make_picture(91, 62)
    shares = []
    found = Collected(net, picture).exact_statistics(shares.append)
    for (a, b), (expected_a, expected_b) in zip(found, statistics_of(net, batch(picture)), strict=True):
        torch.testing.assert_close(a, expected_a, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(b, expected_b, rtol=1e-4, atol=1e-5)
    assert shares == sorted(shares)
    assert shares[-1:] == ([] if norm == "bn" else [1.0])


def test_variance_survives_a_large_mean():
    x = torch.randn(1, 3, 40, 60) + 1000
    total = tiles._Moments()
    for part in x.split(13, dim=2):
        total.add(part)
    torch.testing.assert_close(total.mean, x.double().mean((2, 3)), rtol=1e-7, atol=0)
    torch.testing.assert_close(total.variance, x.double().var((2, 3), correction=0), rtol=1e-4, atol=0)


@pytest.mark.parametrize("norm", NORMS)
def test_a_small_picture_is_its_own_thumbnail(norm):
    net, picture = network(norm), make_picture(80, 71)
    tiling = Tiling(net, picture, GRAIN, 2 * memory_for(MIN_TILE, 80))
    for found, expected in zip(
        tiling.thumbnail_statistics(), statistics_of(net, batch(picture)), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("norm", "worst"), [("bn", 0.001), ("bn+se", 0.1), ("iebn", 0.1), ("in", 12)])
def test_a_thumbnail_of_a_smooth_picture_is_nearly_as_good(norm, worst, monkeypatch):
    """Mean difference in levels of the painting; this picture has no detail to lose."""
    net, picture = network(norm), make_picture(240, 200)
    photo = torch.from_numpy(to_array(picture))[None]
    monkeypatch.setattr(tiles, "THUMBNAIL_PIXELS", 120 * 100)
    statistics = Tiling(net, picture, 0.0, memory_for(100, 240)).thumbnail_statistics()
    with torch.no_grad():
        exact, painted = (255 * n(photo).clamp(0, 1) for n in (net, freeze(net, statistics)))
    difference = (exact - painted).abs().mean()
    assert difference <= worst


def test_a_thumbnail_is_bounded_by_the_memory_and_by_what_the_network_takes(monkeypatch):
    seen = []
    monkeypatch.setattr(tiles, "statistics_of", lambda net, photo: seen.append(photo.shape[2:]) or [])
    monkeypatch.setattr(tiles, "THUMBNAIL_PIXELS", 20_000)
    memory = memory_for(MIN_TILE, 3000)
    Tiling(network("in"), make_picture(3000, 24), GRAIN, memory).thumbnail_statistics()
    Tiling(network("in"), make_picture(900, 700), GRAIN, memory_for(MIN_TILE, 900)).thumbnail_statistics()
    assert seen[0][0] == 20
    for height, width in seen:
        assert height * width * tiles._WITH_NORMS * 4 <= memory


def test_constant_statistics_need_no_picture():
    net = network("bn")
    for found, expected in zip(
        constant_statistics(net), statistics_of(net, torch.rand(1, 3, 20, 20)), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


def painters(norm, width=4):
    return Stylizer(network(norm, width), ModelInfo(norm, width, grain=GRAIN))


@pytest.mark.parametrize("norm", NORMS)
def test_a_tiny_budget_gives_the_same_painting(norm):
    painter, picture = painters(norm), make_picture(163, 90)
    memory = memory_for(MIN_TILE, 163)
    assert not fits_whole(painter.network, picture.size, memory)
    assert_same_pixels(painter.paint(picture, max_memory=memory, exact=True), painter.paint(picture))


def test_alpha_is_kept():
    picture = make_picture(150, 101).convert("RGBA")
    alpha = Image.linear_gradient("L").resize(picture.size)
    picture.putalpha(alpha)
    painting = painters("bn").paint(picture, max_memory=memory_for(MIN_TILE, 150))
    assert painting.mode == "RGBA"
    assert painting.getchannel("A").tobytes() == alpha.tobytes()
    assert_same_pixels(painting, painters("bn").paint(picture))


@pytest.mark.parametrize("max_side", [None, 130])
def test_a_photo_is_painted_over_only_when_allowed(max_side):
    painter, photo = painters("bn"), decode(make_picture(150, 101))
    before, memory = photo.rgb.tobytes(), memory_for(MIN_TILE, 150)
    first = painter.paint_photo(photo, max_side, max_memory=memory)
    assert photo.rgb.tobytes() == before
    second = painter.paint_photo(photo, max_side, max_memory=memory, overwrite=True)
    assert second.tobytes() == first.tobytes()
    assert (photo.rgb is second) == (max_side is None)


@pytest.mark.parametrize("max_side", [None, 130])
def test_a_photo_is_not_painted_over_before_it_is_mixed_in(max_side):
    painter, photo, look = painters("bn"), make_picture(150, 101), Look(0.5, keep_colour=True)
    tiled = painter.paint(photo, max_side, look, max_memory=memory_for(MIN_TILE, 150))
    assert_same_pixels(tiled, painter.paint(photo, max_side, look))


def test_progress_goes_from_nothing_to_one():
    shares = []
    photo = decode(make_picture(163, 90))
    painters("in").paint_photo(
        photo, max_memory=memory_for(MIN_TILE, 163), exact=True, on_progress=shares.append
    )
    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.1
    assert shares[-1] == 1


def test_a_strip_that_is_thinner_than_the_network_takes():
    painter, picture = painters("bn"), make_picture(300, 16)
    painting = painter.paint(picture, max_memory=memory_for(MIN_TILE, 300))
    assert_same_pixels(painting, painter.paint(picture))


def test_a_painting_that_is_not_finite_is_no_painting():
    painter = painters("bn")
    with torch.no_grad():
        painter.network.head.bias.fill_(float("nan"))
    with pytest.raises(ValueError, match="not finite"):
        painter.paint(make_picture(150, 101), max_memory=memory_for(MIN_TILE, 150))


def test_too_little_memory():
    with pytest.raises(
        SettingError, match=r"^Painting this picture with this model needs at least 4M of memory\.$"
    ):
        painters("in").paint(make_picture(150, 101), max_memory=1_000_000)
    painters("in").paint(make_picture(150, 101), max_memory=4 * 1024**2)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("65536", 65536),
        ("100k", 102_400),
        ("800M", 800 * 1024**2),
        ("1.5G", 3 * 1024**3 // 2),
        (" 2 GB ", 2 * 1024**3),
        ("1GiB", 1024**3),
    ],
)
def test_sizes_of_memory(text, size):
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "G", "much", "-1G", "1.5.2G", "1T", "0", "nan", "1e9", "0.1"])
def test_what_is_no_size_of_memory(text):
    with pytest.raises(SettingError, match=r"a size such as 800M or 1\.5G, not '"):
        parse_memory(text)
