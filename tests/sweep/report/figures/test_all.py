"""Which figures a study has: of its search those with something to say, and a map only where it belongs."""

import json
from collections.abc import Callable

import pytest

from sweep.report.figures import figures
from sweep.store.trials import TrialView
from sweep.study import Plan, load_study
from tests.sweep.report.figures.searches import ALONE, parabola, trial, with_curve
from tests.sweep.report.synthetic import border_map, clip_records, depth_records, distance_records

MAPPED = load_study("border_study").plan("smoke")
CLIP_STUDY = load_study("clip_study").plan("smoke")


@pytest.mark.parametrize(
    ("plan", "made"),
    [
        (None, lambda: parabola(2e-3)),
        (ALONE, lambda: parabola(2e-3)),
        (ALONE, lambda: [trial(0, 1e-3, 300.0)]),
        (ALONE, lambda: [trial(k, 1e-3 * (k + 1), None) for k in range(5)]),
        (ALONE, lambda: [with_curve(t, [500.0, 300.0]) for t in parabola(2e-3)]),
        (MAPPED, lambda: distance_records(0, 0.3, 0.25)),
        (load_study("depth_study").plan("laptop"), lambda: depth_records(0)),
        (CLIP_STUDY, lambda: clip_records(0)),
    ],
)
def test_every_figure_is_drawn_or_says_why_not_and_its_numbers_are_json(
    plan: Plan | None, made: Callable[[], list[TrialView]]
) -> None:
    for borders in (None, border_map()):
        for figure in figures(made(), plan, borders, []):
            assert (figure.figure is None) == bool(figure.missing)
            json.dumps(figure.numbers, allow_nan=False)
            assert not figure.of_search or figure.figure is None or figure.height > 0


def test_a_search_has_all_that_the_playbook_asks_for_and_a_sentence_of_each() -> None:
    trials = [with_curve(t, [500.0, 300.0]) for t in parabola(2e-3)]
    of_search = {f.key: f for f in figures(trials, ALONE, None, []) if f.of_search}
    assert {"axes", "infeasible", "validation", "progress", "sensitivity"} <= of_search.keys()
    assert all(any(letter.isdigit() for letter in f.finding) for f in of_search.values())


def test_a_map_that_does_not_concern_the_study_is_not_mentioned() -> None:
    drawn = [figure.key for figure in figures(clip_records(0), CLIP_STUDY, border_map(), [])]
    assert "border" not in drawn
    titles = {f.key: f.title for f in figures(parabola(2e-3), None, None, [])}
    assert titles.get("border") != "Map of the border"
