"""The table of image quality is made of whatever metrics the trials have."""

import json
from typing import Any

from sweep.report.quality import MOST_COLUMNS, quality_table
from sweep.store.trials import TrialView
from sweep.study import load_study
from tests.sweep.report.synthetic import made_trial

PLAN = load_study("depth_study").plan("smoke")


def measured(number: int, depth: int, objective: float, **quality: Any) -> TrialView:
    return made_trial(
        number,
        objective=objective,
        arm=f"depth {depth}",
        attrs={f"quality/{name}": value for name, value in quality.items()},
    )


def test_a_new_metric_is_a_row_with_its_interval_and_floor() -> None:
    trial = made_trial(
        0,
        objective=1.0,
        attrs={
            "quality/wiggle": 0.5,
            "quality/wiggle_floor": 0.1,
            "quality_intervals": {"wiggle": [0.4, 0.6]},
            "quality/ground_floor": 7.0,
        },
    )
    table = quality_table([trial], None)
    assert table.metrics == ["ground_floor", "wiggle"]
    score = table.columns[0].scores["wiggle"]
    assert (score.value, score.low, score.high, score.floor) == (0.5, 0.4, 0.6, 0.1)
    assert (table.floor("wiggle"), table.floor("ground_floor")) == (0.1, None)
    json.dumps(table.as_dict(), allow_nan=False)


def test_figures_of_an_older_store_stand_under_the_names_of_what_they_are() -> None:
    old = made_trial(
        0,
        objective=1.0,
        attrs={"quality/kid": 2.5, "quality/kid_floor": 0.1, "quality_intervals": {"kid": [2.0, 3.0]}},
    )
    score = quality_table([old], None).columns[0].scores["mmd_random"]
    assert (score.value, score.low, score.high, score.floor) == (2.5, 2.0, 3.0, 0.1)
    assert quality_table([old], None).metrics == ["mmd_random"]


def test_every_arm_shows_its_best_trial() -> None:
    trials = [
        measured(0, 2, 300.0, kid_imagenet=3.0),
        measured(1, 2, 200.0, kid_imagenet=2.0),
        measured(2, 4, 100.0, kid_imagenet=1.0, kid_imagenet_floor=0.1),
        made_trial(3, objective=1.0, arm="depth 8"),
        made_trial(4, objective=None, arm="depth 6", attrs={"quality/kid_imagenet": 9.0}),
    ]
    table = quality_table(trials, PLAN)
    assert [(column.group, column.trial) for column in table.columns] == [("depth 4", 2), ("depth 2", 1)]
    assert [column.scores["kid_imagenet"].value for column in table.columns] == [1.0, 2.0]


def test_without_a_measurement_the_table_is_empty_and_with_many_arms_it_is_cut() -> None:
    assert quality_table([made_trial(0, objective=1.0)], PLAN).columns == []
    many = [measured(k, k, float(k + 1), kid_imagenet=float(k)) for k in range(MOST_COLUMNS + 3)]
    table = quality_table(many, PLAN)
    assert [column.trial for column in table.columns] == list(range(MOST_COLUMNS))
    assert table.left_out == 3
