"""The comparison sheet."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from PIL import Image

from transformer_net.errors import SettingError
from transformer_net.inference.sheet import arrange, side_by_side

LABELS = ["photo", "batch norm", "instance norm", "batch norm + SE", "IEBN"]


def noise(seed: int, size: tuple[int, int] = (150, 100)) -> Image.Image:
    levels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(levels)


def find(sheet: Image.Image, panel: Image.Image) -> tuple[int, int] | None:
    """Finds where a panel's exact pixels are."""
    big, small = np.asarray(sheet), np.asarray(panel)
    height, width = small.shape[:2]
    for y, x in np.argwhere((big == small[0, 0]).all(axis=2)):
        if np.array_equal(big[y : y + height, x : x + width], small):
            return int(x), int(y)
    return None


def panels(count: int, size: tuple[int, int] = (150, 100)) -> list[tuple[str, Image.Image]]:
    return [(LABELS[index % 5], noise(index, size)) for index in range(count)]


@pytest.mark.parametrize("count", range(1, 6))
@pytest.mark.parametrize("size", [(150, 100), (100, 150), (130, 130), (40, 30)])
def test_pixels_of_all_panels_are_there_unchanged(count: int, size: tuple[int, int]) -> None:
    given = panels(count, size)
    sheet = side_by_side(given)
    places = [find(sheet, picture) for _, picture in given]
    assert None not in places
    assert len(set(places)) == count


def test_photo_stands_alone_beside_two_rows_of_paintings() -> None:
    given = panels(5)
    sheet = side_by_side(given)
    places = [find(sheet, picture) for _, picture in given]
    (photo_x, photo_y), *paintings = [place for place in places if place]
    assert len({x for x, _ in paintings}) == 2
    assert len({y for _, y in paintings}) == 2
    assert photo_x < min(x for x, _ in paintings)
    assert min(y for _, y in paintings) < photo_y < max(y for _, y in paintings)


@pytest.mark.parametrize(
    ("count", "aspect", "shape"),
    [
        (1, 1.5, (1, 1)),
        (2, 1.4, (2, 1)),
        (3, 1.0, (3, 1)),
        (4, 1.4, (2, 2)),
        (4, 0.6, (4, 1)),
        (5, 1.4, (3, 2)),
        (5, 0.6, (5, 1)),
        (5, 3.5, (1, 5)),
        (6, 1.4, (3, 2)),
    ],
)
def test_arrangement(count: int, aspect: float, shape: tuple[int, int]) -> None:
    layout = arrange(count, aspect)
    assert (layout.columns, layout.rows) == shape
    assert len(layout.cells) == count
    for (column, row), (other_column, other_row) in itertools.combinations(layout.cells, 2):
        assert abs(column - other_column) >= 1 or abs(row - other_row) >= 1
    assert max(column for column, _ in layout.cells) == layout.columns - 1
    assert max(row for _, row in layout.cells) == layout.rows - 1


def test_short_last_row_is_centred() -> None:
    given = panels(3, (150, 100))
    sheet = side_by_side(given, columns=2)
    places = [find(sheet, picture) for _, picture in given]
    (left, _), (right, _), (last, _) = (place for place in places if place)
    assert last - left == right - last > 0


def test_panels_have_an_outline() -> None:
    """White skies would run into the paper without."""
    picture = Image.new("RGB", (150, 100), "white")
    sheet = side_by_side([("photo", picture)])
    place = find(sheet, picture)
    assert place is not None
    x, y = place
    paper = sheet.getpixel((0, 0))
    for beside in ((x - 1, y), (x + 150, y), (x, y - 1), (x, y + 100)):
        assert sheet.getpixel(beside) not in (paper, (255, 255, 255))


def test_label_of_a_tiny_panel_uses_the_whole_cell() -> None:
    picture = noise(0, (40, 30))
    sheet = side_by_side([("batch norm + SE", picture)])
    place = find(sheet, picture)
    assert place is not None
    text = np.asarray(sheet)[place[1] + 32 :]
    columns = np.nonzero((text != text[-1, 0]).any(axis=(0, 2)))[0]
    assert columns.min() < place[0]
    assert columns.max() > place[0] + 40


def test_labels_are_written_below_their_panels() -> None:
    picture = noise(0)
    with_text = np.asarray(side_by_side([("photo", picture)]))
    without = np.asarray(side_by_side([("", picture)]))
    assert with_text.shape == without.shape
    rows = np.unique(np.nonzero(with_text != without)[0])
    place = find(side_by_side([("photo", picture)]), picture)
    assert place is not None
    assert rows.min() >= place[1] + picture.height


def test_columns_can_be_chosen() -> None:
    one_row, grid = side_by_side(panels(6), columns=6), side_by_side(panels(6), columns=2)
    assert one_row.width > 2.5 * grid.width
    assert grid.height > 2.5 * one_row.height


def test_text_stays_in_its_cell() -> None:
    """A long label is cut: nothing is written right of the last panel."""
    picture = noise(0)
    sheet = side_by_side([("word " * 60, picture)])
    place = find(sheet, picture)
    assert place is not None
    pixels = np.asarray(sheet)
    beyond = pixels[:, place[0] + picture.width + 2 :]
    assert (beyond == beyond[0, 0]).all()


def test_accents_and_signs_do_not_turn_into_boxes() -> None:
    picture = noise(0)
    for fancy, plain in [
        ("Cézanne", "Cezanne"),
        ("640 \u00d7 427", "640 x 427"),
        ("\u20131", "-1"),
    ]:
        assert side_by_side([(fancy, picture)]) == side_by_side([(plain, picture)])


def test_panel_side_bounds_the_panels() -> None:
    small = side_by_side(panels(2, (400, 200)), panel_side=200)
    assert small.size == side_by_side(panels(2, (200, 100))).size


def test_panels_of_different_sizes_are_brought_to_one() -> None:
    given = [("photo", noise(0, (300, 200))), ("IEBN", noise(1, (150, 100)))]
    assert side_by_side(given).size == side_by_side(panels(2, (150, 100))).size


def test_portrait_beside_landscape_is_centred() -> None:
    given = [("photo", noise(0, (150, 100))), ("IEBN", noise(1, (100, 150)))]
    sheet = side_by_side(given)
    first, second = (find(sheet, picture) for _, picture in given)
    assert first
    assert second
    assert first[1] - second[1] == 25


def test_transparency_is_laid_over_white() -> None:
    picture = Image.new("RGBA", (150, 100), (255, 0, 0, 0))
    assert find(side_by_side([("photo", picture)]), Image.new("RGB", (150, 100), "white"))


def test_arguments_are_not_changed_and_the_result_repeats() -> None:
    given = panels(3)
    first = side_by_side(given)
    assert first == side_by_side(given)
    assert given[0][1].tobytes() == noise(0).tobytes()


def test_misuse() -> None:
    with pytest.raises(ValueError, match="at least one"):
        side_by_side([])
    with pytest.raises(SettingError):
        side_by_side(panels(2), panel_side=0)
