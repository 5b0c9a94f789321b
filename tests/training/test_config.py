"""Training settings."""

import json

import pytest

from transformer_net.errors import SettingError, UnknownNormError
from transformer_net.network import MARGIN
from transformer_net.training.config import TrainConfig, parse_duration
from transformer_net.training.schedule import make_schedule


def test_round_trip_through_json():
    config = TrainConfig("mosaic", norm="SE", norm_options={"reduction": 8}, layer_weights=(1, 2, 3, 4))
    assert config.norm == "bn+se"
    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("width", 0),
        ("iterations", 0),
        ("batch_size", 0),
        ("size", 31),
        ("early_size", 16),
        ("style_size", 10),
        ("warmup_iterations", -1),
        ("style_weight", -0.1),
        ("content_weight", float("nan")),
        ("tv_weight", float("inf")),
        ("lr", 0.0),
        ("lr", 2.0),
        ("crop_scale", 0.0),
        ("crop_scale", 1.1),
        ("grain", -1.0),
        ("seed", -1),
        ("seed", 2**63),
        ("budget", -1.0),
        ("budget", float("inf")),
        ("locality", 1.1),
        ("locality", float("nan")),
        ("precision", "int8"),
        ("layer_weights", (1, 2)),
    ],
)
def test_values_out_of_range_are_named(name, value):
    with pytest.raises(SettingError, match=name.replace("_", "-")):
        TrainConfig("mosaic", **{name: value})


def test_unknown_norm():
    with pytest.raises(UnknownNormError):
        TrainConfig("mosaic", norm="layer")


def test_unknown_option():
    with pytest.raises(SettingError, match="'momentum'"):
        TrainConfig.from_dict({"style": "x", "momentum": 0.1})


def test_learning_rate_rises_to_the_peak_and_falls_to_zero():
    schedule = make_schedule(TrainConfig("x", iterations=1000, warmup_iterations=0, lr=0.002))
    rates = [schedule.learning_rate(i) for i in range(1000)]
    peak = rates.index(max(rates))
    assert 95 <= peak <= 105
    assert max(rates) == pytest.approx(0.002, rel=0.01)
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert 0 < rates[0] < 1e-4
    assert 0 < rates[-1] < 1e-6


def test_crops_are_smaller_early():
    config = TrainConfig("x", warmup_iterations=2, warmup_size=64, iterations=5, size=160, early_size=96)
    assert [make_schedule(config).crop_size(i) for i in range(7)] == [64, 64, 96, 96, 96, 160, 160]
    for size, early in [(160, 0), (96, 112), (96, 96)]:
        config = TrainConfig("x", warmup_iterations=0, size=size, early_size=early)
        assert make_schedule(config).crop_size(0) == size


@pytest.mark.parametrize("iterations", [1, 2, 5, 100])
@pytest.mark.parametrize("warmup", [0, 3])
def test_the_time_left_knows_of_larger_crops_to_come(iterations, warmup):
    """Each step taking as long as its crops are large, it is right after every one of them."""
    config = TrainConfig("x", warmup_iterations=warmup, iterations=iterations, size=192, early_size=112)
    schedule = make_schedule(config)
    share = {"warm-up": 0.35, "style": 1.0}  # a warm-up step has no losses to compute
    steps = [
        share[schedule.phase(i)] * (schedule.crop_size(i) + 2 * MARGIN) ** 2
        for i in range(config.total_iterations)
    ]
    for done in range(1, config.total_iterations + 1):
        assert schedule.seconds_left(done, steps[done - 1]) == pytest.approx(sum(steps[done:]))
        assert schedule.work_left(done) == pytest.approx(sum(steps[done:]))


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("3m", 180), ("1h", 3600), ("1h30m", 5400), ("0.5m", 30), ("45", 45)]
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0s", "-3m", "3 weeks", "1.2.3s", "m", "nan"])
def test_no_durations(text):
    with pytest.raises(SettingError, match="written like"):
        parse_duration(text)


def test_a_lattice_loss_needs_paintings_to_compare():
    with pytest.raises(SettingError, match="batch_size must be at least 2"):
        TrainConfig("test", lattice=1.0, batch_size=1)
