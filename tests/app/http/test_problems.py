"""Every request that fails, with its status and problem document."""

from __future__ import annotations

import socket
import struct
import threading
import zlib

import pytest
import uvicorn
from PIL import Image
from starlette.datastructures import UploadFile
from starlette.testclient import TestClient

from app.http.api import FIELDS
from app.main import create_app
from app.settings import Settings
from tests.app.conftest import SETTINGS, assert_problem, file, picture, post, serving, until
from transformer_net.errors import ModelFileError

PHOTO = file(picture())


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds nothing."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")


JPEG = file(picture(64, 64), "JPEG")


@pytest.mark.parametrize(
    ("data", "status", "kind"),
    [
        (b"", 422, "unreadable-image"),
        (b"not a picture", 415, "unsupported-image-format"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "unsupported-image-format"),
        (b"%PDF-1.7", 415, "unsupported-image-format"),
        (file(picture(), "TGA"), 415, "unsupported-image-format"),
        (JPEG[: len(JPEG) // 2], 422, "unreadable-image"),
        (JPEG[:4], 422, "unreadable-image"),
        (PHOTO[:-60], 422, "unreadable-image"),
        (b"\xff\xd8\xff\xe0" + bytes(200), 422, "unreadable-image"),
        (b"GIF89a", 422, "unreadable-image"),
        (png_header(60_000, 60_000), 422, "image-size-out-of-range"),
        (png_header(2**31 - 1, 2**31 - 1), 422, "image-size-out-of-range"),
        (png_header(0, 5), 422, "unreadable-image"),
        (file(picture(1, 1, "RGB")), 422, "image-size-out-of-range"),
        (file(Image.new("RGB", (5000, 8))), 422, "image-size-out-of-range"),
        (file(Image.new("RGB", (8, 5000))), 422, "image-size-out-of-range"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else str(value),
)
def test_bad_pictures(client, data, status, kind):
    response = post(client, data)
    assert_problem(response, status, kind)


def test_wrong_content_with_the_right_name(client):
    form = {"style": "mosaic", "norm": "iebn"}
    response = client.post("/stylize", files={"image": ("photo.jpg", b"text", "image/jpeg")}, data=form)
    assert_problem(response, 415, "unsupported-image-format")


def test_pixel_limit():
    with serving(max_pixels=40 * 32) as client:
        assert post(client, PHOTO).status_code == 200
        problem = assert_problem(post(client, file(picture(41, 32))), 422, "image-size-out-of-range")
        assert "1,280" in problem["detail"]


def test_smallest_side_is_configurable():
    with serving(min_side=40) as client:
        assert_problem(post(client, PHOTO), 422, "image-size-out-of-range")
        assert_problem(post(client, file(picture(64, 64)), max_side="39"), 422, "invalid-option")


@pytest.mark.slow
def test_larger_photos_than_are_painted_are_shrunk():
    with serving(max_side=32, api_max_side=32) as client:
        assert post(client, file(picture(64, 40))).headers["x-stylizer-size"] == "32x20"
        assert_problem(post(client, PHOTO, max_side="33"), 422, "invalid-option")


@pytest.mark.parametrize(
    ("fields", "status", "kind"),
    [
        ({"style": "vangogh"}, 404, "unknown-style"),
        ({"style": "../mosaic"}, 404, "unknown-style"),
        ({"style": "x" * 129}, 422, "invalid-request"),
        ({"style": ""}, 422, "invalid-request"),
        ({"style": "wave,vangogh"}, 404, "unknown-style"),
        ({"style": "wave:x,ink"}, 422, "invalid-option"),
        ({"style": "wave,wave"}, 422, "invalid-option"),
        ({"style": "wave:0"}, 422, "invalid-option"),
        ({"norm": "gn"}, 422, "unknown-normalizer"),
        ({"norm": "bn,,in"}, 422, "unknown-normalizer"),
        ({"norm": "bn,all"}, 422, "unknown-normalizer"),
        ({"norm": ""}, 422, "invalid-request"),
        ({"max_side": "0"}, 422, "invalid-request"),
        ({"max_side": "-1"}, 422, "invalid-request"),
        ({"max_side": "15"}, 422, "invalid-request"),
        ({"max_side": "2561"}, 422, "invalid-option"),
        ({"max_side": "9" * 400}, 422, None),
        ({"max_side": "nan"}, 422, "invalid-request"),
        ({"max_side": "inf"}, 422, "invalid-request"),
        ({"max_side": "64.5"}, 422, "invalid-request"),
        ({"max_side": "x"}, 422, "invalid-request"),
        ({"format": "gif"}, 422, "invalid-request"),
        ({"format": "PNG "}, 422, "invalid-request"),
        ({"strenght": "1"}, 422, "invalid-request"),
        ({"strength": "2"}, 422, "invalid-request"),
        ({"strength": "nan"}, 422, "invalid-request"),
        ({"strength": "-0.1"}, 422, "invalid-request"),
        ({"keep_colour": "perhaps"}, 422, "invalid-request"),
        ({"stroke_scale": "0.5"}, 422, "invalid-request"),
        ({"stroke_scale": "nan"}, 422, "invalid-request"),
        ({"precision": "fp8"}, 422, "invalid-request"),
        ({"precision": "int8"}, 422, "invalid-option"),  # these tests' server paints with PyTorch
        ({"norm": "y" * 1025}, 400, None),
    ],
)
def test_bad_fields(client, fields, status, kind):
    response = post(client, PHOTO, **fields)
    if kind is None and status == 422:
        kind = response.json()["type"].rsplit(":", 1)[1]
    problem = assert_problem(response, status, kind)
    if kind == "invalid-request":
        assert [error["field"] for error in problem["errors"]] == list(fields)


@pytest.mark.parametrize("missing", ["image", "style", "norm"])
def test_missing_fields(client, missing):
    files = {} if missing == "image" else {"image": PHOTO}
    form = {name: "bn" for name in ("style", "norm") if name != missing}
    problem = assert_problem(client.post("/stylize", files=files, data=form), 422, "invalid-request")
    assert [error["field"] for error in problem["errors"]] == [missing]


def test_text_where_the_file_belongs(client):
    form = {"style": "mosaic", "norm": "bn", "image": "photo.png"}
    problem = assert_problem(client.post("/stylize", data=form), 422, "invalid-request")
    said = "A file is expected; its part needs a file name, as curl -F image=@photo.jpg gives it"
    assert problem["errors"] == [{"field": "image", "detail": said}]
    problem = assert_problem(client.post("/stylize", data={**form, "image": "x" * 9000}), 400)
    assert "If it is a picture, its part needs a file name" in problem["detail"]


@pytest.mark.parametrize("field", ["max_side", "strenght"])
def test_fields_in_the_address_are_not_ignored(client, field):
    form = {"style": "mosaic", "norm": "bn"}
    answer = client.post(f"/stylize?{field}=64", files={"image": PHOTO}, data=form)
    problem = assert_problem(answer, 422, "invalid-request")
    said = "Fields are read from the form, not from the address"
    assert problem["errors"] == [{"field": field, "detail": said}]


@pytest.mark.parametrize("cut", [3, 12, 60])
def test_a_form_without_its_last_boundary(client, cut):
    parts = [(b'name="style"', b"mosaic"), (b'name="norm"', b"iebn"), (b'name="image"; filename="x"', PHOTO)]
    parts.append((b'name="max_side"', b"64"))
    body = b"".join(
        b"--XB\r\nContent-Disposition: form-data; " + name + b"\r\n\r\n" + value + b"\r\n"
        for name, value in parts
    )
    headers = {"content-type": "multipart/form-data; boundary=XB"}
    whole = body + b"--XB--\r\n"
    assert client.post("/stylize", content=whole, headers=headers).status_code == 200
    problem = assert_problem(client.post("/stylize", content=whole[:-cut], headers=headers), 400)
    assert problem["detail"] == "The form ends before its last boundary."


def test_two_files(client):
    files = [("image", PHOTO), ("image", PHOTO)]
    form = {"style": "mosaic", "norm": "bn"}
    problem = assert_problem(client.post("/stylize", files=files, data=form), 422, "invalid-request")
    assert problem["errors"] == [{"field": "image", "detail": "It is given more than once"}]
    assert_problem(client.post("/stylize", files=files * 2, data=form), 400)


def test_too_many_fields(client):
    assert_problem(post(client, PHOTO, **{f"f{i}": "" for i in range(len(FIELDS) + 1)}), 400)


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/json", b"{}", 422),
        ("multipart/form-data", b"x", 400),
        ("multipart/form-data; boundary=b", b"garbage", 400),
        ("multipart/form-data; boundary=b", b"", 422),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--", 400),
        ("application/x-www-form-urlencoded", b"style=mosaic&norm=bn", 422),
        ("text/plain; charset=\xff", b"\xff\xfe", 422),
    ],
)
def test_bodies_that_are_no_form(client, kind, body, status):
    response = client.post("/stylize", content=body, headers={"content-type": kind.encode("latin-1")})
    assert_problem(response, status, "invalid-request" if status == 422 else None)


def test_an_accept_header_that_allows_nothing(client):
    assert_problem(post(client, PHOTO, {"accept": "text/html"}), 406, "not-acceptable")
    assert_problem(post(client, PHOTO, {"accept": "image/*;q=0"}), 406, "not-acceptable")


def test_byte_limit_by_declared_length():
    with serving(max_upload_bytes=len(PHOTO)) as client:
        assert post(client, PHOTO).status_code == 200
        problem = assert_problem(post(client, PHOTO + bytes(20_000)), 413, "upload-too-large")
        assert f"{len(PHOTO):,}" in problem["detail"]
        assert 'route="/stylize",status="413"} 1.0' in client.get("/metrics").text


@pytest.mark.parametrize("protocol", ["h11", "auto"])
def test_who_sends_on_after_a_refusal_can_read_it(protocol):
    app = create_app(Settings(**SETTINGS, max_upload_bytes=1000))
    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", http=protocol, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started)
        size = 8_000_000  # more than all buffers between the two
        with socket.create_connection(server.servers[0].sockets[0].getsockname(), timeout=20) as connection:
            connection.sendall(b"POST /stylize HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
            for _ in range(size // 1000):
                connection.sendall(bytes(1000))
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
    finally:
        server.should_exit = True
        thread.join()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.endswith(b'1,000 bytes are accepted."}')


def test_byte_limit_is_exact():
    with serving(max_upload_bytes=len(PHOTO)) as client:
        assert_problem(post(client, PHOTO + b"\0"), 413, "upload-too-large")


def test_byte_limit_of_a_body_without_a_length():
    with serving(max_upload_bytes=1000) as client:
        head = b'--b\r\nContent-Disposition: form-data; name="image"; filename="x"\r\n\r\n'

        def body():
            yield head
            for _ in range(1000):
                yield bytes(1000)

        headers = {"content-type": "multipart/form-data; boundary=b"}
        assert_problem(client.post("/stylize", content=body(), headers=headers), 413, "upload-too-large")


@pytest.mark.parametrize(
    "length", ["99999999999999999999", "0" * 4400 + "5", "9" * 4400, "\u0661", "-5", "x"]
)
def test_strange_declared_lengths_do_no_harm(client, length):
    headers = {"content-length": length.encode("utf-8"), "content-type": "multipart/form-data; boundary=b"}
    assert client.post("/stylize", content=b"", headers=headers).status_code in (400, 413, 422)


@pytest.mark.parametrize(
    "path", ["/nothing", "/stylize/x", "/styles/mosaic", "/redoc", "/styles/%2e%2e/image"]
)
def test_unknown_addresses(client, path):
    assert client.get(path).status_code == 404
    assert client.get(path).headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/stylize"), ("POST", "/styles"), ("DELETE", "/healthz"), ("PUT", "/stylize")],
)
def test_wrong_methods(client, method, path):
    response = client.request(method, path)
    assert_problem(response, 405)
    assert response.headers["allow"]


def test_fields_that_came_in_another_form(client):
    problem = assert_problem(client.post("/stylize", json={"style": "mosaic"}), 422, "invalid-request")
    assert problem["detail"].endswith("(fields are read from multipart/form-data).")
    assert "multipart" not in client.post("/stylize", files={"image": PHOTO}).text


def test_a_field_whose_name_is_no_text(client):
    body = b'--b\r\nContent-Disposition: form-data; name="\\ud800"\r\n\r\nx\r\n--b--\r\n'
    kind = "multipart/form-data; boundary=b; charset=unicode_escape"
    response = client.post("/stylize", content=body, headers={"Content-Type": kind})
    assert_problem(response, 422, "invalid-request")


@pytest.mark.slow
def test_a_bug_is_a_500_that_tells_nothing(monkeypatch):
    with serving() as client:
        monkeypatch.setattr(client.app.state.service, "read", _broken)
        with pytest.raises(ZeroDivisionError):  # the server would log it
            post(client, PHOTO)
    app = create_app(Settings(**SETTINGS))
    monkeypatch.setattr(app.state.service, "read", _broken)
    with TestClient(app, raise_server_exceptions=False) as client:
        problem = assert_problem(post(client, PHOTO), 500)
        assert "secret" not in problem["detail"]
        assert 'route="/stylize",status="500"} 1.0' in client.get("/metrics").text


def test_a_broken_model_file_is_our_fault_and_stays_in_the_log(client, monkeypatch, caplog):
    async def broken(*args, **kwargs):
        raise ModelFileError("The model file /srv/secret.safetensors is broken.")

    monkeypatch.setattr(client.app.state.service, "paint_all", broken)
    assert_problem(post(client, PHOTO), 500)
    assert "secret.safetensors" in caplog.text


async def _broken(*args, **kwargs):
    raise ZeroDivisionError("secret")


def test_uploads_are_closed(client, monkeypatch):
    closed = []
    close = UploadFile.close

    async def counted(self):
        closed.append(self)
        await close(self)

    monkeypatch.setattr(UploadFile, "close", counted)
    post(client, PHOTO)
    post(client, b"broken")
    assert len(closed) >= 2
    assert all(upload.file.closed for upload in closed)
