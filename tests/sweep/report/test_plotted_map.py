"""The report reads the map that a border study writes, and places runs on it as the map itself does."""

import dataclasses
import json
import math

import pytest

from sweep.border.conflict import Conflict
from sweep.border.model import BorderModel, BorderRun
from sweep.report.figures.border import border_figure, quality_by_distance
from sweep.report.plotted_map import PlottedMap, read
from sweep.store.trials import TrialView
from sweep.study.border_plan import Across, Plane
from tests.sweep.border.test_map import BORDER, made
from tests.sweep.report.synthetic import made_trial

PLANE = Plane(
    across=(
        Across(name="depth", paths=("model.encoder_depth", "model.decoder_depth"), values=(2, 4, 8)),
        Across(name="halvings", paths=("model.max_downsamples",), values=(2, 4)),
    ),
    cells=((2, 4), (4, 4), (8, 4), (8, 2)),
)
HEIGHTS = (-2.7, -2.1, -2.2, -2.6)


@pytest.fixture(scope="module")
def model() -> BorderModel:
    runs = [
        BorderRun(column, seed, height + offset, offset > 0, 10, 0)
        for column, height in enumerate(HEIGHTS)
        for seed in range(3)
        for offset in (-0.5, -0.3, -0.1, 0.1, 0.3, 0.5)
    ]
    return BorderModel("nonfinite", PLANE, (0, 1, 2), runs)


@pytest.fixture(scope="module")
def found(model: BorderModel) -> PlottedMap:
    document = json.loads(json.dumps({"study": "border_study", "labels": {"nonfinite": model.as_dict()}}))
    read_back = read(document, "nonfinite", {"model.max_downsamples": 4})
    assert read_back
    return read_back


def run(depth: int, rate: float, **more: object) -> TrialView:
    params = {"model.encoder_depth": depth, "model.decoder_depth": depth, "optim.lr": rate}
    return made_trial(1, objective=300.0, outcome="budget", params=params | more)


def test_a_run_is_as_far_from_the_border_as_the_map_says(model: BorderModel, found: PlottedMap) -> None:
    for depth in (2, 4, 8):
        trial = run(depth, 1e-3)
        theirs = model.distance({**trial.params, "model.max_downsamples": 4})
        assert theirs
        assert found.distance(trial) == pytest.approx(theirs[0], abs=0.02)
    other_grid = run(8, 1e-3, **{"model.max_downsamples": 2})
    assert (found.distance(other_grid) or 0) < (found.distance(run(8, 1e-3)) or 0)


def test_a_run_outside_the_plane_has_no_distance(found: PlottedMap) -> None:
    assert found.distance(run(6, 1e-3)) is None
    assert found.distance(run(2, 1e-3, **{"model.max_downsamples": 2})) is None


def test_a_map_without_a_border_of_the_learning_rate_is_none(model: BorderModel) -> None:
    document = {"study": "b", "labels": {"nonfinite": model.as_dict()}}
    for row in document["labels"]["nonfinite"]["columns"]:  # type: ignore[index]
        row["border"] = None
    assert read(document) is None
    assert read({"study": "b", "labels": {}}) is None


def test_the_figures_show_the_border_with_its_band_and_every_column(found: PlottedMap) -> None:
    trials = [run(depth, 10**x) for depth in (2, 4, 8) for x in (-4.0, -3.5, -3.0)]
    drawn = border_figure(trials, found)
    assert drawn.figure is not None
    lines = [t for t in drawn.figure.data if t.name and "border" in t.name]
    assert {line.name for line in lines} == {"nonfinite border, halvings 2", "nonfinite border, halvings 4"}
    usual = next(line for line in lines if line.name.endswith("4"))
    assert [math.log10(y) for y in usual.y] == pytest.approx(list(HEIGHTS[:3]), abs=0.1)
    placed = quality_by_distance(trials, found)
    assert placed.figure is not None
    assert len(placed.figure.data) == 3
    assert quality_by_distance(trials, None).missing
    assert border_figure(trials, None).figure is not None


def test_what_the_map_says_in_words_stands_below_its_figure() -> None:
    heights = [-2.0 - 0.1 * column for column in range(len(BORDER.plane.columns))]
    conflict = Conflict(
        "nonfinite", "depth 8, halvings 4, width 16", runs=3, crossed=3, expected=0.2, p=0.001
    )
    mapped = dataclasses.replace(made(heights), conflicts=[conflict])
    drawn = border_figure([run(4, 1e-3), run(8, 1e-2)], read(json.loads(json.dumps(mapped.as_dict()))))
    assert len(drawn.notes) == 2
    assert "nonfinite border on log10 head fan-in, depth, halvings together: " in drawn.notes[0]
    assert drawn.notes[1] == str(conflict)
