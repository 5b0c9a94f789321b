"""Two styles by a mask."""

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import make_picture
from transformer_net.checkpoint import ModelInfo
from transformer_net.errors import UnsupportedImageError
from transformer_net.imaging.decode import decode
from transformer_net.inference.masked_stylizer import MaskedStylizer
from transformer_net.inference.options.mask import merged, read_mask
from transformer_net.inference.options.style_options import StyleOptions
from transformer_net.inference.stylizer import Stylizer
from transformer_net.network import TransformerNet

SIZE = (60, 44)


@pytest.fixture(scope="module")
def pair():
    made = []
    for seed, style in enumerate(("one", "other")):
        torch.manual_seed(seed)
        made.append(Stylizer(TransformerNet("bn", 4), ModelInfo("bn", 4, style=style, grain=0.05)))
    return made


def test_black_is_the_first_and_white_the_second(pair):
    photo = decode(make_picture(*SIZE))
    mask = Image.new("L", SIZE)
    mask.paste(255, (30, 0, 60, 44))
    painter = MaskedStylizer(*pair, mask)
    assert (painter.info.style, painter.info.norm) == ("one-other", "bn")
    both, one, other = (np.asarray(p.paint_photo(photo)) for p in (painter, *pair))
    assert (both[:, :30] == one[:, :30]).all()
    assert (both[:, 30:] == other[:, 30:]).all()
    assert (one != other).any()


def test_grey_mixes_light():
    black, white = Image.new("RGB", (4, 4)), Image.new("RGB", (4, 4), "white")
    half = merged(black, white, Image.new("L", (4, 4), 128)).getpixel((0, 0))
    assert half == (188, 188, 188)  # 128/255 of the light, as sRGB encodes it


def test_masks_are_stretched_and_photos_shrunk_first(pair):
    picture = make_picture(120, 88).convert("RGBA")
    picture.putalpha(Image.linear_gradient("L").resize((120, 88)))
    mask = Image.new("L", (2, 1))
    mask.putpixel((1, 0), 255)
    painting = MaskedStylizer(*pair, mask).paint_photo(decode(picture), 60)
    assert (painting.mode, painting.size) == ("RGBA", SIZE)
    one = pair[0].paint_photo(decode(picture), 60)
    assert np.array_equal(np.asarray(painting)[:, :10], np.asarray(one)[:, :10])


def test_both_are_painted_in_tiles_and_the_progress_is_told(pair):
    photo = decode(make_picture(150, 130))
    told = []
    painter = MaskedStylizer(*pair, Image.linear_gradient("L"))
    whole = painter.paint_photo(photo)
    tiles = painter.paint_photo(photo, max_memory=4_500_000, overwrite=True, on_progress=told.append)
    assert np.abs(np.asarray(whole).astype(int) - np.asarray(tiles)).max() <= 1
    assert told == sorted(told)
    assert told[-1] == 1


def test_the_look_is_that_of_both(pair):
    photo = decode(make_picture(*SIZE))
    mask = Image.linear_gradient("L").resize(SIZE)
    painting = MaskedStylizer(*pair, mask).paint_photo(photo, options=StyleOptions(0.5))
    assert (
        painting.tobytes()
        == merged(*(p.paint_photo(photo, options=StyleOptions(0.5)) for p in pair), mask).tobytes()
    )
    assert (
        MaskedStylizer(*pair, mask).paint_photo(photo, options=StyleOptions(0)).tobytes()
        == photo.rgb.tobytes()
    )


def test_fingerprints_tell_masks_and_orders_apart(pair):
    one, other = Image.new("L", (2, 2)), Image.new("L", (1, 4))
    prints = {MaskedStylizer(*pair, one).fingerprint(), MaskedStylizer(*pair, other).fingerprint()}
    prints.add(MaskedStylizer(*pair[::-1], one).fingerprint())
    assert len(prints) == 3


def test_masks_are_read_as_photos_are():
    mask = read_mask(Image.new("RGBA", (20, 20), (0, 0, 0, 0)))
    assert (mask.mode, mask.getextrema()) == ("L", (255, 255))
    with pytest.raises(UnsupportedImageError):
        read_mask(b"no mask")
