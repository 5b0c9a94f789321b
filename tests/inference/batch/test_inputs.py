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
def test_a_name_without_room_is_still_found(style):
    """The rest of the name alone is too long; the search for a shorter stem ends."""
    path = painting_path(Path("out"), Path("photo"), f"-{style}-in.png")
    assert path.name.endswith(f"-{style}-in.png")


def test_a_photo_that_is_gone_is_not_painted_before(tmp_path):
    """Nothing can be said about what its painting was made of."""
    (tmp_path / "painting.png").touch()
    assert not Ledger(tmp_path).is_done(tmp_path / "painting.png", "")
