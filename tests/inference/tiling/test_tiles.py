"""Pictures of any size: tiles against the whole."""

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import make_picture
from transformer_net.checkpoint import ModelInfo
from transformer_net.errors import SettingError
from transformer_net.grain import grain
from transformer_net.imaging.arrays import to_array
from transformer_net.imaging.decode import decode
from transformer_net.inference.engines.factory import make_engine
from transformer_net.inference.engines.quantization import calibrate
from transformer_net.inference.options.style_options import StyleOptions
from transformer_net.inference.stylizer import Stylizer
from transformer_net.inference.tiling import tiles
from transformer_net.inference.tiling.fold_norms import (
    by_torch,
    constant_statistics,
    freeze,
    norms,
    statistics_of,
    statistics_of_samples,
)
from transformer_net.inference.tiling.tiles import (
    LARGEST_TILE,
    MIN_TILE,
    SAMPLE,
    Tiling,
    boxes,
    cuts,
    fits_whole,
    parse_memory,
)
from transformer_net.network import HALO, MARGIN, STRIDE, TransformerNet
from transformer_net.norms import NORMS, InstanceEnhancementBatchNorm

GRAIN = 0.05
SIZES = [(65, 49), (131, 150), (33, 215)]
ENGINES = ["torch", "openvino"]
TOLERANCE = 5e-5  # of 1; paintings reach from -3 to 3


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

    def __init__(self, net, picture, side=MIN_TILE, engine="torch"):
        piecewise = make_engine(net, engine=engine).piecewise
        super().__init__(net, picture, GRAIN, memory_for(side, picture.width, net.width), piecewise)
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


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("norm", NORMS)
def test_tiled_equals_whole_given_the_same_statistics(norm, size, engine):
    net, picture = network(norm), make_picture(*size)
    expected = whole(net, picture)
    tiling = Collected(net, picture, engine=engine)
    assert len(tiling.rows) * len(tiling.columns) > 1
    tiling.paint(statistics_of(net, batch(picture)))  # taken first: the picture is painted over
    torch.testing.assert_close(tiling.floats(), expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("frozen", [0, 3, 4, 14, 15])
@pytest.mark.parametrize("norm", NORMS)
def test_a_piece_is_the_same_by_every_engine(norm, frozen):
    """Painted, where all 15 norms are frozen; else as it reaches the first that is not."""
    net, piece = network(norm), torch.rand(1, 3, 36, 52)
    rest = freeze(net, statistics_of(net, piece)[:frozen])
    by_openvino = make_engine(net, engine="openvino").piecewise(rest)(piece[0].numpy())
    expected = by_torch(rest)(piece[0].numpy())
    assert expected.std() > 0.01
    torch.testing.assert_close(by_openvino, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.slow
def test_every_engine_paints_pieces():
    net, piece = network("iebn"), torch.rand(1, 3, 36, 52)
    frozen = freeze(net, statistics_of(net, piece))
    with torch.no_grad():
        expected = frozen.core(piece)
    for engine in ("torch", "openvino", "onnxruntime"):
        painted = make_engine(net, engine=engine).piecewise(frozen)(piece[0].numpy())
        torch.testing.assert_close(painted, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("norm", NORMS)
def test_tiles_have_the_engines_precision(norm):
    """In int8, they are as near to the whole in int8 as rounding allows, and nearer than that is to fp32."""
    net, picture = network(norm), make_picture(131, 150)
    ranges = calibrate(net, [batch(picture)[0].numpy()])
    info = ModelInfo(norm, 4, grain=GRAIN)
    eight, full = (
        Stylizer(net, info, engine=make_engine(net, precision=p, ranges=ranges)) for p in ("int8", "fp32")
    )
    memory = memory_for(MIN_TILE, 131)
    tiled, whole_eight, whole_full = (
        np.asarray(painting).astype(int)
        for painting in (
            eight.paint(picture, max_memory=memory, exact=True),
            eight.paint(picture),
            full.paint(picture),
        )
    )
    rounding = np.abs(whole_eight - whole_full).mean()
    assert 0 < np.abs(tiled - whole_full).mean() < 2 * rounding
    assert np.abs(tiled - whole_eight).mean() < rounding


def test_tiled_equals_whole_whatever_the_tile():
    net, original = network("in"), make_picture(150, 171)
    expected, statistics = whole(net, original), statistics_of(net, batch(original))
    for side in (100, 152, 300):
        tiling = Collected(net, original.copy(), side)
        tiling.paint(statistics)
        torch.testing.assert_close(tiling.floats(), expected, rtol=0, atol=3e-5)
    assert len(tiling.rows) * len(tiling.columns) == 1


def test_no_seams():
    """With samples' statistics too, the step across a seam is a step like any other."""
    net, picture = network("in"), make_picture(215, 240)
    tiling = Tiling(net, picture, 0.0, memory_for(MIN_TILE, 215))
    tiling.paint(tiling.sampled_statistics())
    painted = np.asarray(picture).astype(int)
    across = np.abs(np.diff(painted, axis=1)).mean((0, 2))
    down = np.abs(np.diff(painted, axis=0)).mean((1, 2))
    for steps, cut_list in ((across, tiling.columns), (down, tiling.rows)):
        seams = [cut.start - MARGIN - 1 for cut in cut_list[1:]]
        assert len(seams) >= 3
        assert steps[seams].max() <= np.delete(steps, seams).max()
        for seam in seams:  # nor does it stand out from its neighbours, at the same phase of the stride
            assert steps[seam] < 2 * max(steps[seam - STRIDE], steps[seam + STRIDE])


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("norm", NORMS)
def test_exact_statistics_are_the_whole_pictures(norm, engine):
    net, picture = network(norm), make_picture(91, 62)
    shares = []
    found = Collected(net, picture, engine=engine).exact_statistics(shares.append)
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
def test_a_small_picture_is_sampled_as_a_whole(norm):
    net, picture = network(norm), make_picture(80, 71)
    tiling = Tiling(net, picture, GRAIN, 2 * memory_for(MIN_TILE, 80))
    for found, expected in zip(tiling.sampled_statistics(), statistics_of(net, batch(picture)), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("size", "pixels", "sides"),
    [
        ((1200, 900), 20 * SAMPLE**2, (96, 96)),
        ((1200, 900), SAMPLE**2 - 1, (96, 96)),
        ((3000, 22), 30_000, (96, 20)),
        ((50, 4000), 30_000, (48, 96)),
        ((96, 97), 10**6, (96, 96)),
    ],
)
def test_samples_lie_evenly_in_the_picture(size, pixels, sides):
    found = boxes(*size, pixels)
    width, height = sides
    assert all((right - left, below - top) == sides for left, top, right, below in found)
    assert len(found) == 1 or len(found) * width * height <= pixels
    for low, high, length in ((0, 2, size[0]), (1, 3, size[1])):
        places = sorted({box[low] for box in found})
        if len(places) > 1:
            assert (places[0], max(box[high] for box in found)) == (0, length)
            assert np.ptp(np.diff(places)) <= 1
        else:
            assert abs(2 * places[0] + sides[low] - length) <= 1
    assert len(set(found)) == len(found) or size == (96, 97)


@pytest.mark.parametrize("norm", NORMS)
def test_samples_count_as_one_picture_and_their_rims_do_not_count(norm):
    net = network(norm)
    one, other = torch.rand(2, 1, 3, 96, 96)
    alone = statistics_of_samples(net, one, (0, 0))
    twice = statistics_of_samples(net, torch.cat([one, one]), (0, 0))
    for found, expected in zip(twice, alone, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    if norm == "bn":
        return
    # What the first layer's norm takes depends on 4 px around: so nothing of the outermost 12 reaches it.
    painted_over = torch.nn.functional.pad(one[..., 12:-12, 12:-12], (12,) * 4, mode="constant", value=1.0)
    same, different = (statistics_of_samples(net, s, (16, 16))[0] for s in (one, painted_over))
    torch.testing.assert_close(same, different)
    assert not torch.allclose(same[0], statistics_of_samples(net, other, (16, 16))[0][0], rtol=1e-5)


@pytest.mark.parametrize(("norm", "worst"), [("bn", 0.001), ("bn+se", 0.5), ("iebn", 0.5), ("in", 12)])
def test_samples_speak_for_a_picture_that_is_much_the_same_everywhere(norm, worst, monkeypatch):
    """Mean difference in levels, of a painting with strong contrasts; a sixth of the picture is sampled."""
    net = network(norm)
    picture = Image.fromarray(np.tile(np.asarray(make_picture(53, 47)), (12, 13, 1)))
    monkeypatch.setattr(tiles, "SAMPLED_PIXELS", 8 * SAMPLE**2)
    statistics = Tiling(net, picture, GRAIN, 2**30).sampled_statistics()
    photo = batch(picture)
    with torch.no_grad():
        exact, painted = (255 * n(photo).clamp(0, 1) for n in (net, freeze(net, statistics)))
    assert (exact - painted).abs().mean() < worst


def test_samples_are_bounded_by_the_memory_and_by_the_picture(monkeypatch):
    seen = []

    def note(net, samples, rim):
        seen.append((samples.shape, rim))
        return []

    monkeypatch.setattr(tiles, "statistics_of_samples", note)
    memory = memory_for(MIN_TILE, 900)
    Tiling(network("in"), make_picture(900, 700), GRAIN, memory).sampled_statistics()
    (count, _, height, width), rim = seen.pop()
    assert (height, width, rim) == (96, 96, (16, 16))
    assert 1 < count <= memory / (height * width * tiles._FROZEN * 4)
    monkeypatch.setattr(tiles, "SAMPLED_PIXELS", 20_000)
    Tiling(network("in"), make_picture(3000, 24), GRAIN, 2**30).sampled_statistics()
    (count, _, height, width), rim = seen.pop()
    assert (height, width, rim) == (24, 96, (8, 16))
    assert 1 < count <= 20_000 / (height * width)


def test_more_memory_than_the_largest_tile_needs_changes_nothing():
    plenty, more = (
        Tiling(network("bn"), make_picture(3000, 2000), GRAIN, memory) for memory in (2**33, 2**40)
    )
    assert (plenty.rows, plenty.columns) == (more.rows, more.columns)
    assert max(cut.outer_stop - cut.outer_start for cut in plenty.rows + plenty.columns) <= LARGEST_TILE


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
    painter, picture = painters(norm), make_picture(190, 110)
    memory = memory_for(MIN_TILE, 190)
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
    painter, photo = painters("bn"), decode(make_picture(180, 121))
    before, memory = photo.rgb.tobytes(), memory_for(MIN_TILE, 180)
    first = painter.paint_photo(photo, max_side, max_memory=memory)
    assert photo.rgb.tobytes() == before
    second = painter.paint_photo(photo, max_side, max_memory=memory, overwrite=True)
    assert second.tobytes() == first.tobytes()
    assert (photo.rgb is second) == (max_side is None)


@pytest.mark.parametrize("max_side", [None, 130])
def test_a_photo_is_not_painted_over_before_it_is_mixed_in(max_side):
    painter, photo, options = painters("bn"), make_picture(150, 101), StyleOptions(0.5, keep_colour=True)
    tiled = painter.paint(photo, max_side, options, max_memory=memory_for(MIN_TILE, 150))
    assert_same_pixels(tiled, painter.paint(photo, max_side, options))


def test_progress_goes_from_nothing_to_one():
    shares = []
    photo = decode(make_picture(190, 110))
    painters("in").paint_photo(
        photo, max_memory=memory_for(MIN_TILE, 190), exact=True, on_progress=shares.append
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


@pytest.mark.parametrize(
    "text", ["", "G", "much", "-1G", "1.5.2G", "1T", "0", "nan", "1e9", "0.1", "9" * 400, "9" * 307 + "G"]
)
def test_what_is_no_size_of_memory(text):
    with pytest.raises(SettingError, match=r"a size such as 800M or 1\.5G, not '"):
        parse_memory(text)
