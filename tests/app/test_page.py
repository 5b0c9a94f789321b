"""The API with the page mounted beside it. What the page does is tested in a browser."""

from __future__ import annotations

import pytest

from tests.app.conftest import assert_problem, file, opened, picture, post, serving

pytest.importorskip("gradio")


@pytest.fixture(scope="module")
def with_page():
    with serving(page=True) as client:
        yield client


def test_home_leads_to_the_page(with_page):
    response = with_page.get("/")
    assert (response.status_code, response.headers["location"]) == (307, "/ui")
    page = with_page.get("/ui/")
    assert page.status_code == 200
    assert "text/html" in page.headers["content-type"]


def test_the_api_answers_as_without_it(with_page, client):
    data = file(picture())
    assert opened(post(with_page, data)).size == (40, 32)
    assert post(with_page, data).content == post(client, data).content
    assert_problem(with_page.get("/nothing"), 404)
    assert_problem(with_page.get("/stylize"), 405)
    assert with_page.get("/openapi.json").json() == client.get("/openapi.json").json()
    assert with_page.get("/readyz").json() == {"status": "ready"}


def test_requests_of_the_page_are_one_series(with_page):
    with_page.get("/ui/")
    with_page.get("/ui/no/such/file")
    routes = {line.split('route="')[1].split('"')[0] for line in _requests(with_page)}
    assert "/ui" in routes
    assert not any(route.startswith("/ui/") for route in routes)


def _requests(client):
    text = client.get("/metrics").text
    return [line for line in text.splitlines() if line.startswith("stylizer_requests_total{")]
