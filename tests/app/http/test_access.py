"""Keys, other web sites, and how often a client may ask."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from app.middleware.access import Keys
from app.settings import Settings
from tests.app.conftest import SETTINGS, assert_problem, file, picture, post, serving

KEY, SECOND = "0123456789abcdef", "another key of theirs"
PHOTO = file(picture())


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    kept = tmp_path_factory.mktemp("keys") / "keys.txt"
    kept.write_text(f"# who\n{SECOND}\n")
    with serving(api_keys=KEY, api_keys_file=kept, root_path="/stylizer") as client:
        yield client


@pytest.mark.parametrize("path", ["/styles", "/styles/mosaic/image", "/metrics", "/stylizer/styles"])
def test_the_api_asks_for_a_key(guarded, path):
    missing = guarded.get(path)
    assert_problem(missing, 401, "key-missing")
    assert missing.headers["www-authenticate"] == "Bearer"
    assert_problem(guarded.get(path, headers={"authorization": f"Basic {KEY}"}), 401, "key-missing")
    for wrong in (KEY[:-1], KEY + "x", "é"):
        headers = {"authorization": f"Bearer {wrong}".encode()}
        assert_problem(guarded.get(path, headers=headers), 403, "wrong-key")
    for headers in ({"authorization": f"Bearer {KEY}"}, {"x-api-key": SECOND}):
        assert guarded.get(path, headers=headers).status_code == 200


def test_painting_asks_for_a_key_and_health_does_not(guarded):
    assert_problem(post(guarded, PHOTO), 401, "key-missing")
    assert post(guarded, PHOTO, {"authorization": f"Bearer {KEY}"}).status_code == 200
    for path in ("/healthz", "/readyz", "/openapi.json", "/docs"):
        assert guarded.get(path).status_code == 200
    described = guarded.get("/openapi.json").json()
    assert described["paths"]["/stylize"]["post"]["security"] == [{"key": []}]
    assert "security" not in described["paths"]["/healthz"]["get"]


def test_a_key_is_never_shown(guarded, caplog):
    settings = guarded.app.state.service.settings
    assert KEY not in repr(settings)
    assert KEY not in str(vars(Keys([KEY])))
    guarded.get("/styles", headers={"authorization": f"Bearer {KEY}x"})
    assert KEY not in caplog.text
    with pytest.raises(ValidationError) as refused:
        Settings(**SETTINGS, api_keys="short secret")
    assert "short secret" not in refused.value.errors()[0]["msg"]


def test_other_web_sites_are_named():
    asked = {"origin": "https://a.example", "access-control-request-method": "POST"}
    with serving(cors_origins="https://a.example, https://b.example", api_keys=KEY) as client:
        before = client.options(
            "/stylize", headers={**asked, "access-control-request-headers": "authorization"}
        )
        assert before.status_code == 200
        assert before.headers["access-control-allow-origin"] == "https://a.example"
        assert "access-control-allow-credentials" not in before.headers
        refused = client.get("/styles", headers=asked)  # which the script may read
        assert_problem(refused, 401, "key-missing")
        assert refused.headers["access-control-allow-origin"] == "https://a.example"
        assert "RateLimit" in refused.headers["access-control-expose-headers"]
        other = client.options("/stylize", headers={**asked, "origin": "https://c.example"})
        assert other.status_code == 400
        assert "access-control-allow-origin" not in other.headers


def test_no_web_site_is_allowed_by_default(client):
    answer = client.get("/styles", headers={"origin": "https://a.example"})
    assert not any(name.startswith("access-control") for name in answer.headers)


def test_a_client_that_asks_too_often():
    with serving(rate="2/minute") as client:
        answers = [post(client, PHOTO) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert_problem(answers[2], 429, "too-many-requests")
        left = [answer.headers["ratelimit"].split(";")[1] for answer in answers]
        assert left == ["r=1", "r=0", "r=0"]
        assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"default";q=2;w=60'}
        assert 1 <= int(answers[2].headers["retry-after"]) <= 60
        assert client.get("/styles").status_code == 200  # only paintings are counted
        uploaded = client.post("/ui/gradio_api/upload")  # of which a visitor sees the body
        assert (uploaded.status_code, uploaded.headers["retry-after"]) == (
            429,
            answers[2].headers["retry-after"],
        )
        assert uploaded.text == "You have asked as often as one client may for now."


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("api_keys", "x", "fewer than 16 characters"),
        ("api_keys_file", "/dev/null", "STYLIZER_API_KEYS_FILE"),
        ("cors_origins", "example.org", "is no https://HOST"),
        ("cors_origins", "https://example.org/", "is no https://HOST"),
        ("rate", "60", "is nothing like 60/minute"),
        ("rate", "0/minute", "is nothing like 60/minute"),
    ],
)
def test_settings_that_allow_nobody_or_nothing_stop_the_start(name, value, said):
    with pytest.raises(ValidationError, match=said if name != "api_keys_file" else "file"):
        Settings(**SETTINGS, **{name: value})
