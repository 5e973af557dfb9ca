"""What is said of a border: bands, lines, distances, and nothing where there is none."""

import json
import math

import numpy as np
import pytest

from sweep.border.model import BorderModel, BorderRun
from sweep.study.border_plan import Across, Plane

CLIP = Across(name="clip norm", paths=("optim.clip_norm",), values=(1.0, 3.0, 10.0, 30.0, 100.0), log=True)
PLANE = Plane(low=1e-5, high=10.0, across=(CLIP,))


def runs_around(heights: list[float], plane: Plane = PLANE, step: float = 0.125) -> list[BorderRun]:
    """Three seeds a column; every run within 0.4 decades of its border, on a lattice."""
    low, high = math.log10(plane.low), math.log10(plane.high)
    x = np.arange(low, high + 1e-9, step)
    return [
        BorderRun(column, seed, float(at), bool(at > height + 0.05 * (seed - 1)), 10, 0)
        for column, height in enumerate(heights)
        for seed in range(3)
        for at in x[np.abs(x - height) < 0.4]
    ]


def model(heights: list[float], plane: Plane = PLANE) -> BorderModel:
    return BorderModel("nonfinite", plane, (0, 1, 2), runs_around(heights, plane))


def test_a_line_in_log_log_has_its_slope_in_the_interval() -> None:
    heights = [-0.7 - math.log10(clip) for clip in CLIP.values]
    line = model(heights).line()
    assert line is not None
    slope, low, high = line.slopes["clip norm"]
    assert slope == pytest.approx(-1, abs=0.08)
    assert low is not None
    assert high is not None
    assert low < -1 < high
    assert high - low < 0.4
    assert line.offset == pytest.approx(-0.7, abs=0.1)
    assert line.is_line


def test_a_step_is_not_called_a_line() -> None:
    line = model([-3.0, -3.0, -3.0, -1.5, -1.5]).line()
    assert line is not None
    assert not line.is_line
    assert line.worst > 0.3


def test_two_effects_are_told_apart_where_the_columns_allow_it() -> None:
    depths = Across(name="depth", paths=("model.encoder_depth", "model.decoder_depth"), values=(2, 4, 8))
    halvings = Across(name="halvings", paths=("model.max_downsamples",), values=(2, 3, 4, 5))
    cells = ((2, 4), (4, 4), (8, 4), (4, 2), (8, 2), (8, 3), (8, 5))
    plane = Plane(across=(depths, halvings), cells=cells)
    fan_in = [8192, 2048, 2048, 8192, 8192, 4096, 512]
    heights = [1.4 - math.log10(value) for value in fan_in]
    line = model(heights, plane).line(
        {"fan-in": [math.log10(value) for value in fan_in], "depth": [depth for depth, _ in cells]}
    )
    assert line is not None
    assert line.slopes["fan-in"][0] == pytest.approx(-1, abs=0.1)
    slope, low, high = line.slopes["depth"]
    assert slope == pytest.approx(0, abs=0.02)
    assert low is not None
    assert high is not None
    assert low < 0 < high


def test_columns_that_move_together_give_no_two_slopes() -> None:
    values = [float(i) for i in range(5)]
    assert model([-2.0] * 5).line({"one": values, "twice": [2 * v for v in values]}) is None


def test_from_too_few_columns_there_is_no_interval() -> None:
    plane = Plane(across=(Across(name="depth", paths=("model.encoder_depth",), values=(2, 4)),))
    line = model([-3.0, -2.0], plane).line()
    assert line is not None
    assert line.slopes["depth"][1:] == (None, None)


def test_it_survives_json_with_its_runs() -> None:
    one = model([-2.0, -2.2, -2.4, -2.6, -2.8])
    facts = json.loads(json.dumps(one.as_dict(), allow_nan=False))
    other = BorderModel.from_dict(facts)
    assert other.runs == one.runs
    assert other.columns == one.columns
    assert other.as_dict() == one.as_dict()


def test_distance_is_in_decades_below_and_probability_is_half_at_the_border() -> None:
    found = model([-2.0] * 5)
    at_border = {"optim.lr": 1e-2, "optim.clip_norm": 10.0}
    middle, low, high = found.distance(at_border | {"optim.lr": 1e-3}) or (0, 0, 0)
    assert middle == pytest.approx(1, abs=0.08)
    assert low < 1 < high
    assert (found.distance(at_border | {"optim.lr": 1e-1}) or (0,))[0] == pytest.approx(-1, abs=0.08)
    assert found.probability(at_border) == pytest.approx(0.5, abs=0.2)
    assert (found.probability(at_border | {"optim.lr": 1e-4}) or 1) < 0.01
    between = found.distance(at_border | {"optim.clip_norm": 5.0})
    assert between is not None
    assert between[0] == pytest.approx(0, abs=0.1)


def test_a_config_outside_the_plane_has_no_distance() -> None:
    assert model([-2.0] * 5).distance({"optim.lr": 1e-3}) is None


@pytest.mark.parametrize(
    ("crossed", "status", "words"), [(False, "above", "lies above"), (True, "below", "none is stable")]
)
def test_a_border_outside_the_range_is_said_and_not_invented(crossed: bool, status: str, words: str) -> None:
    runs = [BorderRun(0, 0, x, crossed, 10, 0) for x in (-5.0, -2.0, 1.0)]
    found = BorderModel("blowup", PLANE, (0,), runs)
    assert found.columns[0].status == status
    assert found.columns[0].border is None
    assert found.columns[1].status == "empty"
    assert words in found.sentences()[0]
    assert len(found.sentences()) == 5
    assert found.sigma is None
    assert found.line() is None
    assert found.distance({"optim.lr": 1e-3, "optim.clip_norm": 1.0}) is None
    json.dumps(found.as_dict(), allow_nan=False)


def test_a_column_outside_the_range_leaves_the_others_their_border() -> None:
    runs = [*runs_around([-2.0, -2.0]), *(BorderRun(2, 0, x, False, 10, 0) for x in (-1.0, 0.0, 1.0))]
    found = BorderModel("blowup", PLANE, (0, 1, 2), runs)
    assert [row.status for row in found.columns] == ["found", "found", "above", "empty", "empty"]
    assert found.columns[0].border == pytest.approx(-2, abs=0.1)
