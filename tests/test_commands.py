"""The commands as a person types them: files, exit codes, sentences."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import ExifTags, Image

import stylize as stylize_module
import train_style as train_module
from benchmarks.video import Walk, make_clip
from styles import blend
from styles.catalog import find_style
from stylize import export, stylize
from tests.conftest import make_picture
from train_style import train
from transformer_net import commandline
from transformer_net.checkpoint import load_model, read_info
from transformer_net.imaging import encode
from transformer_net.imaging.decode import Limits
from transformer_net.inference.batch.inputs import InputFile, find_inputs
from transformer_net.inference.batch.runner import BatchPlan, paint_photos
from transformer_net.inference.ledger import LEDGER
from transformer_net.inference.options.style_options import StyleOptions
from transformer_net.inference.stylizer import Stylizer
from transformer_net.inference.tiling.tiles import DEFAULT_MEMORY

ROOT = Path(__file__).parents[1]
TINY = ["--iterations", "4", "--warmup-iterations", "2", "--batch-size", "1", "--size", "32", "--width", "4"]


def command(script, *arguments, cwd, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    return subprocess.Popen(
        [sys.executable, str(ROOT / script), *map(str, arguments)],
        cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
    )  # fmt: skip


def run(script, *arguments, cwd):
    process = command(script, *arguments, cwd=cwd)
    out, err = process.communicate(timeout=240)
    assert "Traceback" not in out + err
    return process.returncode, out, err


@pytest.fixture
def invoke(tmp_path, monkeypatch, capsys):
    """Runs a command in this process, which spares the import of torch: exit code, output, errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run_here(verb, *arguments):
        monkeypatch.setattr(sys, "argv", [verb.__name__, *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            commandline.run(verb)
        out, err = capsys.readouterr()
        return stopped.value.code, out, err

    return run_here


@pytest.fixture
def photo(tmp_path):
    make_picture(50, 41).save(tmp_path / "cat.jpg")
    return tmp_path / "cat.jpg"


@pytest.mark.slow
def test_stylize_with_all_normalizers(photo, tmp_path):
    code, out, err = run("stylize.py", photo, "--style", "mosaic", "--norm", "all", "-o", "out", cwd=tmp_path)
    assert (code, err) == (0, "")
    names = {f"cat-mosaic-{slug}.png" for slug in ("bn", "in", "bn-se", "iebn")}
    files = {path.name: Image.open(path) for path in (tmp_path / "out").iterdir()}
    assert files.keys() == names | {"cat-mosaic.png"}
    assert {files[name].size for name in names} == {(50, 41)}
    assert len({files[name].tobytes() for name in names}) == 4
    assert files["cat-mosaic.png"].width > 5 * 41
    assert all(name in out for name in files)


def test_stylize_goes_on_after_a_broken_photo(photo, tmp_path, invoke):
    (tmp_path / "broken.jpg").write_bytes(photo.read_bytes()[:300])
    options = ["--norm", "IN", "--format", "jpg", "--max-side", "32"]
    code, out, err = invoke(stylize, "broken.jpg", photo, *options)
    assert code == 1
    assert "1 of 2 could not be painted" in out
    assert err.count("\n") == 1
    assert err.startswith("broken.jpg: ")
    assert Image.open(tmp_path / "out" / "cat-mosaic-in.jpg").size == (32, 26)
    assert not list((tmp_path / "out").glob("broken*"))


def test_stylize_in_a_blend(photo, invoke, monkeypatch):
    code, _, err = invoke(stylize, photo, "--style", "wave:0.6,starry:0.4", "--norm", "in,iebn")
    assert (code, err) == (0, "")
    names = {f"cat-wave60-starry40{suffix}.png" for suffix in ("-in", "-iebn", "")}
    assert {path.name for path in Path("out").iterdir()} == names

    def without_base(path):
        network, info = load_model(path)
        info.training.pop("base_sha256")
        return network, info

    monkeypatch.setattr(blend, "load_model", without_base)
    code, _, err = invoke(stylize, photo, "--style", "wave,ink")
    assert code == 2
    assert err == "wave and ink cannot be blended with bn: wave was not trained from a base network.\n"


def test_stylize_like_a_picture(photo, invoke, predictors):
    make_picture(90, 80, seed=3).save("My art.png")
    assert invoke(stylize, photo, "--style-picture", "My art.png")[0] == 0
    names = {f"cat-my art{suffix}.png" for suffix in ("", "-bn", "-in", "-bn-se", "-iebn")}
    assert {path.name for path in Path("out").iterdir()} == names
    for style, name in (("My art.png", "my art"), ("My art.png:1,wave:3", "my art25-wave75")):
        code, _, err = invoke(stylize, photo, "--style", style, "--norm", "in", "-o", "other")
        assert (code, err) == (0, "")
        assert (Path("other") / f"cat-{name}-in.png").is_file()
    first, again, blend = (Path(f"{at}-in.png").read_bytes() for at in (
        "out/cat-my art", "other/cat-my art", "other/cat-my art25-wave75"
    ))  # fmt: skip
    assert first == again != blend


def test_the_longest_name_of_a_style_picture(photo, invoke, predictors):
    make_picture(90, 80, seed=3).save(picture := f"{'s' * 250}.png")
    code, _, err = invoke(stylize, photo, "--style-picture", picture, "--norm", "bn,in")
    assert (code, err) == (0, "")
    assert len({path.name.removeprefix("cat-sss") for path in Path("out").iterdir()}) == 3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--style-picture", "no.jpg"], "There is no style picture no.jpg."),
        (["--style", "no.jpg:0.5,wave:0.5"], "There is no style picture no.jpg."),
        (["--style-picture", "cat.jpg", "--style", "wave"], "leave out --style and --mask."),
        (
            ["--style-picture", "cat.jpg", "--model", "m.safetensors"],
            "Give --model or --style-picture, not both.",
        ),
        (["--style-picture", "cat.jpg"], "Style picture cat.jpg: A style picture needs 64 pixels"),
    ],
)
def test_style_pictures_that_cannot_be_used(photo, invoke, predictors, arguments, sentence):
    code, out, err = invoke(stylize, photo, *arguments)
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1


def test_stylize_by_half_and_in_the_photo_s_colours(photo, invoke):
    paintings = {}
    looks = {
        "full": [],
        "half": ["--strength", "0.5"],
        "own": ["--keep-colour"],
        "large": ["--stroke-scale", "2"],
    }
    for name, options in looks.items():
        assert invoke(stylize, photo, "--norm", "in", "-o", name, *options)[0] == 0
        paintings[name] = np.asarray(Image.open(f"{name}/cat-mosaic-in.png")).astype(float)
    original = np.asarray(Image.open(photo).convert("RGB")).astype(float)
    assert np.abs(paintings["half"] - (paintings["full"] + original) / 2).max() <= 1
    assert np.abs(paintings["own"] - paintings["full"]).mean() > 3
    assert paintings["large"].shape == paintings["full"].shape
    assert np.abs(paintings["large"] - paintings["full"]).mean() > 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--strength", "1.5"], "The strength must be within 0 and 1, not 1.5."),
        (["--stroke-scale", "0.5"], "The stroke scale must be within 1 and 8, not 0.5."),
        (["--precision", "int8", "--engine", "torch"], "The precision int8 needs the engine openvino"),
        (["--style", "nosuch"], "There is no style 'nosuch'; choose one of "),
        (["--norm", "layer"], "There is no normalizer 'layer'; choose one of bn, in, bn+se, iebn."),
        (["--format", "xpm"], "Paintings can be written as png, jpeg or webp only."),
        (["--device", "tpu9"], "The device 'tpu9' is not available on this machine."),
        (["--device", "meta"], "The device 'meta' is not available on this machine."),
        (["--model", "none.safetensors"], "The model file none.safetensors cannot be read"),
        (["--max-memory", "lots"], "The memory must be a size such as 800M or 1.5G, not 'lots'."),
        (["--mask", "no.png", "--style", "wave,ink"], "no.png: There is no file 'no.png'."),
        (["-o", "cat.jpg/out"], "The folder cat.jpg/out cannot be written to: Not a directory."),
        (["x" * 300 + ".jpg"], "x.jpg cannot be read: File name too long."),
        (["--max-memory", "1M"], "cat.jpg: Painting this picture with this model needs at least "),
    ],
)
def test_stylize_mistakes_are_one_sentence(photo, invoke, arguments, sentence):
    code, out, err = invoke(stylize, photo, *arguments)
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1


@pytest.mark.slow
def test_stylize_in_tiles(tmp_path, invoke):
    """Little memory, all normalizers: tiles, by a photo that the painting before has not painted over."""
    make_picture(150, 120).save(tmp_path / "dog.png")
    assert invoke(stylize, "dog.png", "--norm", "bn,iebn", "-o", "whole")[0] == 0
    code, _, err = invoke(
        stylize, "dog.png", "--norm", "bn,iebn", "--max-memory", "15M", "--exact", "-o", "tiles"
    )
    assert (code, err) == (0, "")
    for name in ("dog-mosaic-bn.png", "dog-mosaic-iebn.png", "dog-mosaic.png"):
        whole, tiles = (
            np.asarray(Image.open(tmp_path / out / name)).astype(int) for out in ("whole", "tiles")
        )
        assert np.abs(whole - tiles).max() <= 1


def test_exif_is_kept_only_if_asked(tmp_path, invoke):
    exif = Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Orientation] = "Camera & Sons", 6
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    make_picture(50, 41).save(tmp_path / "cat.jpg", exif=exif)
    found = {}
    for name, options in {"none": [], "exif": ["--keep-exif"], "gps": ["--keep-gps"]}.items():
        options = ["cat.jpg", "--norm", "in", "--format", "jpg", "--engine", "torch", "-o", name, *options]
        assert invoke(stylize, *options)[0] == 0
        painting = Image.open(f"{name}/cat-mosaic-in.jpg")
        assert painting.size == (41, 50)
        found[name] = painting.getexif()
    assert not found["none"]
    assert dict(found["exif"]) == {ExifTags.Base.Make: "Camera & Sons"}
    assert found["gps"].get_ifd(ExifTags.IFD.GPSInfo) == {ExifTags.GPS.GPSLatitudeRef: "N"}


def test_options_that_a_model_file_cannot_have(photo, invoke):
    model = find_style("wave").model("in")
    code, _, err = invoke(stylize, photo, "--model", model, "--match-palette")
    assert (code, err.count("\n")) == (2, 1)
    assert "a model file comes without its style picture" in err
    code, _, err = invoke(stylize, photo, "--model", model, "--mask", photo)
    assert (code, err) == (2, "A mask needs two styles of the catalogue, not a model file.\n")


@pytest.mark.parametrize("option", [["--style", "wave"], ["--norm", "in"]])
@pytest.mark.parametrize("command", [stylize, export])
def test_style_and_norm_beside_a_model_file_are_refused(photo, invoke, command, option):
    """It has its own: what was asked for would not be what is painted."""
    model = find_style("wave").model("in")
    arguments = [photo] if command is stylize else []
    code, out, err = invoke(command, *arguments, "--model", model, *option)
    assert (code, out) == (2, "")
    assert err == f"{model} has a style and a normalizer already: leave out --style and --norm.\n"


@pytest.fixture
def folder(tmp_path):
    """Six photos in three folders, two of them broken."""
    folder = tmp_path / "photos"
    for name in ("a.jpg", "a.png", "sub/b.jpg", "sub/deep/c.webp"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        make_picture(40, 30, seed=len(name)).save(folder / name)
    (folder / "sub" / "broken.jpg").write_bytes((folder / "a.jpg").read_bytes()[:200])
    (folder / "empty.png").touch()
    (folder / "notes.txt").write_text("no photo")
    (folder / "code.ts").write_text("const name = 'no transport stream'")
    (folder / ".hidden.jpg").write_bytes(b"")
    return folder


def paintings(out):
    return {path.relative_to(out).as_posix(): path.stat().st_mtime_ns for path in out.rglob("*.*")
            if path.is_file() and path.name != LEDGER}  # fmt: skip


@pytest.mark.slow
def test_a_folder_is_painted_once(folder, tmp_path, invoke):
    options = [folder, "--norm", "bn,in", "-o", folder / "out", "--jobs", "3"]
    code, out, err = invoke(stylize, *options)
    assert code == 1
    assert "2 of 6 could not be painted" in out
    assert err.splitlines() == [
        f"{folder}/empty.png: The file is empty.",
        f"{folder}/sub/broken.jpg: The JPEG picture is damaged, truncated, or of a kind that cannot be read.",
    ]
    assert f"2 files are no pictures or videos: {folder}/code.ts, {folder}/notes.txt\n" in out
    done = paintings(folder / "out")
    stems = ("a-jpg", "a-png", "sub/b", "sub/deep/c")
    assert done.keys() == {f"{s}-mosaic{n}.png" for s in stems for n in ("-bn", "-in", "")}

    code, out, err = invoke(stylize, *options)  # everything is there: only the broken ones are tried again
    assert (code, err.count("\n")) == (1, 2)
    assert "4 of 6 already painted" in out
    assert paintings(folder / "out") == done

    # a changed photo, a lost painting, a note that a crash cut short: just these are painted again
    make_picture(40, 30, seed=9).save(folder / "a.png")
    (folder / "out" / "sub" / "b-mosaic-in.png").unlink()
    ledger = folder / "out" / LEDGER
    ledger.write_text(ledger.read_text() + '\n{"file": "sub/deep/c-mos')
    assert invoke(stylize, *options)[0] == 1
    again = paintings(folder / "out")
    assert {name.split("-mosaic")[0] for name in again if again[name] != done[name]} == {"a-png", "sub/b"}

    assert "already painted" not in invoke(stylize, *options, "--strength", "0.5")[1]
    assert "already painted" not in invoke(stylize, *options)[1]  # not the first run's any more


def test_what_was_painted_over_is_painted_again(folder, tmp_path, invoke):
    """A painting of its own has the name of the folder's, but other settings."""
    options = ["--norm", "in", "-o", "out"]
    assert invoke(stylize, folder / "sub" / "b.jpg", *options)[0] == 0
    assert not (tmp_path / "out" / LEDGER).exists()
    assert invoke(stylize, folder, *options)[0] == 1
    whole = (tmp_path / "out" / "a-jpg-mosaic-in.png").read_bytes()
    assert invoke(stylize, folder / "a.jpg", folder / "a.png", *options, "--strength", "0.1")[0] == 0
    assert (tmp_path / "out" / "a-jpg-mosaic-in.png").read_bytes() != whole
    assert "2 of 6 already painted" in invoke(stylize, folder, *options)[1]
    assert (tmp_path / "out" / "a-jpg-mosaic-in.png").read_bytes() == whole


def test_a_broken_photo_does_not_stay_in_memory(tmp_path):
    broken = tmp_path / "broken.png"
    make_picture(40, 30).save(broken)
    broken.write_bytes(broken.read_bytes()[:-900])
    painter = Stylizer.from_style("mosaic", "in", engine="torch")
    batch = BatchPlan(
        stylizers=[painter],
        out=tmp_path,
        kind="png",
        max_side=None,
        options=StyleOptions(),
        memory=DEFAULT_MEMORY,
        exact=False,
        ledger=None,
        skip=False,
        keep_exif=False,
        keep_gps=False,
        limits=Limits(),
    )
    (error,) = paint_photos([InputFile(broken, Path("broken"))], batch, 1).values()
    assert "damaged" in str(error)
    assert (error.__traceback__, error.__context__, error.__cause__) == (None, None, None)


def test_what_a_format_cannot_hold_is_said_before_it_is_painted(photo, invoke, monkeypatch):
    monkeypatch.setitem(encode._LONGEST_SIDE, "webp", 45)
    monkeypatch.setattr(Stylizer, "paint_photo", None)
    code, _, err = invoke(stylize, photo, "--format", "webp")
    assert code == 2
    assert "A webp file can have at most 45 pixels on a side; png can hold this painting." in err
    monkeypatch.undo()
    assert invoke(stylize, photo, "--format", "webp", "--max-side", "45", "--norm", "in")[0] == 0


def test_another_allowance_of_memory_is_another_painting(folder, invoke):
    """Larger photos are painted in tiles then, which are not quite the whole."""
    options = [folder, "--norm", "in", "-o", "out"]
    assert invoke(stylize, *options)[0] == 1
    assert "already painted" not in invoke(stylize, *options, "--max-memory", "900M")[1]
    assert "4 of 6 already painted" in invoke(stylize, *options, "--max-memory", "900M")[1]


def test_one_photo_is_painted_at_a_time(folder, invoke, monkeypatch):
    """However many are in hand: each may take all of --max-memory."""
    at_work, most = [], []
    paint = Stylizer.paint_photo

    def watched(self, *arguments, **options):
        at_work.append(self)
        most.append(len(at_work))
        time.sleep(0.02)
        try:
            return paint(self, *arguments, **options)
        finally:
            at_work.remove(self)

    monkeypatch.setattr(Stylizer, "paint_photo", watched)
    assert invoke(stylize, folder, "--norm", "bn,in", "-o", "out", "--jobs", "4")[0] == 1
    assert most == [1] * 8


def test_paintings_beside_their_photos_are_not_painted(folder, tmp_path, invoke):
    options = ["--norm", "in", "-o", folder]
    assert invoke(stylize, folder, *options)[0] == 1
    done = paintings(folder)
    assert "sub/deep/c-mosaic-in.png" in done
    assert "4 of 6 already painted" in invoke(stylize, folder, *options)[1]
    assert paintings(folder) == done
    code, out, _ = invoke(stylize, folder, "--norm", "in", "-o", tmp_path / "elsewhere")
    assert (code, "2 of 6 could not be painted" in out) == (1, True)


@pytest.mark.parametrize("given", [["photos/sub"], ["photos", "photos/sub"], ["sub"]])
def test_paintings_are_known_from_a_folder_above(folder, tmp_path, invoke, monkeypatch, given):
    """A subfolder is given, alone, with the folder above, or from within that one."""
    assert invoke(stylize, folder, "--norm", "in", "-o", folder)[0] == 1
    monkeypatch.chdir(folder if given == ["sub"] else tmp_path)
    found = find_inputs([Path(name) for name in given], tmp_path / "out")
    assert {file.photo.name for file in found.files if "sub" in file.photo.parts} == {
        "b.jpg", "broken.jpg", "c.webp",
    }  # fmt: skip


def test_a_name_that_is_no_text(photo, tmp_path, invoke):
    photo.rename(tmp_path / os.fsdecode(b"caf\xe9.jpg"))
    code, out, err = invoke(stylize, tmp_path, "--norm", "in")
    assert (code, err) == (0, "")
    assert out.startswith(r"out/caf\udce9-mosaic-in.png  ")
    assert (tmp_path / "out" / os.fsdecode(b"caf\xe9-mosaic-in.png")).is_file()


def test_a_folder_that_may_not_be_read(tmp_path, invoke, monkeypatch):
    def forbidden(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "iterdir", forbidden)
    code, out, err = invoke(stylize, tmp_path)
    assert (code, out, err) == (2, "", f"{tmp_path} cannot be read: Permission denied.\n")


def test_an_unreadable_folder_is_one_failure_among_others(folder, invoke, monkeypatch):
    """As `lost+found` of a disk, where no chmod stops an administrator."""
    listed = Path.iterdir

    def forbidden(inside):
        if inside.name == "deep":
            raise PermissionError(13, "Permission denied", str(inside))
        return listed(inside)

    (folder / "empty.png").unlink()
    (folder / "sub" / "broken.jpg").unlink()
    monkeypatch.setattr(Path, "iterdir", forbidden)
    code, _, err = invoke(stylize, folder, "--norm", "in")
    assert (code, err) == (1, f"{folder}/sub/deep cannot be read: Permission denied.\n")
    assert Path("out/sub/b-mosaic-in.png").is_file()


def test_a_pipe_is_no_photo_and_is_not_waited_for(photo, tmp_path, invoke, monkeypatch):
    folder = tmp_path / "photos"
    folder.mkdir()
    photo.rename(folder / "cat.jpg")
    names = ("a.jpg", "b.gif", "c.ts", "d.mp4")
    for name in names:
        os.mkfifo(folder / name)
    opened = Path.open

    def not_waiting(path, *mode, **options):
        assert not path.is_fifo(), "this would wait for ever"
        return opened(path, *mode, **options)

    monkeypatch.setattr(Path, "open", not_waiting)
    code, _, err = invoke(stylize, folder, "--norm", "in")
    assert (code, err.splitlines()) == (
        1,
        [f"{folder}/{name}: '{name}' is not a regular file." for name in names],
    )
    assert paintings(Path("out")).keys() == {"cat-mosaic-in.png"}
    assert invoke(stylize, folder / "a.jpg") == (2, "", f"{folder}/a.jpg: 'a.jpg' is not a regular file.\n")


def test_no_file_is_passed_over_in_silence(tmp_path, invoke):
    folder = tmp_path / "phone"
    folder.mkdir()
    make_picture(40, 30).save(folder / "scan.jfif", "JPEG")
    pillow_heif.from_pillow(make_picture(40, 30)).save(folder / "IMG_1.HEIC")
    (folder / "IMG_2.CR3").write_bytes(b"\0\0\0\x18ftypcrx " + bytes(200))
    (folder / "layers.psd").write_bytes(b"8BPS" + bytes(200))
    for name in ("notes.txt", "IMG_1.AAE", ".nomedia"):
        (folder / name).write_text("x")
    (folder / "up").symlink_to(tmp_path)
    code, out, err = invoke(stylize, folder, "--norm", "in")
    assert code == 1
    assert err.splitlines() == [
        f"{folder}/IMG_2.CR3: This is a camera raw file; export it as JPEG or PNG first.",
        f"{folder}/layers.psd: This is a Photoshop file; export it as JPEG or PNG first.",
    ]
    assert f"2 files are no pictures or videos: {folder}/IMG_1.AAE, {folder}/notes.txt\n" in out
    assert f"1 link to a folder was not followed: {folder}/up\n" in out
    assert paintings(tmp_path / "out").keys() == {"scan-mosaic-in.png", "IMG_1-mosaic-in.png"}


def test_names_that_some_file_system_takes_for_one(tmp_path, invoke):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, name in enumerate(
        ("Cat.jpg", "cat.png", "caf\u00e9.jpg", "cafe\u0301.jpg", "Dog.jpg", "dog.jpg", "dog-jpg.png")
    ):
        make_picture(40, 30, seed=number).save(folder / name)
    assert invoke(stylize, folder, "--norm", "in")[0] == 0
    made = [unicodedata.normalize("NFC", path.name).casefold() for path in Path("out").glob("*.png")]
    assert len(made) == len(set(made)) == 7
    assert {"cat-jpg-mosaic-in.png", "cat-png-mosaic-in.png"} < set(made)
    code, _, err = invoke(stylize, folder / "Cat.jpg", folder / "dog.jpg", folder / "Dog.jpg")
    assert (code, err) == (
        2,
        "Two photos are called 'dog-jpg': their paintings would overwrite each other.\n",
    )


@pytest.mark.parametrize("letter", ["p", "\u00e9"])
def test_the_longest_names(tmp_path, invoke, letter):
    folder = tmp_path / "photos"
    folder.mkdir()
    for last in "ab":  # which is cut off
        name = letter * ((255 - 5) // len(letter.encode())) + last
        make_picture(40, 30, seed=ord(last)).save(folder / f"{name}.jpg")
    make_picture(40, 30).save(folder / ("q" * 236 + ".jpg"))
    assert invoke(stylize, folder, "--norm", "in")[0] == 0
    made = [path.name for path in Path("out").glob("*.png")]
    assert len(made) == 3
    assert "q" * 236 + "-mosaic-in.png" in made
    assert "3 of 3 already painted" in invoke(stylize, folder, "--norm", "in")[1]


def test_an_empty_path_is_not_the_current_folder(photo, invoke):
    said = "A path is empty: a variable of the shell may not be set.\n"
    assert invoke(stylize, "") == (2, "", said)
    for option in ("--out", "--model", "--mask", "--style-picture"):
        assert invoke(stylize, photo, option, "") == (2, "", said)
    assert invoke(train, "--out", "") == (2, "", said)
    assert invoke(train, "--init", "")[::2] == (2, "--init is empty; leave it out for auto.\n")
    assert invoke(stylize, photo, "--style", "")[0] == invoke(stylize, photo, "--norm", "")[0] == 2


def test_a_folder_gives_the_pixels_of_its_photos_alone(folder, invoke):
    assert invoke(stylize, folder, "--norm", "iebn", "-o", "many")[0] == 1
    assert invoke(stylize, folder / "sub" / "b.jpg", "--norm", "iebn", "-o", "one")[0] == 0
    assert Path("many/sub/b-mosaic-iebn.png").read_bytes() == Path("one/b-mosaic-iebn.png").read_bytes()
    assert not Path("one", LEDGER).exists()


def test_a_folder_without_photos(tmp_path, invoke):
    (tmp_path / "none").mkdir()
    code, out, err = invoke(stylize, "none")
    assert (code, out, err) == (2, "", "There is no photo in the folder none.\n")


@pytest.fixture
def clip(tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    make_clip(folder / "walk.mp4", Walk(64, 48, 3), make_picture(100, 75))
    return folder / "walk.mp4"


def test_a_folder_with_videos(clip, tmp_path, invoke):
    (clip.parent / "broken.mp4").write_bytes(clip.read_bytes()[:2000])
    make_picture(40, 30).save(clip.parent / "still.jpg")
    options = [clip.parent, "--norm", "bn,in", "--engine", "torch", "--steady"]
    code, out, err = invoke(stylize, *options)
    assert code == 1
    assert err == (
        f"{clip.parent}/broken.mp4: The video 'broken.mp4' is damaged, truncated, or of a kind that cannot "
        "be read.\n"
    )
    names = {f"walk-mosaic-{norm}.mp4" for norm in ("bn", "in")}
    done = paintings(tmp_path / "out")
    assert done.keys() == names | {f"still-mosaic{suffix}.png" for suffix in ("-bn", "-in", "")}
    code, out, _ = invoke(stylize, *options)
    assert code == 1
    assert all(f"out/{name}  already painted" in out for name in names)
    assert paintings(tmp_path / "out") == done


def test_videos_are_written_as_mp4_also_where_that_is_said(clip, photo, tmp_path, invoke):
    for given in ([clip], [clip, photo]):
        options = ["--norm", "in", "--engine", "torch", "--format", "mp4"]
        assert invoke(stylize, *given, *options)[::2] == (0, "")
    assert paintings(tmp_path / "out").keys() == {"walk-mosaic-in.mp4", "cat-mosaic-in.png"}


def test_a_damaged_video_is_painted_and_told(clip, tmp_path, invoke):
    tape = clip.with_name("tape.mts")
    make_clip(tape, Walk(64, 48, 9), make_picture(100, 75))
    tape.write_bytes(tape.read_bytes()[:-100])
    code, out, err = invoke(stylize, tape, "--norm", "in", "--engine", "torch")
    assert (code, out.count("tape-mosaic-in.mp4")) == (1, 1)
    assert "is painted as far as it can be read. Damaged:" in err
    assert (tmp_path / "out" / "tape-mosaic-in.mp4").is_file()
    (tape.parent / "tapes").mkdir()
    tape.rename(tape.parent / "tapes" / tape.name)
    seen = [invoke(stylize, tape.parent / "tapes", "--norm", "in", "--engine", "torch") for _ in range(2)]
    assert [code for code, _, _ in seen] == [1, 1]
    assert "already painted" in seen[1][1]
    assert seen[0][2] == seen[1][2]  # what was damaged


def test_animations_stay_animations(tmp_path, photo, invoke):
    folder = tmp_path / "moving"
    folder.mkdir()
    frames = [make_picture(40, 30, seed=number) for number in range(3)]
    frames[0].save(folder / "wave.gif", save_all=True, append_images=frames[1:], duration=80, loop=0)
    photo.rename(folder / "still.jpg")
    options = [folder, "--norm", "in", "--engine", "torch"]
    code, out, err = invoke(stylize, *options)
    assert (code, err) == (0, "")
    assert "wave-mosaic-in.gif" in out
    assert "3 frames" in out
    assert paintings(tmp_path / "out").keys() == {"wave-mosaic-in.gif", "still-mosaic-in.png"}
    with Image.open(tmp_path / "out" / "wave-mosaic-in.gif") as painted:
        assert (painted.n_frames, painted.info["duration"], painted.info["loop"]) == (3, 80, 0)
    assert "already painted" in invoke(stylize, *options)[1]
    for kind, name in (("mp4", "wave-mosaic-in.mp4"), ("jpeg", "wave-mosaic-in.jpg")):
        code, _, err = invoke(stylize, folder / "wave.gif", *options[1:], "--format", kind)
        assert (code, err) == (0, "")
        assert (tmp_path / "out" / name).is_file()
    code, _, err = invoke(stylize, folder / "still.jpg", "--format", "gif")
    assert (code, err) == (2, "--format gif is for animations, and none was given.\n")


def test_options_that_are_not_for_all(clip, photo, invoke):
    code, out, err = invoke(stylize, photo, "--steady")
    assert (code, out, err) == (2, "", "--steady is for videos, and no video was given.\n")
    code, out, err = invoke(stylize, clip, "--format", "jpg")
    assert (code, out, err) == (2, "", "--format is for photos: videos are written as mp4.\n")
    code, out, err = invoke(stylize, photo, "--format", "mp4")
    assert (code, out, err) == (2, "", "--format mp4 is for animations, and none was given.\n")
    frames = [make_picture(40, 30, seed=number) for number in range(2)]
    frames[0].save(fish := clip.with_name("fish.gif"), save_all=True, append_images=frames[1:], duration=80)
    for moving in ([clip], [fish], [clip.parent]):
        code, out, err = invoke(stylize, *moving, "--keep-exif")
        assert (code, out) == (2, "")
        assert err == "--keep-exif and --keep-gps are for photos, not for videos and animations.\n"
    for first in (clip, fish):
        assert invoke(stylize, photo, first, "--match-palette") == (
            2,
            "",
            f"--mask and --match-palette are for photos, not for videos and animations such as {first}.\n",
        )
    for options, said in (
        (
            ["--engine-cluster", "ray"],
            "A cluster paints photos only: leave out --engine-cluster for videos.\n",
        ),
    ):
        assert invoke(stylize, clip, *options) == (2, "", said)
    clip.write_text("no video")
    code, out, err = invoke(stylize, clip, "--norm", "in", "--engine", "torch")
    assert (code, out) == (2, "")
    assert err == f"{clip}: The video 'walk.mp4' is damaged, truncated, or of a kind that cannot be read.\n"


def test_stylize_takes_larger_photos_than_the_web(photo, invoke, monkeypatch):
    stylize_module.LIMITS.check((12_000, 12_000))
    monkeypatch.setattr(stylize_module, "LIMITS", Limits(max_pixels=50 * 41 - 1))
    code, _, err = invoke(stylize, photo)
    assert code == 2
    assert "at most 2,049 pixels" in err


def test_a_folder_called_export_is_no_guess(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "export").mkdir()
    monkeypatch.setattr(sys, "argv", ["stylize.py", "export", "-o", "painted"])
    with pytest.raises(SystemExit, match="2"):
        stylize_module.main()
    assert "./export paints it" in capsys.readouterr().err
    assert not (tmp_path / "painted").exists()


def test_photos_that_would_overwrite_each_other(photo, invoke, tmp_path):
    (tmp_path / "more").mkdir()
    other = photo.rename(tmp_path / "more" / "cat.jpg")
    make_picture(40, 40).save(photo)
    code, _, err = invoke(stylize, photo, other)
    assert (code, err) == (2, "Two photos are called 'cat': their paintings would overwrite each other.\n")
    assert not (tmp_path / "out").exists()


def test_photos_that_differ_in_their_suffix(photo, invoke, tmp_path):
    make_picture(40, 40).save(tmp_path / "cat.png")
    assert photo == tmp_path / "cat.jpg"
    assert invoke(stylize, photo, tmp_path / "cat.png", photo, "--norm", "in")[0] == 0
    assert paintings(tmp_path / "out").keys() == {"cat-jpg-mosaic-in.png", "cat-png-mosaic-in.png"}


@pytest.fixture
def look_alikes(photo, clip, tmp_path):
    """A photo, an animation and a clip, and files of the user's that are called like their paintings."""
    frames = [make_picture(40, 30, seed=number) for number in range(2)]
    frames[0].save(tmp_path / "fish.gif", save_all=True, append_images=frames[1:], duration=80)
    for name in ("cat-mosaic-in.png", "cat-mosaic.png", "fish-mosaic-in.gif", "cat-wave-ink-in.png"):
        make_picture(40, 30, seed=3).save(tmp_path / name)
    clip.rename(tmp_path / "walk.mp4")
    for name in ("cat-wave-in.png", "walk-mosaic-in.mp4"):
        (tmp_path / name).write_bytes(find_style("wave").model("in").read_bytes())
    (tmp_path / "here").symlink_to(tmp_path)
    return paintings(tmp_path)


@pytest.mark.parametrize(
    ("photos", "options", "replaced"),
    [
        (["cat.jpg", "cat-mosaic-in.png"], [], "here/cat-mosaic-in.png"),
        (["."], [], "here/cat-mosaic-in.png"),
        (["cat.jpg", "cat-mosaic.png"], ["--norm", "bn,in"], "here/cat-mosaic.png"),
        (["fish.gif", "fish-mosaic-in.gif"], [], "here/fish-mosaic-in.gif"),
        (["walk.mp4", "walk-mosaic-in.mp4"], [], "here/walk-mosaic-in.mp4"),
        (["cat.jpg"], ["--style", "wave,ink", "--mask", "cat-wave-ink-in.png"], "here/cat-wave-ink-in.png"),
    ],
)
def test_a_painting_never_replaces_what_was_given(look_alikes, tmp_path, invoke, photos, options, replaced):
    code, out, err = invoke(stylize, *photos, "--norm", "in", "-o", "here", *options)
    of = "cat.jpg" if photos == ["."] else photos[0]
    assert (code, out) == (2, "")
    assert err == (
        f"{replaced} is one of the given files, and the painting of {of} "
        "would replace it: choose another folder with -o.\n"
    )
    assert paintings(tmp_path) == look_alikes


def test_a_painting_never_replaces_its_model(look_alikes, tmp_path, invoke):
    code, _, err = invoke(stylize, "cat.jpg", "--model", "cat-wave-in.png", "-o", ".")
    assert (code, err.startswith("cat-wave-in.png is one of the given files")) == (2, True)
    assert paintings(tmp_path) == look_alikes


def test_a_second_folder_does_not_overwrite_the_paintings_of_the_first(photo, clip, tmp_path, invoke):
    frames = [make_picture(40, 30, seed=number) for number in range(2)]
    frames[0].save("fish.gif", save_all=True, append_images=frames[1:], duration=80)
    for seed, name in enumerate("ABC"):
        Path(name).mkdir()
        make_picture(40, 30, seed=seed).save(f"{name}/IMG_1.png")
    shutil.copy(clip, "A/walk.mp4")
    shutil.copy("fish.gif", "A/fish.gif")
    shutil.copy(clip, "C/walk.mp4")
    shutil.copy("fish.gif", "C/fish.gif")
    options = ["--norm", "in,bn", "--max-side", "32", "-o", "AB"]
    assert invoke(stylize, "A", *options)[0] == 0
    before = paintings(Path("AB"))
    for photos, name, painting in (
        (["B"], "IMG_1.png", "IMG_1-mosaic-in.png"),
        (["B/IMG_1.png"], "IMG_1.png", "IMG_1-mosaic-in.png"),
        (["C/walk.mp4"], "walk.mp4", "walk-mosaic-in.mp4"),
        (["C/fish.gif"], "fish.gif", "fish-mosaic-in.gif"),
    ):
        code, out, err = invoke(stylize, *photos, *options)
        assert (code, out) == (2, "")
        assert err == (
            f"AB/{painting} is the painting of {tmp_path}/A/{name}, and that of {photos[0][0]}/{name} would "
            "overwrite it: choose another folder with -o.\n"
        )
    assert paintings(Path("AB")) == before
    make_picture(41, 30).save("A/IMG_1.png")  # the same photo, changed since, and one whose photo is gone
    assert "already painted" not in invoke(stylize, "A/IMG_1.png", *options)[1]
    shutil.rmtree("A")
    assert invoke(stylize, "B", *options)[0] == 0


def test_a_ledger_that_does_not_tell_the_photos_is_as_good_as_before(folder, invoke):
    """Those of earlier versions."""
    options = ["--norm", "in", "-o", "out"]
    assert invoke(stylize, folder, *options)[0] == 1
    ledger = Path("out", LEDGER)
    lines = [json.loads(line) for line in ledger.read_text().splitlines() if line]
    assert {line.pop("photo") for line in lines} == {
        str(folder / name) for name in ("a.jpg", "a.png", "sub/b.jpg", "sub/deep/c.webp")
    }
    ledger.write_text("\n".join(map(json.dumps, lines)))
    assert "4 of 6 already painted" in invoke(stylize, folder, *options)[1]
    folder.rename(folder.with_name("moved"))
    make_picture(40, 30, seed=9).save(photo := folder.with_name("a-jpg.png"))
    assert invoke(stylize, photo, *options)[0] == 0


@pytest.mark.slow
def test_train_then_paint_with_the_model(photo, tmp_path, invoke):
    style = tmp_path / "Dots.PNG"
    make_picture(128, 100).save(style)
    code, out, err = run(
        "train_style.py", "--style", style, "--norm", "se", "--style-size", "64", *TINY, cwd=tmp_path
    )
    assert (code, err) == (0, "")
    folder = tmp_path / "runs" / "dots-bn-se"
    assert {p.name for p in folder.iterdir()} == {
        "model.safetensors", "state.safetensors", "metrics.jsonl", "samples", "losses.png",
    }  # fmt: skip
    assert "photos that ship with the project" in out
    assert "evaluation mode" in out
    code, out, err = invoke(stylize, photo, "--model", folder / "model.safetensors")
    assert (code, err) == (0, "")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["cat-dots-bn-se.png"]

    code, out, err = run(
        "train_style.py", "--style", style, "--norm", "se", "--style-size", "64", *TINY, cwd=tmp_path
    )
    assert code == 2
    assert "--resume continues it, --overwrite starts again" in err


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_resume_goes_on(photo, tmp_path, invoke, number, code):
    arguments = [*TINY, "--style-size", "64", "--iterations", "40", "--warmup-iterations", "3000"]
    arguments += ["--sample", photo]
    process = command("train_style.py", *arguments, cwd=tmp_path)
    metrics = tmp_path / "runs" / "mosaic-iebn" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, out + err
    assert "Traceback" not in out + err
    stopped = int(re.search(r"saved at iteration (\d+)", out).group(1))
    assert 0 < stopped < 3040

    refused, _, err = invoke(train, *arguments, "--resume", "--lr", "0.9")
    assert refused == 2
    assert "started with lr 0.004, not 0.9" in err
    # Stop it again soon: 3,000 iterations of warm-up were only there to be interrupted.
    process = command("train_style.py", *arguments, "--resume", cwd=tmp_path)
    assert any(f"at iteration {stopped} of 3040" in line for line in process.stdout)
    process.terminate()
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in out + err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--norm", "layer"], "There is no normalizer 'layer'"),
        (["--style", "nosuch"], "There is no style 'nosuch'; choose one of "),
        (["--style", "missing/picture.jpg"], "There is no style picture missing/picture.jpg."),
        (["--content", "nosuch"], "The content folder nosuch does not exist"),
        (["--iterations", "0"], "iterations must be at least 1, not 0."),
        (["--vgg", "mine"], "vgg must be shipped or torchvision, not 'mine'."),
        (["--resume"], "There is nothing to resume in runs/mosaic-iebn"),
        (["--init", "none.safetensors"], "The model file none.safetensors cannot be read"),
        (["--init", "base", "--width", "8"], "--init base needs a width of 16, not 8; leave it out."),
        (["--init", "gallery", "--width", "32"], "--init gallery needs a width of 16, not 32; leave it out."),
    ],
)
def test_train_mistakes_are_one_sentence(invoke, arguments, sentence):
    code, _, err = invoke(train, *arguments)
    assert code == 2
    assert sentence in err
    assert err.count("\n") == 1


@pytest.mark.slow
def test_a_style_picture_that_cannot_be_read_is_named(invoke, tmp_path):
    (tmp_path / "mine.jpg").write_bytes(b"\xff\xd8\xff nothing")
    code, _, err = invoke(train, "--style", tmp_path / "mine.jpg")
    assert code == 2
    assert err.startswith(f"Style picture {tmp_path / 'mine.jpg'}: The JPEG picture is damaged")


@pytest.mark.slow
def test_what_is_said_of_a_run_folder_can_be_done(invoke, tmp_path):
    """A folder without a state cannot be resumed; one with nothing to lose is no hindrance.

    Somebody's own file by a name that the run would write is something to lose.
    """
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"somebody's")
    names = ["model.safetensors", "metrics.jsonl", "losses.png"]
    for name, following in zip(names, [*names[1:], "notes.txt"], strict=True):
        code, _, err = invoke(train, "--out", folder)
        assert (code, err) == (2, f"{folder} holds a run already: --overwrite starts again.\n")
        (folder / name).rename(folder / following)
    code, _, err = invoke(train, "--out", folder, "--style-size", "64", "--sample", "nosuch.jpg")
    assert (code, err) == (2, "Sample photo nosuch.jpg: There is no file 'nosuch.jpg'.\n")


def test_a_comparison_that_cannot_begin_at_a_model_is_not_begun(invoke, tmp_path):
    model = find_style("mosaic").model("bn")
    code, _, err = invoke(train, "--compare", "bn,in", "--init", model)
    assert (code, err) == (2, "The network to start from is bn; in is to be trained.\n")
    assert not Path("runs").exists()


def test_a_picture_called_like_a_style_has_no_recipe(tmp_path):
    picture = tmp_path / "wave.png"
    make_picture(64, 64).save(picture)
    assert train_module._style_picture(str(picture)) == (picture, "wave", {})
    assert train_module._style_picture("wave")[2]


def beginning(folder):
    training = read_info(folder / "model.safetensors").training
    config = training["config"]
    return config["init"], config["warmup_iterations"], bool(training["base_sha256"])


@pytest.mark.slow
def test_where_training_begins(invoke, tmp_path, predictors):
    """Where nothing is said, at the gallery's mean for its styles, else at the prediction.

    Only random weights need a warm-up.
    """
    make_picture(64, 64).save(tmp_path / "mine.png")
    tiny = ["--iterations", "1", "--batch-size", "1", "--size", "32", "--style-size", "64"]
    runs = {
        "auto": [],
        "picture": ["--style", tmp_path / "mine.png"],
        "base": ["--init", "base"],
        "none": ["--init", "none"],
        "predicted": ["--init", "predicted"],
        "narrow": ["--width", "4"],
        "file": ["--init", find_style("mosaic").model("iebn")],
    }
    for name, arguments in runs.items():
        code, _, err = invoke(train, *tiny, *arguments, "--out", tmp_path / name)
        assert (code, err) == (0, "")
    assert {name: beginning(tmp_path / name) for name in runs} == {
        "auto": ("gallery", 0, True),
        "picture": ("predicted", 0, True),
        "base": ("base", 0, True),
        "none": ("", 1, False),
        "predicted": ("predicted", 0, True),
        "narrow": ("", 1, False),
        "file": ("iebn.safetensors", 0, False),
    }


def test_a_style_does_not_begin_at_itself(monkeypatch):
    """At the mean of the five others."""
    shares = {}
    monkeypatch.setattr(blend, "load_blend", lambda found, norm: (shares.update(found), None))
    assert train_module._beginning("gallery", "in", "mosaic", Path()) == ("gallery", None)
    assert shares == dict.fromkeys(("cubist", "ink", "pointillist", "starry", "wave"), 1 / 5)


def test_the_size_of_a_style_picture_is_found_and_said(invoke, tmp_path):
    make_picture(300, 200).save(tmp_path / "mine.png")
    tiny = ["--iterations", "1", "--batch-size", "1", "--size", "32", "--style", tmp_path / "mine.png"]
    for size, seen in (([], 200), (["--style-size", "auto"], 200), (["--style-size", "80"], 80)):
        code, out, err = invoke(train, *tiny, *size, "--out", tmp_path / "run", "--overwrite")
        assert (code, err) == (0, "")
        assert f"with a shorter side of {seen} px" in out
        assert read_info(tmp_path / "run" / "model.safetensors").training["config"]["style_size"] == seen
    assert "style-size is auto or a number" in invoke(train, *tiny, "--style-size", "big")[2]
    Image.new("RGB", (90, 90)).save(tmp_path / "mine.png")
    assert "mine.png: The style picture has a single colour" in invoke(train, *tiny)[2]


@pytest.mark.parametrize("verb", [train, stylize])
def test_help_teaches(verb, invoke):
    code, out, _ = invoke(verb, "--help")
    assert code == 0
    for option in ("--style", "--norm", "--device"):
        assert option in out


def test_help_fills_its_lines(invoke):
    out = invoke(stylize, "--help")[1]
    assert "OUT/<photo>-<style>.<format> with the photo and its paintings side by side" in out


@pytest.mark.parametrize(
    ("arguments", "imported"),
    [
        (["stylize.py"], "typer"),
        (["train_style.py"], "typer"),
        (["train_predictor.py"], "typer"),
        (["-m", "app"], "pydantic"),
    ],
)
def test_ctrl_c_during_the_imports_leaves_no_traceback(tmp_path, arguments, imported):
    interrupted = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n"
    (tmp_path / f"{imported}.py").write_text(interrupted)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    process = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert (process.returncode, process.stdout, process.stderr) == (-signal.SIGINT, "", "")


def test_ctrl_c_is_as_before_when_a_command_is_imported():
    # Not the handler itself: shells let what they start in the background ignore SIGINT.
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_DFL


def test_what_may_not_be_read_is_one_sentence(invoke, monkeypatch):
    """A folder above may be another user's: then no path below it can even be asked for."""

    def refused(content, name=None):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), content)

    monkeypatch.setattr(train_module, "open_content", refused)
    code, _, err = invoke(train, "--content", "/home/else/photos")
    assert (code, err) == (2, "/home/else/photos cannot be used: Permission denied.\n")


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_a_full_disk_behind_the_output_is_one_sentence(arguments):
    script = "from transformer_net.commandline import run, say\ndef hello(): say('hello')\nrun(hello)"
    with Path("/dev/full").open("w") as full:
        process = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60,
        )  # fmt: skip
    assert process.returncode == 2
    assert process.stderr == "The output cannot be written: No space left on device.\n"
