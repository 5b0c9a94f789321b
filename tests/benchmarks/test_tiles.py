"""What the figures of large pictures are taken from."""

import numpy as np
from PIL import Image

from benchmarks.tiles import ROOT, enlarged, near
from transformer_net.inference.tiling.tiles import cuts
from transformer_net.network import MARGIN


def test_a_photo_is_enlarged_to_its_megapixels_and_has_detail(tmp_path):
    enlarged(ROOT / "examples" / "coffee.jpg", 0.3, tmp_path / "photo.jpg")
    with Image.open(tmp_path / "photo.jpg") as photo:
        assert abs(photo.width * photo.height / 0.3e6 - 1) < 0.01
        assert np.abs(np.diff(np.asarray(photo).astype(int), axis=0)).mean() > 5


def test_what_is_near_a_border_of_tiles():
    length = 400
    at_border = near(cuts(length + 2 * MARGIN, 150), length)
    assert at_border.tolist() == [
        min(abs(i + 0.5 - border) for border in (128, 272)) < 8 for i in range(length)
    ]
    assert not near(cuts(length + 2 * MARGIN, 1000), length).any()
