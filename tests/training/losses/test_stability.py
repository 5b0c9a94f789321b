"""What the losses on lattice and flicker look at, and what they leave alone."""

import numpy as np
import pytest
import torch

from transformer_net.training.losses.stability import (
    ZOOMS,
    SecondView,
    consistency,
    enlarged,
    lattice,
    second_view,
)


@pytest.fixture
def photo():
    return torch.rand(4, 3, 96, 96, generator=torch.Generator().manual_seed(1))


def rng():
    return np.random.default_rng(3)


def alone(value):
    return value


def checks(side=96):
    """Waves of 4 px, down and to the right, −1 to 1."""
    phase = torch.pi / 2 * torch.arange(side)
    return torch.cos(phase) * torch.cos(phase)[:, None]


def test_a_pattern_that_all_paintings_share_is_found(photo):
    faint = lattice(0.1 * photo + 0.1 * checks(), alone, 4)
    assert faint - lattice(0.1 * photo, alone, 4) == pytest.approx(1 / 15, rel=0.3)  # one wave of fifteen


@pytest.mark.parametrize("size", [0.01, 1.0])
def test_it_is_judged_by_the_strokes_of_its_own_length(photo, size):
    """Whatever their size; and a pattern that cannot be seen is none."""
    found = lattice(size * (photo + 0.1 * checks()), alone, 4)
    assert found == pytest.approx(lattice(photo + 0.1 * checks(), alone, 4).item(), rel=0.1)
    assert lattice((2e-6 * checks()).expand(4, 3, 96, 96), alone, 4) < 0.01


def test_what_each_painting_has_of_its_own_is_not_punished(photo):
    own = torch.stack([checks(), -checks(), checks().roll(1, 0), -checks().roll(1, 0)])[:, None]
    assert lattice(photo + own, alone, 4) < lattice(photo, alone, 4)


def test_a_pattern_of_8_px_is_no_lattice(photo):
    longer = torch.cos(torch.pi / 4 * torch.arange(96))
    found = lattice(photo + longer * longer[:, None], alone, 4)
    torch.testing.assert_close(found, lattice(photo, alone, 4), rtol=1e-3, atol=1e-4)


def test_a_lattice_of_paintings_in_two_processes(photo):
    parts = (photo + 0.1 * checks()).split(2)
    of_all = iter([(a + b) / 2 for a, b in zip(*map(averaged, parts), strict=True)])
    found = lattice(parts[0], lambda value: next(of_all), 4)
    torch.testing.assert_close(found, lattice(torch.cat(parts), alone, 4), rtol=1e-4, atol=0)


def averaged(painting):
    """What `lattice` averages over the processes."""
    seen = []
    lattice(painting, lambda value: seen.append(value) or value, len(painting))
    return seen


def test_photos_are_enlarged_now_and_then():
    """Of a ramp, a part is a flatter ramp."""
    across = torch.linspace(0, 1, 96).expand(2, 3, 96, 96).contiguous()
    generator, slopes = rng(), []
    for _ in range(40):
        part = enlarged(across, generator, ZOOMS)
        assert part.shape == across.shape
        assert part.min() >= 0
        assert part.max() <= 1
        inner = part[0, 0, 48, 8:-8]
        slopes.append(round((79 / 95 / (inner[-1] - inner[0])).item()))
    assert set(slopes) == {1, 2, 4}


def test_the_second_view_is_the_first_a_few_pixels_on(photo):
    grainy = photo + 0.3
    view = second_view(photo, grainy, rng(), 0, 4)
    place = photo.index_select(2, view.rows).index_select(3, view.columns)
    assert view.photo.shape == place.shape == (4, 3, 93, 93)
    rest = view.photo - 0.3 - place
    assert 0.004 < rest.std() < 0.03
    assert rest.abs().max() < 0.1
    assert consistency(photo, place, view) == 0
    moved = SecondView(view.photo, view.rows.flip(0), view.columns)
    assert consistency(photo, place, moved) > 0.1


def test_two_processes_see_what_one_does(photo):
    parts = [second_view(photo[i : i + 2], photo[i : i + 2], rng(), i, 4).photo for i in (0, 2)]
    assert torch.equal(torch.cat(parts), second_view(photo, photo, rng(), 0, 4).photo)
