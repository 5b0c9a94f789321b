"""Settings: from the environment, checked, with the container's cores."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from app.settings import Settings, misspelt


def test_defaults():
    settings = Settings()
    assert settings.max_upload_bytes == 64_000_000
    assert settings.max_pixels == 120_000_000
    assert settings.max_side == 1280
    assert (settings.host, settings.port) == ("127.0.0.1", 7860)
    assert settings.threads >= 1


def test_environment(monkeypatch):
    monkeypatch.setenv("STYLIZER_QUEUE_LENGTH", "3")
    monkeypatch.setenv("STYLIZER_THREADS", "5")
    monkeypatch.setenv("STYLIZER_PAGE", "false")
    settings = Settings()
    assert (settings.queue_length, settings.threads, settings.page) == (3, 5, False)
    assert Settings(queue_length=4).queue_length == 4


@pytest.mark.parametrize(
    "wrong",
    [
        {"queue_length": -1},
        {"deadline_seconds": 0},
        {"deadline_seconds": float("nan")},
        {"upload_seconds": float("inf")},
        {"min_side": 8},
        {"max_side": 2561},
        {"min_side": 1281},
        {"threads": 0},
        {"port": 70_000},
        {"log_level": "loud"},
        {"engine": "steam"},
        {"device": "tpu"},
        {"device": "openvino:"},
        {"gpu_memory": 0},
        {"gpu_memory": 1.1},
        {"batch": 0},
        {"root_path": "stylizer"},
        {"root_path": "/"},
    ],
    ids=str,
)
def test_out_of_range(wrong):
    with pytest.raises(ValidationError):
        Settings(**wrong)


def test_every_setting_has_a_default_and_says_why():
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert not field.is_required(), name


def test_misspelt():
    right = ("STYLIZER_PORT", "stylizer_port", "STYLIZER_OWN_STYLES", "PATH")
    assert misspelt(right) == []
    assert misspelt(["STYLIZER_QQQ", "STYLIZER_MAX_PIXEL", *right]) == [
        "There is no setting STYLIZER_MAX_PIXEL; STYLIZER_MAX_PIXELS may be meant.",
        "There is no setting STYLIZER_QQQ.",
    ]


@pytest.mark.parametrize(
    ("host", "given", "trains"),
    [
        ("127.0.0.1", None, True),
        ("localhost", None, True),
        ("::1", None, True),
        ("0.0.0.0", None, False),
        ("::", None, False),
        ("192.168.0.5", None, False),
        ("example.org", None, False),
        ("0.0.0.0", True, True),
        ("127.0.0.1", False, False),
    ],
)
def test_training_is_on_where_only_this_machine_is_served(host, given, trains):
    assert Settings(host=host, allow_training=given).trains is trains
