"""Files of a folder and names of paintings that are out of the ordinary."""

from pathlib import Path

import pytest

from tests.conftest import make_picture
from transformer_net.inference.batch.inputs import find_inputs, painting_path
from transformer_net.inference.ledger import Ledger


def test_a_dangling_link_leaves_the_rest_of_the_folder(tmp_path):
    make_picture(40, 30).save(tmp_path / "z.png")
    (tmp_path / "a.ts").symlink_to(tmp_path / "gone.ts")
    found = find_inputs([tmp_path], tmp_path / "out")
    assert not found.unreadable
    assert {file.photo.name for file in found.files} == {"a.ts", "z.png"}


@pytest.mark.parametrize("style", ["x" * 300, "волна" * 30])
@pytest.mark.parametrize("photo", ["cat", "é" * 125])
def test_a_long_name_of_a_style_is_cut_too(tmp_path, photo, style):
    paths = {
        painting_path(tmp_path, Path("sub", first), second, rest)
        for first in (photo, f"{photo}s")
        for second in (style, f"{style}s")
        for rest in ("-bn-se.webp", ".png")
    }
    assert len(paths) == 8
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.touch()  # a longer one cannot be written
        assert path.name.startswith(photo[:3])
        assert path.name.endswith(("-bn-se.webp", ".png"))


def test_names_are_as_long_as_they_can_be():
    """What has room is not cut, and where only the photo's part is too long, the style's is not."""
    whole, photo, style = (
        painting_path(Path(), Path("p" * first), "s" * second, "-in.png").name
        for first, second in ((100, 147), (250, 4), (3, 250))
    )
    assert whole == f"{'p' * 100}-{'s' * 147}-in.png"
    assert photo.endswith("-ssss-in.png")
    assert style.startswith("ppp-sss")
    assert len(whole) == len(photo) == len(style) == 255


def test_a_photo_that_is_gone_is_not_painted_before(tmp_path):
    """Nothing can be said about what its painting was made of."""
    (tmp_path / "painting.png").touch()
    assert not Ledger(tmp_path).is_done(tmp_path / "painting.png", "")
