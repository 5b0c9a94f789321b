"""Painting on a cluster of two nodes, on this machine: one result for each photo, whoever is killed."""

import io
import os
import signal
import socket
import sys
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylize import stylize
from tests.conftest import make_picture
from tests.inference.batch.ray_paint_functions import die_of, note_gpus, wait_for_go
from transformer_net import commandline
from transformer_net.errors import SettingError
from transformer_net.inference.batch import ray_workers as cluster_module
from transformer_net.inference.batch.inputs import InputFile
from transformer_net.inference.batch.ray_workers import paint_on_ray
from transformer_net.inference.ledger import LEDGER

ROOT = str(Path(__file__).parents[3])


@pytest.fixture(scope="module")
def two_nodes():
    """Two raylets with a core each, the second as if it had a GPU, and this process connected to them."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[cluster]'")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", ROOT)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        node = {"num_cpus": 1, "object_store_memory": 100 * 1024**2}
        nodes = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
        nodes.add_node(**node, num_gpus=1)
        ray.init(nodes.address, log_to_driver=False)
        yield nodes
        ray.shutdown()
        nodes.shutdown()


@pytest.fixture
def folder(tmp_path):
    for number in range(6):
        path = tmp_path / "photos" / f"sub{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        make_picture(40, 30, seed=number).save(path)
    (tmp_path / "photos" / "empty.png").touch()
    return tmp_path / "photos"


@pytest.fixture
def invoke(tmp_path, monkeypatch, capsys):
    """Runs the command in this process: exit code, output, errors."""
    monkeypatch.chdir(tmp_path)

    def run_here(*arguments):
        monkeypatch.setattr(sys, "argv", ["stylize", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            commandline.run(stylize)
        out, err = capsys.readouterr()
        return stopped.value.code, out, err

    return run_here


def paintings(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.slow
def test_a_folder_is_painted_as_by_one_process_and_once(two_nodes, folder, invoke):
    options = [folder, "--norm", "iebn", "--engine", "torch"]
    code, out, err = invoke(*options, "-o", "cluster", "--engine-cluster", "ray")
    assert (code, err) == (1, f"{folder}/empty.png: The file is empty.\n")
    assert "1 of 7 could not be painted" in out
    assert invoke(*options, "-o", "local")[0] == 1
    here, there = paintings(Path("local")), paintings(Path("cluster"))
    lines = [sorted(filter(None, files.pop(LEDGER).splitlines())) for files in (here, there)]
    assert lines[0] == lines[1]
    assert len(here) == 6
    assert here == there

    # Either way of painting knows what the other has done.
    assert "6 of 7 already painted" in invoke(*options, "-o", "cluster")[1]
    (folder / "empty.png").unlink()
    code, out, err = invoke(*options, "-o", "local", "--engine-cluster", "ray")
    assert (code, out, err) == (0, "6 of 6 already painted\n", "")


@pytest.mark.slow
def test_a_killed_worker_loses_nothing_and_doubles_nothing(two_nodes, tmp_path):
    files = [InputFile(Path(f"/{name}"), Path(name)) for name in ("a", "b", "c", "d", "e", "broken")]
    killed = []

    def kill_one():
        while not (began := list(tmp_path.glob("*.began"))):
            stop.wait(0.02)
        killed.append(began[0].name.split(".")[0])
        os.kill(int(began[0].name.split(".")[1]), signal.SIGKILL)
        (tmp_path / "go").touch()

    stop = threading.Event()
    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    results = list(paint_on_ray(files, partial(wait_for_go, tmp_path)))
    killer.join()
    assert sorted(file.stem.name for file, _ in results) == sorted(file.stem.name for file in files)
    assert [(file.stem.name, str(e)) for file, e in results if e] == [("broken", "It is broken.")]
    assert len(list(tmp_path.glob(f"{killed[0]}.*.began"))) == 2  # begun by the killed one and by another


@pytest.mark.slow
def test_workers_are_where_gpus_are(two_nodes, tmp_path):
    files = [InputFile(Path(f"/{name}"), Path(name)) for name in "abcd"]
    results = list(paint_on_ray(files, partial(note_gpus, tmp_path), on_gpus=True))
    assert {file.stem.name: error for file, error in results} == dict.fromkeys("abcd")
    assert {path.read_text() for path in tmp_path.iterdir()} == {"0"}


@pytest.mark.parametrize(
    ("settings", "gpus", "share"),
    [
        ({"replicas": 3}, 2, 0.5),
        ({"replicas": 2, "gpu_memory": 0.3}, 2, 0.3),
        ({"replicas": 2, "device": "cpu"}, 2, 0),
        ({"replicas": 2}, 0, 0),
    ],
    ids=str,
)
def test_replicas_share_the_gpus(monkeypatch, settings, gpus, share):
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[cluster]'")
    from app.cluster import make_deployment
    from app.settings import Settings

    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 4.0, "GPU": float(gpus)})
    deployment = make_deployment(Settings(**settings))._bound_deployment
    assert deployment.ray_actor_options["num_gpus"] == share


@pytest.mark.slow
def test_a_photo_that_kills_every_worker_is_given_up(two_nodes):
    files = [InputFile(Path(f"/{name}"), Path(name)) for name in "abcdefgh"]
    results = {file.stem.name: error for file, error in paint_on_ray(files, partial(die_of, "b"))}
    assert "6 attempts" in str(results.pop("b"))
    assert results == dict.fromkeys("acdefgh")  # nor does one that waited behind it count as lost


@pytest.mark.slow
def test_the_server_has_replicas(two_nodes, unused_port):
    import httpx
    from ray import serve

    from app.cluster import make_deployment
    from app.settings import Settings
    from styles.catalog import find_style
    from transformer_net.imaging.decode import decode
    from transformer_net.inference.stylizer import Stylizer

    settings = Settings(replicas=2, threads=1, engine="torch", device="cpu")
    serve.start(http_options={"host": "127.0.0.1", "port": unused_port})
    try:
        serve.run(make_deployment(settings))
        status = serve.status().applications["default"].deployments["stylizer"]
        assert status.replica_states == {"RUNNING": 2}
        url = f"http://127.0.0.1:{unused_port}"
        photo = io.BytesIO()
        make_picture(40, 30).save(photo, "PNG")
        answer = httpx.post(
            f"{url}/stylize",
            files={"image": photo.getvalue()},
            data={"style": "mosaic", "norm": "bn"},
            timeout=60,
        )
        assert answer.status_code == 200, answer.text
        own = Stylizer.from_file(find_style("mosaic").model("bn"), engine="torch")
        painted = np.asarray(own.paint_photo(decode(photo.getvalue())))
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(answer.content))), painted)
        assert httpx.get(f"{url}/ui", timeout=60).status_code == 404
    finally:
        serve.shutdown()


@pytest.fixture
def unused_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--engine-cluster", "spark"], "There is no cluster engine 'spark': ray."),
        (["--address", "auto"], "--address needs a cluster: add --engine-cluster ray."),
    ],
)
def test_options_that_do_not_fit(folder, invoke, arguments, sentence):
    assert invoke(folder, "--norm", "bn", *arguments) == (2, "", sentence + "\n")


@pytest.mark.slow
def test_without_ray(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "ray.data", None)
    with pytest.raises(SettingError, match=r"Clusters need Ray: pip install"):
        list(cluster_module.paint_on_ray([InputFile(Path("a"), Path("a"))], lambda: print))
