"""Content photos: which files, which crops, in which order."""

import errno
import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import make_picture
from transformer_net.errors import ContentError
from transformer_net.training.content import EXAMPLES, ContentBatches, ContentPhotos, open_content


def batches(folder, **options):
    settings = {"batch_size": 3, "crop_scale": 0.3, "seed": 0} | options
    return ContentBatches(ContentPhotos.from_folder(folder), **settings)


def test_folder_is_searched_below_and_split(photo_folder):
    photos = ContentPhotos.from_folder(photo_folder)
    assert len(photos.training) == 11
    assert len(photos.validation) == 1
    assert not set(photos.training) & set(photos.validation)
    assert photos.name == "photos"


def test_split_does_not_depend_on_where_the_folder_is(photo_folder, tmp_path):
    before = {p.name for p in ContentPhotos.from_folder(photo_folder).validation}
    moved = photo_folder.rename(tmp_path / "elsewhere")
    assert {p.name for p in ContentPhotos.from_folder(moved).validation} == before


def test_at_most_eight_photos_are_kept_aside(tmp_path):
    for i in range(120):
        Image.new("RGB", (20, 20)).save(tmp_path / f"{i}.png")
    photos = ContentPhotos.from_folder(tmp_path)
    assert (len(photos.training), len(photos.validation)) == (112, 8)


def test_a_broken_photo_is_not_kept_aside(photo_folder):
    chosen = ContentPhotos.from_folder(photo_folder).validation[0]
    chosen.write_bytes(b"\xff\xd8\xff broken")
    photos = ContentPhotos.from_folder(photo_folder)
    assert chosen not in photos.validation
    assert len(list(photos.validation_tensors(32))) == 1
    assert chosen in photos.broken


def test_a_single_photo_is_enough(tmp_path):
    make_picture(64, 64).save(tmp_path / "only.png")
    photos = ContentPhotos.from_folder(tmp_path)
    assert len(photos.training) == len(photos.validation) == 1


def test_nothing_given_means_the_shipped_examples():
    photos = open_content(None)
    files = photos.training + photos.validation
    assert {p.parent for p in files} == {EXAMPLES}
    assert len(files) >= 4
    assert photos.name == "shipped examples"


def test_empty_folder(tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(ContentError, match="holds no picture"):
        open_content(str(tmp_path))


def test_unknown_name_lists_the_data_sets():
    with pytest.raises(ContentError, match=r"nosuch does not exist.*imagenette"):
        open_content("nosuch")


def test_file_instead_of_folder(tmp_path):
    file = tmp_path / "a.jpg"
    make_picture(32, 32).save(file)
    with pytest.raises(ContentError, match=r"a\.jpg is not a folder"):
        open_content(str(file))


def test_failed_download_is_one_sentence(monkeypatch, tmp_path):
    import torchvision

    from transformer_net.training import content

    def refuse(*args, **options):
        raise OSError("no route to host")

    monkeypatch.setattr(content, "DOWNLOADS", tmp_path)
    monkeypatch.setattr(torchvision.datasets, "Imagenette", refuse)
    with pytest.raises(ContentError, match=r"imagenette could not be downloaded.*no route"):
        open_content("Imagenette")
    assert not (tmp_path / "imagenette").exists()


def test_downloaded_data_set_is_searched(monkeypatch, tmp_path):
    import torchvision

    from transformer_net.training import content

    def download(root, **options):
        folder = root / "imagenette2-320" / "train" / "n1"
        folder.mkdir(parents=True)
        make_picture(40, 40).save(folder / "a.jpg")

    monkeypatch.setattr(content, "DOWNLOADS", tmp_path)
    monkeypatch.setattr(torchvision.datasets, "Imagenette", download)
    half = tmp_path / "imagenette.part" / "imagenette2-320"  # of a download that was interrupted
    half.mkdir(parents=True)
    make_picture(40, 40).save(half / "b.jpg")
    photos = open_content("imagenette")
    assert photos.name == "torchvision imagenette"
    assert [p.name for p in photos.training] == ["a.jpg"]
    monkeypatch.setattr(torchvision.datasets, "Imagenette", None)
    assert open_content("imagenette").training == photos.training


def test_masks_and_hidden_files_are_no_photos(monkeypatch, tmp_path):
    import torchvision

    from transformer_net.training import content

    def download(root, **options):
        for name in ("images/a.jpg", "images/._a.jpg", "annotations/trimaps/a.png"):
            path = root / "oxford-iiit-pet" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            make_picture(40, 40).save(path)

    monkeypatch.setattr(content, "DOWNLOADS", tmp_path)
    monkeypatch.setattr(torchvision.datasets, "OxfordIIITPet", download)
    assert [p.name for p in open_content("pets").training] == ["a.jpg"]


def test_broken_files_are_skipped_counted_and_named(photo_folder, caplog):
    for path in photo_folder.rglob("photo[0-5].jpg"):
        path.write_bytes(path.read_bytes()[:200])
    photos = ContentPhotos.from_folder(photo_folder)
    with caplog.at_level(logging.WARNING):
        for i in range(len(photos.training)):
            assert photos.photo(i).mode == "RGB"
            photos.photo(i)
    assert not set(photos.validation) & set(photos.broken)
    broken = {p for p in photos.training if p.name in {f"photo{i}.jpg" for i in range(6)}}
    assert set(photos.broken) == broken
    assert len(caplog.records) == len(broken)  # each is named once


def test_all_broken(tmp_path):
    for i in range(3):
        (tmp_path / f"{i}.jpg").write_bytes(b"\xff\xd8\xff nothing")
    with pytest.raises(ContentError, match="None of the 3"):
        ContentPhotos.from_folder(tmp_path)


@pytest.mark.parametrize("broken", [["0.jpg", "1.jpg"], ["2.jpg"]])  # looked at before a.png, or after it
def test_one_readable_photo_among_broken_ones_is_enough(tmp_path, broken):
    make_picture(64, 48).save(tmp_path / "a.png")
    for name in broken:
        (tmp_path / name).write_bytes(b"\xff\xd8\xff nothing")
    photos = ContentPhotos.from_folder(tmp_path)
    assert photos.validation == [tmp_path / "a.png"]
    assert photos.photo(0).size == (64, 48)


def test_a_photo_that_vanishes_is_skipped(photo_folder):
    photos = ContentPhotos.from_folder(photo_folder)
    photos.training[0].unlink()
    assert photos.photo(0).size == photos.photo(1).size
    assert photos.training[0] in photos.broken


def with_number(batch, iteration):
    return batch, iteration


def test_batches_are_a_function_of_seed_and_iteration(photo_folder):
    one, two = batches(photo_folder), batches(photo_folder)
    list(one.iterate(0, lambda i: 32, with_number, 5))
    assert torch.equal(one.batch(7, 32), two.batch(7, 32))
    assert not torch.equal(one.batch(7, 32), one.batch(8, 32))
    assert not torch.equal(one.batch(7, 32), batches(photo_folder, seed=1).batch(7, 32))


@pytest.mark.parametrize("threads", [1, 3])
def test_prefetching_keeps_the_order(photo_folder, threads):
    source = batches(photo_folder)
    sizes = lambda i: 32 if i < 4 else 40  # noqa: E731
    ahead = list(source.iterate(2, sizes, with_number, 9, threads))
    assert [b.shape[-1] for b, _ in ahead] == [32, 32, 40, 40, 40, 40, 40]
    for iteration, (batch, number) in enumerate(ahead, 2):
        assert number == iteration
        assert torch.equal(batch, source.batch(iteration, sizes(iteration)))


def test_every_photo_is_seen_once_an_epoch(tmp_path):
    """Flat photos, each of its own grey: the grey of a crop tells which photo it is."""
    for i in range(10):
        Image.new("RGB", (50, 40), (20 * i,) * 3).save(tmp_path / f"{i}.png")
    source = batches(tmp_path, batch_size=1)
    count = len(source.photos.training)
    for epoch in range(2):
        seen = [round(source.batch(epoch * count + i, 32).mean().item() * 255 / 20) for i in range(count)]
        assert len(set(seen)) == count
    first = [source.batch(i, 32).mean().item() for i in range(count)]
    second = [source.batch(count + i, 32).mean().item() for i in range(count)]
    assert first != second  # another order


def test_crops_are_in_range_and_vary(photo_folder):
    batch = batches(photo_folder, batch_size=8).batch(0, 48)
    assert batch.shape == (8, 3, 48, 48)
    assert batch.min() >= 0
    assert batch.max() <= 1
    assert batch.std() > 0.05


def test_half_of_the_crops_are_mirrored(tmp_path):
    """A photo that gets lighter to the right: a mirrored crop gets lighter to the left."""
    ramp = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (64, 1))
    for i in range(2):
        Image.fromarray(ramp).save(tmp_path / f"{i}.png")
    source = batches(tmp_path, batch_size=100)
    batch = source.batch(0, 32)
    mirrored = (batch[..., -1].mean((1, 2)) < batch[..., 0].mean((1, 2))).sum().item()
    assert 30 <= mirrored <= 70


def test_validation_squares(photo_folder):
    photos = ContentPhotos.from_folder(photo_folder)
    squares = list(photos.validation_tensors(40))
    assert [s.shape for s in squares] == [(1, 3, 40, 40)]


def test_links_are_followed_once_and_hidden_folders_left_out(tmp_path):
    """Photos are often on another disk. A link may lead back to where it lies."""
    folder, elsewhere = tmp_path / "photos", tmp_path / "disk" / "holiday"
    for place in (folder, folder / ".thumbnails", elsewhere):
        place.mkdir(parents=True)
        make_picture(64, 64, seed=len(place.name)).save(place / f"{place.name}.png")
    (folder / "linked").symlink_to(elsewhere)
    (folder / "back").symlink_to(folder)
    photos = ContentPhotos.from_folder(folder)
    assert {path.name for path in photos.training + photos.validation} == {"photos.png", "holiday.png"}
    assert len(photos.training + photos.validation) == 2


def test_a_folder_that_cannot_be_read_is_named(photo_folder, monkeypatch, caplog):
    scan, shut = os.scandir, photo_folder / "shut"
    shut.mkdir()

    def refused(path):
        if str(path) == str(shut):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refused)
    with caplog.at_level(logging.WARNING):
        ContentPhotos.from_folder(photo_folder)
    assert f"Skipping the folder {shut}: Permission denied" in caplog.text


def test_an_empty_name_is_not_the_present_folder():
    with pytest.raises(ContentError, match="empty name"):
        open_content("")


def test_a_data_set_is_downloaded_by_one_of_several(monkeypatch, tmp_path):
    """The processes of torchrun all ask for it."""
    begun = []

    def imagenette(root, size, download):
        begun.append(root)
        time.sleep(0.1)
        make_picture(64, 64).save(root / "photo.png")

    monkeypatch.setattr("transformer_net.training.content.DOWNLOADS", tmp_path / "datasets")
    monkeypatch.setattr("torchvision.datasets.Imagenette", imagenette)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(open_content, ["imagenette"] * 4))
    assert len(begun) == 1
    assert all(len(photos.training) == 1 for photos in found)
