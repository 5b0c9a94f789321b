"""The OpenAPI document: complete, and true for whatever may be made up from it."""

from __future__ import annotations

import hypothesis
import pytest
import schemathesis
from schemathesis.specs.openapi.checks import positive_data_acceptance

from app.main import create_app
from app.settings import Settings
from tests.app.conftest import SETTINGS

ROUTES = {
    "/stylize": "post",
    "/styles": "get",
    "/styles/{style}/image": "get",
    "/healthz": "get",
    "/readyz": "get",
    "/metrics": "get",
}


def test_every_route_is_described(client):
    document = client.get("/openapi.json").json()
    assert {path: next(iter(methods)) for path, methods in document["paths"].items()} == ROUTES
    for path, method in ROUTES.items():
        operation = document["paths"][path][method]
        assert operation["summary"]
        assert operation["description"]
        for parameter in operation.get("parameters", []):
            assert parameter["description"]
        for status, response in operation["responses"].items():
            assert response["description"]
            assert response["content"]
            if int(status) >= 400:
                assert list(response["content"]) == ["application/problem+json"]
                assert response["content"]["application/problem+json"]["examples"]
    assert {"400", "404", "406", "408", "413", "415", "422", "500", "503", "504"} <= set(
        document["paths"]["/stylize"]["post"]["responses"]
    )


def test_the_examples_of_a_refused_field_are_what_comes(client):
    response = client.get("/openapi.json").json()["paths"]["/styles/{style}/image"]["get"]["responses"]["422"]
    example = response["content"]["application/problem+json"]["examples"]["invalid-request"]["value"]
    came = client.get("/styles/mosaic/image?size=1").json()
    assert {key: came[key] for key in ("type", "title", "status")} == {
        key: example[key] for key in ("type", "title", "status")
    }


def test_every_field_is_described(client):
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert "Problem" in schemas
    assert not any("HTTPValidationError" in name for name in schemas)
    for name, schema in schemas.items():
        for field, description in schema["properties"].items():
            assert description.get("description"), f"{name}.{field}"


KEY = "0123456789abcdef"

app = create_app(
    Settings(**SETTINGS, api_max_side=64, max_side=64, api_keys=KEY, cors_origins="*", rate="999999/second")
)
schema = schemathesis.openapi.from_asgi("/openapi.json", app)

# Names of styles and normalizers are not in the schema, so text that fits it may be refused.
EXCLUDED = [positive_data_acceptance]


@pytest.fixture(scope="module", autouse=True)
def _warm():
    app.state.service.warm()  # the schema's own client starts and stops the application


@pytest.mark.slow
@schema.parametrize()
@hypothesis.settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
def test_fuzz(case):
    case.call_and_validate(excluded_checks=EXCLUDED, headers={"Authorization": f"Bearer {KEY}"})
