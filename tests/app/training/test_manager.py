"""Training from the page: what it refuses, what it leaves, how it ends. Tiny, but by the real command."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from PIL import Image

from app.errors import ShuttingDownError, TrainingBusyError, TrainingOffError
from app.painting.service import PaintingService
from app.settings import Settings
from app.training import manager as room
from app.training.manager import TrainingManager
from app.training.process import ROOT
from app.training.status import TrainingRequest, TrainingStatus, TrainingTimes, seconds_left, times_of
from styles import catalog
from styles.catalog import find_style, shipped, style_name, styles
from tests.app.conftest import SETTINGS, assert_problem, file, opened, post, serving, until
from tests.conftest import make_picture
from transformer_net.errors import ImageSizeError, SettingError, UnknownNormError, UnreadableImageError
from transformer_net.imaging.decode import Photo, decode
from transformer_net.inference.options.style_options import StyleOptions
from transformer_net.training.run_folder import RunFolder

TINY = {"size": 32, "batch-size": 1, "style-size": 64, "precision": "fp32"}
"""A training that takes no longer than its start."""

PICTURE = make_picture(96, 80, seed=7)


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder of own styles, empty at first."""
    monkeypatch.setenv("STYLIZER_OWN_STYLES", str(tmp_path / "own"))
    return tmp_path / "own"


@pytest.fixture(scope="module")
def few_models(tmp_path_factory):
    """A shipped catalogue of one model, so that a server starts at once."""
    folder = tmp_path_factory.mktemp("shipped")
    (folder / "mosaic").mkdir()
    for name in ("style.png", "bn.safetensors"):
        (folder / "mosaic" / name).write_bytes((catalog.ROOT / "mosaic" / name).read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "ROOT", folder)
        yield


@pytest.fixture
def service(few_models, own):
    service = PaintingService(Settings(**SETTINGS, allow_training=True))
    service.warm()
    yield service
    asyncio.run(service.close())


@pytest.fixture
def manager(service):
    manager = TrainingManager(service, **TINY)
    yield manager
    manager.close()


def ended(manager):
    """The status after the training ended."""
    manager._thread.join(120)
    assert not manager.status.running
    return manager.status


@pytest.mark.slow
def test_a_picture_becomes_a_style_that_everybody_can_paint_with(few_models, own):
    with serving(allow_training=True) as client:
        manager = TrainingManager(client.app.state.service, **TINY)
        manager.start(PICTURE, "Été, 2", "IN", 12)
        assert manager.status.state == "starting"
        with pytest.raises(TrainingBusyError, match="'ete-2' is being trained"):
            manager.start(PICTURE, "another", "bn", 12)
        assert manager.measure(PICTURE, "in") is None  # neither is there anything to try beside it
        status = ended(manager)
        assert (status.state, status.iteration, status.kept) == ("finished", 12, True)
        assert status.sentence == ""
        assert status.sample.name == "000012.jpg"
        assert {"style", "validation"} == {record["phase"] for record in status.records}

        painted = opened(post(client, file(make_picture(40, 32)), style="ete-2", norm="all"))
        assert painted.size == (40, 32)
        assert [style["name"] for style in client.get("/styles").json()["styles"]] == ["mosaic", "ete-2"]
        assert client.get("/styles/ete-2/image").status_code == 200
        problem = assert_problem(
            post(client, file(make_picture(40, 32)), style="ete-2", norm="bn"), 404, "unknown-style"
        )
        assert "has no model for bn; it has: in." in problem["detail"]

    style = find_style("ete-2")  # after a restart, and for the command line
    assert style.folder == own / "ete-2"
    assert style.norms == ["in"]
    assert style.card["norms"]["in"]["iterations_done"] == 12
    assert "in" in json.loads((style.folder / "curves.json").read_text())


def test_a_training_that_begins_at_the_prediction_paints_the_visitor_s_photo(service, own, monkeypatch):
    began, photo = [], make_picture(50, 40, seed=1)

    def begin(options, threads):
        with Image.open(options["sample"]) as sample:
            began.append((options["init"], sample.tobytes()))
        raise OSError("no process")

    monkeypatch.setattr(room, "TrainingProcess", begin)
    manager = TrainingManager(service)
    with pytest.raises(SettingError, match="no process"):
        manager.start(PICTURE, "mine", "in", 10, photo)
    assert began == [("predicted", photo.tobytes())]
    assert not list(own.rglob("*.sample"))


@pytest.mark.slow
def test_stopping_keeps_what_was_learned(manager, service):
    manager.start(PICTURE, "short", "iebn", 100_000)
    until(lambda: manager.status.state != "starting", 120)
    assert manager.status.state == "training"
    manager.stop()
    assert manager.status.state == "stopping"
    manager.stop()  # once more changes nothing
    status = ended(manager)
    assert (status.state, status.kept) == ("stopped", True)
    assert 10 <= status.iteration < 100_000
    assert service.registry.norms("short") == ["iebn"]
    done = find_style("short").card["norms"]["iebn"]["iterations_done"]
    assert done == status.iteration


def test_the_end_of_the_server_ends_the_training(manager):
    manager.start(PICTURE, "cut-off", "in", 100_000)
    manager.close(60)
    assert manager._training.wait(0) is not None
    assert manager.status.state == "stopped"
    with pytest.raises(ShuttingDownError):
        manager.start(PICTURE, "later", "in", 10)
    assert manager.measure(PICTURE, "in") is None


def test_a_training_does_not_outlive_a_server_that_is_killed(tmp_path):
    options = {"style": "mosaic", "iterations": 100_000, "out": tmp_path / "run", **TINY}
    server = f"""if True:
        import time
        from pathlib import PosixPath
        from app.training.process import TrainingProcess
        print(TrainingProcess({options!r}, 1)._process.pid, flush=True)
        time.sleep(600)"""
    process = subprocess.Popen([sys.executable, "-c", server], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    training = psutil.Process(int(process.stdout.readline()))
    assert training.is_running()
    process.kill()
    process.wait()
    until(lambda: not training.is_running() or training.status() == psutil.STATUS_ZOMBIE, 120)


@pytest.mark.slow
def test_what_the_command_complains_of_is_told_in_its_sentence(service, own):
    manager = TrainingManager(service, **TINY, lr=2)
    manager.start(PICTURE, "wild", "in", 10)
    status = ended(manager)
    assert (status.state, status.kept) == ("failed", False)
    assert status.sentence == "lr must be above 0 and at most 1, not 2.0."
    assert "wild" not in {style.name for style in styles()}
    with pytest.raises(SettingError, match="lr must be above 0"):
        manager.measure(PICTURE, "in")


@pytest.mark.slow
def test_the_estimate_is_measured_with_the_very_network(manager):
    times = manager.measure(PICTURE, "in")
    assert min(times.fixed, times.step) > 0
    assert times.seconds(500) > times.seconds(150) > 150 * times.step
    assert manager.measure(PICTURE, "in") is times  # for some minutes it is believed
    assert manager.status is None


def test_nothing_is_trained_where_it_is_off(few_models, own, monkeypatch):
    monkeypatch.setattr(room, "TrainingProcess", None)
    manager = TrainingManager(PaintingService(Settings(**SETTINGS, allow_training=False)))
    for attempt in (
        lambda: manager.start(PICTURE, "x", "in", 10),
        lambda: manager.measure(PICTURE, "in"),
    ):
        with pytest.raises(TrainingOffError, match="STYLIZER_ALLOW_TRAINING=true"):
            attempt()
    assert manager.status is None
    assert not own.exists()


@pytest.mark.slow
@pytest.mark.parametrize("allowed", [False, True])
def test_the_page_has_no_event_that_trains_where_it_is_off(few_models, own, allowed):
    pytest.importorskip("gradio")
    with serving(page=True, allow_training=allowed) as client:
        config = client.get("/ui/config").json()
        ids = {part["id"]: part["props"].get("elem_id") for part in config["components"]}
        targets = [target[0] for event in config["dependencies"] for target in event["targets"]]
        watched = {ids.get(target) for target in targets}
        assert ({"train", "train-stop", "picture"} <= watched) == allowed
        assert ("training-off" in ids.values()) != allowed
        blocks = next(r.app for r in client.app.routes if getattr(r, "path", "") == "/ui").get_blocks()
        functions = {getattr(event.fn, "__qualname__", "") for event in blocks.fns.values()}
        assert any(name.startswith(("TrainHandlers", "TrainingManager")) for name in functions) == allowed


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Mosaic", "'mosaic' comes with the project"),
        ("mine", "'mine' belongs to another picture"),
        ("!?", "with a letter from a to z or a digit"),
        ("Кот", "with a letter from a to z or a digit"),
        ("", "with a letter from a to z or a digit"),
    ],
)
def test_names_that_are_taken_or_none_are_refused(service, own, name, said, monkeypatch):
    monkeypatch.setattr(room, "TrainingProcess", None)
    (own / "mine").mkdir(parents=True)
    make_picture(50, 50).save(own / "mine" / "style.png")
    manager = TrainingManager(service)
    with pytest.raises(SettingError, match=said):
        manager.start(PICTURE, name, "in", 10)
    assert manager.status is None


def test_nobody_replaces_what_another_visitor_trained(service, own, monkeypatch):
    monkeypatch.setattr(room, "TrainingProcess", None)
    (own / "mine").mkdir(parents=True)
    PICTURE.save(own / "mine" / "style.png")  # which GET /styles/mine/image gives to everybody
    (own / "mine" / "in.safetensors").write_bytes(b"")
    with pytest.raises(SettingError, match="'mine' has a model for in, which is not replaced"):
        TrainingManager(service).start(PICTURE, "mine", "in", 10)


def test_the_number_of_own_styles_is_bounded(few_models, own, monkeypatch):
    started = []
    monkeypatch.setattr(TrainingManager, "_begin", lambda *_: started.append(1))
    monkeypatch.setattr(TrainingManager, "_follow", lambda *_: None)
    manager = TrainingManager(PaintingService(Settings(**SETTINGS, allow_training=True, max_own_styles=2)))
    for name in ("one", "two"):
        manager.start(PICTURE, name, "in", 10)
        manager.status = None
    with pytest.raises(SettingError, match="keeps 2 styles of its visitors, and no more"):
        manager.start(PICTURE, "three", "in", 10)
    manager.start(PICTURE, "two", "bn", 10)
    assert len(started) == 3


@pytest.mark.parametrize(
    ("norm", "iterations", "error"), [("gn", 9, UnknownNormError), ("in", 0, SettingError)]
)
def test_settings_out_of_range_start_nothing(service, monkeypatch, norm, iterations, error):
    monkeypatch.setattr(room, "TrainingProcess", None)
    with pytest.raises(error):
        TrainingManager(service).start(PICTURE, "x", norm, iterations)


def test_a_folder_that_cannot_be_written_is_told(service, own, monkeypatch):
    own.write_text("in the way")
    with pytest.raises(SettingError, match=r"No style can be stored here: Not a directory|File exists"):
        TrainingManager(service).start(PICTURE, "x", "in", 10)


def test_pictures_have_the_limits_of_photos(few_models, own):
    manager = TrainingManager(PaintingService(Settings(**SETTINGS, max_pixels=1_000_000, min_side=32)))
    with pytest.raises(ImageSizeError):
        manager.open_picture(file(make_picture(1001, 1000)))
    with pytest.raises(ImageSizeError):
        manager.open_picture(file(make_picture(100, 31)))
    with pytest.raises(UnreadableImageError):
        manager.open_picture(file(PICTURE)[:900])
    assert manager.open_picture(file(PICTURE)).size == PICTURE.size
    large = TrainingManager(PaintingService(Settings(**SETTINGS)))
    assert large.open_picture(file(make_picture(3072, 2048))).size == (1024, 683)  # as large as it is seen


def test_own_styles_come_after_the_shipped_ones_and_do_not_shadow_them(own):
    for name in ("aaa", "mosaic", "Not A Name"):
        (own / name).mkdir(parents=True)
        PICTURE.save(own / name / "style.png")
    (own / ".runs").mkdir()
    assert [style.name for style in styles()] == [*(style.name for style in shipped()), "aaa"]
    assert find_style("mosaic").folder == catalog.ROOT / "mosaic"


def test_the_folder_of_own_styles(monkeypatch, tmp_path):
    monkeypatch.delenv("STYLIZER_OWN_STYLES", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert catalog.own_folder() == tmp_path / "stylizer" / "styles"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert catalog.own_folder() == tmp_path / ".local" / "share" / "stylizer" / "styles"
    monkeypatch.setenv("STYLIZER_OWN_STYLES", "mine")
    assert catalog.own_folder() == Path.cwd() / "mine"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("My Picture.JPG", "my-picture-jpg"),
        ("Čeština  2", "cestina-2"),
        ("../../etc/passwd", "etc-passwd"),
        ("wave:0.6,ink", "wave-0-6-ink"),
        ("--resume", "resume"),
        ("写真", ""),
        ("x" * 99, "x" * 48),
    ],
)
def test_names_are_safe_everywhere(text, name):
    assert style_name(text) == name
    assert style_name(name) == name


def test_time_left_is_that_of_the_last_steps():
    request = TrainingRequest("x", "in", 80)  # a sample each 10 steps
    assert seconds_left(request, [{"phase": "validation"}], [(10, 100.0)], 101.0) is None
    records = [{"images_per_second": 2.0}, {"phase": "validation"}]
    assert seconds_left(request, records, [(10, 100.0)], 101.0) == pytest.approx(70 * 2 - 1)
    slow_then_fast = [(10, 100.0), (20, 200.0), (30, 210.0), (40, 220.0)]
    assert seconds_left(request, records, slow_then_fast, 220.0) == pytest.approx(40)
    assert seconds_left(request, records, slow_then_fast, 225.0) == pytest.approx(35)
    assert seconds_left(request, records, slow_then_fast, 999.0) == 0.0
    at_the_end = [*slow_then_fast, (80, 300.0)]
    assert seconds_left(request, records, at_the_end, 300.0) == 0.0


def test_a_pace_adds_up():
    assert TrainingTimes(fixed=5, step=2, sample=1).seconds(100) == 5 + 200 + 8
    assert TrainingTimes(fixed=5, step=2, sample=1).seconds(3) == 5 + 6 + 3


def test_a_trial_is_divided_into_its_parts(tmp_path):
    folder = RunFolder(tmp_path)
    folder.create()
    folder.append({"iteration": 4, "phase": "style", "images_per_second": 2.0})  # 2 s a step
    folder.append({"iteration": 4, "phase": "validation"})
    for name, seconds in [("000002.jpg", 100), ("000004.jpg", 107)]:  # two steps and 3 s beside them
        (folder.samples / name).touch()
        os.utime(folder.samples / name, (seconds, seconds))
    assert times_of(folder, 20.0) == TrainingTimes(fixed=6.0, step=2.0, sample=3.0)


def _pickers(live=True):
    gr = pytest.importorskip("gradio")
    from app.page.style_pickers import Pickers

    return Pickers(gr.Radio(), gr.Dropdown(), gr.Radio(), gr.Radio() if live else None)


@pytest.mark.parametrize("live", [True, False])
def test_every_choice_of_a_style_offers_what_is_new(tmp_path, live):
    pickers = _pickers(live)
    found = [catalog.Style(name, tmp_path) for name in ("mosaic", "small-cat")]
    offered = [("Mosaic", "mosaic"), ("Small-cat", "small-cat")]
    updates = pickers.offer(found, "small-cat")
    assert len(updates) == len(pickers.components()) == 3 + live
    assert [update.choices for update in updates] == [
        [("Your picture", ":picture"), *offered],
        [("No other style", ""), *offered],
        *[offered] * (1 + live),
    ]
    assert [update.constructor_args.get("value") for update in updates] == ["small-cat", *[None] * (2 + live)]


@pytest.mark.slow
def test_the_tab_follows_a_training_until_it_ends(service):
    pytest.importorskip("gradio")
    from app.page import train_tab

    records = [
        {"iteration": n, "phase": "style", "total": 9.0, "content": 8.0, "palette": 0.1} for n in (10, 20)
    ]
    for record in records:
        record |= {f"style_relu{layer}": 0.5 for layer in ("1_2", "2_2", "3_3", "4_3")}
    request = TrainingRequest("mine", "in", 150)
    states = [
        TrainingStatus(request),
        TrainingStatus(request, "training", 10, 130.0, records[:1]),
        TrainingStatus(request, "training", 20, 120.0, records),
        TrainingStatus(request, "failed", 20, records=records, sentence="The <loss> went away."),
    ]
    trainer = SimpleNamespace(status=None)
    handlers = train_tab.TrainHandlers(service, trainer, _pickers())

    async def watch():
        shown = []
        trainer.status = states[0]
        async for (
            progress,
            *_,
        ) in handlers.follow():
            shown.append(progress)
            trainer.status = states[min(len(shown), len(states) - 1)]
        return shown

    shown = asyncio.run(watch())
    assert len(shown) == 4
    assert "Getting ready" in shown[0]
    assert "10 of 150 steps. About 2 minutes left." in shown[1]
    assert 'value="20"' in shown[2]
    assert "The &lt;loss&gt; went away." in shown[3]
    assert "<progress" not in shown[3]


def test_what_an_estimate_promised_is_taken_back(service, tmp_path, monkeypatch):
    """Uploads are deleted after half an hour; a choice that comes later must not seem to be measured."""
    gr = pytest.importorskip("gradio")
    from app.page import train_tab

    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    handlers = train_tab.TrainHandlers(service, SimpleNamespace(status=None), _pickers())
    said = []

    async def measure():
        async for sentence in handlers.estimate({"path": str(tmp_path / "gone.png")}, "in", 500):
            said.append(sentence)

    with pytest.raises(gr.Error, match="again"):
        asyncio.run(measure())
    assert said[-1] == train_tab._promise()


def test_failed_trainings_take_no_places(few_models, own, monkeypatch):
    """Of a style that was never learned, nothing may count as one."""
    manager = TrainingManager(
        PaintingService(Settings(**SETTINGS, allow_training=True, max_own_styles=1)), **{**TINY, "size": 7}
    )
    for name in ("one", "two"):
        manager.start(PICTURE, name, "in", 10)
        assert ended(manager).state == "failed"
        assert not list((own / room.RUNS).iterdir())

    def begin(options, threads):
        raise OSError("no process")

    monkeypatch.setattr(room, "TrainingProcess", begin)
    with pytest.raises(SettingError, match="no process"):
        manager.start(PICTURE, "three", "in", 10)
    assert not list((own / room.RUNS).iterdir())


def test_a_failed_training_leaves_the_picture_to_the_style_s_other_run(own):
    runs = own / room.RUNS
    folder, other = RunFolder(runs / "mine-in"), RunFolder(runs / "mine-bn-se")
    folder.create()
    other.create()
    (runs / "mine.png").touch()
    room._discard(folder, runs / "mine.png")
    assert (folder.path.exists(), (runs / "mine.png").exists()) == (False, True)
    room._discard(other, runs / "mine.png")
    assert not list(runs.iterdir())


def test_a_style_without_a_name_is_called_as_its_file_or_counted(service, own):
    manager, other = TrainingManager(service), make_picture(96, 80, seed=8)
    assert manager.name_for(PICTURE, "Été, 2.jpg") == "ete-2"
    assert manager.name_for(PICTURE, "Кот.jpg") == "style"
    for name, picture in (("style", PICTURE), ("style-2", make_picture(96, 80, seed=9))):
        (own / name).mkdir(parents=True)
        picture.save(own / name / "style.png")
    assert manager.name_for(PICTURE, "Кот.jpg") == "style"  # another normalizer of the same style
    assert manager.name_for(other, "日本.jpg") == manager.name_for(other, "") == "style-3"


def test_the_estimate_is_made_again_once_the_training_has_ended(service, own):
    from app.page import train_tab

    async def lines(said):
        handlers = train_tab.TrainHandlers(service, TrainingManager(service), _pickers())
        return [line async for line in handlers.estimate_again(said, None, "in", 150)]

    assert asyncio.run(lines(train_tab._BUSY)) == [train_tab._promise()]
    assert asyncio.run(lines("<p>About a minute</p>")) == [{"__type__": "update"}]


def test_whether_a_picture_has_a_model_already(service, own):
    (own / "mine").mkdir(parents=True)
    PICTURE.save(own / "mine" / "style.png")
    (own / "mine" / "in.safetensors").write_bytes(b"")
    manager = TrainingManager(service)
    assert manager.trained(PICTURE, "Mine") == ["in"]
    assert manager.trained(PICTURE, "other") == []
    assert manager.trained(make_picture(96, 80, seed=8), "mine") == []
    assert manager.trained(decode(find_style("mosaic").picture).rgb, "mosaic") == []


@pytest.fixture
def better(service, monkeypatch):
    """What *Make it better* yields and raises for a manager, what hangs, and the captions that are shown;
    `asked` has what was painted, and with which options."""
    gr = pytest.importorskip("gradio")
    from app.page.compare_tab import CompareHandlers
    from app.page.train_tab import TrainHandlers

    async def given(value):
        return value

    photo, painted, asked = Photo(PICTURE), SimpleNamespace(image=PICTURE, seconds=0.1, parameters=4), []

    def paint_one(self, photo, style, norm, options):
        asked.append((style, norm, options))
        return given(painted)

    monkeypatch.setattr(CompareHandlers, "open", lambda *given_: given((photo, "photo")))
    monkeypatch.setattr(CompareHandlers, "save", lambda self, picture, path: given(path.name))
    monkeypatch.setattr(CompareHandlers, "paint_one", paint_one)
    monkeypatch.setattr(TrainHandlers, "_open", lambda *given_: given(PICTURE))
    monkeypatch.setattr("app.page.train_tab._LOOK_SECONDS", 0)

    def click(manager, wall, captions=('data-state="done"',) * 4, meanwhile=lambda steps: None):
        async def follow():
            steps = []
            handlers = TrainHandlers(service, manager, _pickers())
            try:
                async for step in handlers.improve(wall, "", *["old"] * 5, *captions):
                    steps.append(["same" if value == gr.skip() else value for value in step[:10]])
                    meanwhile(steps)
            except gr.Error as error:
                return steps, str(error)
            return steps, ""

        return asyncio.run(follow())

    click.asked = asked
    return click


def _stem(picture, file):
    return Path(file).stem


def _hung(**options):
    """A wall with paintings in the style of a picture."""
    from app.page.compare_tab import Comparison, Wall

    return Wall(Comparison({}, {"orig_name": "mine.jpg"}, 256, StyleOptions(**options)))


def test_make_it_better_goes_on_where_it_was_stopped(better):
    asked = []

    def start(picture, name, norm, iterations, shown):
        asked.append(norm)
        raise TrainingBusyError("another one")

    manager = SimpleNamespace(
        trained=lambda picture, name: ["bn", "in"], name_for=_stem, start=start, allowed=True, status=None
    )
    wall = _hung(strength=0.3)
    captions = ['data-state="done"', 'data-state="stopped"', 'data-state="done"', 'data-state="empty"']
    steps, sentence = better(manager, wall, captions)
    assert "another one" in sentence
    assert asked == ["bn+se"]
    assert better.asked == [("mine", norm, wall.comparison.options) for norm in ("bn", "in")]
    assert [step[0].count("is kept") for step in steps] == [0, 1, 1, 0]
    # Of a stopped painting, what is left of an earlier photo goes; and only what is new is given back.
    assert steps[0][1:6] == ["same", "same", None, "same", None]
    assert steps[1][1:7] == ["same", "photo-mine-bn.png", "same", "same", "same", steps[1][6]]
    assert steps[1][6].count('data-state="done"') == 1
    assert steps[2][1:6] == ["same", "same", "photo-mine-in.png", "same", "same"]
    assert 'data-state="failed"' in steps[3][0]


def test_make_it_better_is_for_paintings_of_a_picture(better):
    from app.page.compare_tab import Wall

    manager = SimpleNamespace()
    for wall in (Wall(), Wall(replace(_hung().comparison, style_picture=None))):
        assert better(manager, wall) == ([], "'Paint with a picture of yours as the style first.'")


@pytest.mark.parametrize("options", [{}, {"strength": 0.3}])
def test_what_is_painted_meanwhile_stays(better, options, tmp_path, monkeypatch):
    """A training that goes on writes no more over the paintings; samples fit to what they hang beside."""
    from app.page.compare_tab import Wall

    told, wall, request = [], _hung(**options), TrainingRequest("mine", "bn", 150)
    monkeypatch.setattr("app.page.train_tab.gr.Info", lambda sentence, title: told.append(sentence))
    PICTURE.save(tmp_path / "000019.jpg")
    running = TrainingStatus(request, "training", 19, sample=tmp_path / "000019.jpg")
    manager = SimpleNamespace(
        trained=lambda picture, name: ["in", "bn+se", "iebn"],
        name_for=_stem,
        start=lambda *given: running,
        allowed=True,
        status=running,
    )

    def meanwhile(steps):
        if len(steps) == 3:
            wall.comparison = Wall().comparison
        if len(steps) == 5:
            manager.status = replace(running, state="finished", kept=True)

    steps, sentence = better(manager, wall, meanwhile=meanwhile)
    assert not sentence
    sample = "same" if options else "photo-mine-bn-000019.png"
    assert steps[1][1:6] == ["same", sample, "same", "same", "same"]
    assert "19 of 150 steps" in steps[1][6]
    assert steps[1][7:] == steps[2][1:6][:3] == ["same"] * 3
    assert all(step[1:] == ["same"] * 9 for step in steps[3:])
    assert "Kept as the style" in steps[-1][0]
    assert told == ["The style mine can be painted with now."]
