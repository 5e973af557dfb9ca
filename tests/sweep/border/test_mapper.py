"""The ladder and the refinement on borders that are known."""

from collections.abc import Callable
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from sweep.border.mapper import Point, Task, half_widths, next_point, next_points, posterior
from tests.sweep.border.synthetic import Synthetic, run_map, synthetic

MakeTask = Callable[..., Task]


def sharp(heights: list[float], seeds: int = 3) -> Synthetic:
    """A border without any spread."""
    b = np.array(heights)
    return Synthetic(b, np.tile(b[:, None], (1, seeds)))


def test_a_sharp_border_is_bracketed_in_every_cell_within_a_step(make_task: MakeTask) -> None:
    truth = sharp([-3.1, -2.9, -2.4, -1.8])
    points = run_map(make_task(), truth)
    for column in range(4):
        for seed in range(3):
            mine = [p for p in points if (p.column, p.seed) == (column, seed)]
            stable = max(p.x for p in mine if not p.crossed)
            crossed = min(p.x for p in mine if p.crossed)
            assert stable <= truth.b[column] <= crossed <= stable + 0.125 + 1e-9


def test_the_first_ladder_comes_from_above_and_the_next_starts_near_it(make_task: MakeTask) -> None:
    points = run_map(make_task(), sharp([-3.0] * 4))
    assert points[0].x == -1.0
    first_stable = next(i for i, p in enumerate(points) if not p.crossed)
    assert all(p.crossed for p in points[:first_stable])
    starts = {(p.column, p.seed): p.x for p in reversed(points)}
    others = [x for cell, x in starts.items() if cell != (0, 0)]
    assert all(-3.0 < x <= -3.0 + 4 * 0.125 for x in others)


def test_stable_runs_are_few_because_they_are_dear(make_task: MakeTask) -> None:
    points = run_map(make_task(precision=1.0), sharp([-3.0, -2.8, -2.6, -2.2]))
    stable = sum(not p.crossed for p in points)
    assert stable <= 2 * 4 * 3
    assert len(points) <= 7 * 4 * 3


def test_the_ladder_goes_up_where_the_neighbours_border_is_far_below(make_task: MakeTask) -> None:
    points = run_map(make_task(columns=2, seeds=1), sharp([-4.0, -1.5], seeds=1))
    second = [p for p in points if p.column == 1]
    assert second[0].x < -1.5
    assert max(p.x for p in second if not p.crossed) == pytest.approx(-1.5, abs=0.126)


@pytest.mark.parametrize(("height", "outcome"), [(0.5, False), (-6.0, True)], ids=["above", "below"])
def test_a_border_outside_the_range_ends_the_search_without_one(
    make_task: MakeTask, height: float, outcome: bool
) -> None:
    task = make_task(columns=2, seeds=2)
    points = run_map(task, sharp([height, height], seeds=2))
    assert {p.crossed for p in points} == {outcome}
    assert all(task.low <= p.x <= task.high for p in points)
    assert len(points) <= 2 * 2 * 14


def test_refinement_goes_to_the_widest_band_and_stops_at_the_precision(make_task: MakeTask) -> None:
    truth = synthetic("ragged", 3)
    coarse, fine = (run_map(make_task(precision=p, column_budget=60), truth) for p in (0.3, 0.12))
    assert len(fine) > len(coarse)
    task = make_task(precision=0.12, column_budget=60)
    widths = half_widths(task, posterior(task, fine))
    budget_left = [sum(p.column == c for p in fine) < 60 for c in range(4)]
    assert all(width <= 0.12 for width, left in zip(widths, budget_left, strict=True) if left)


def test_no_run_is_proposed_twice(make_task: MakeTask) -> None:
    for workers in (1, 3):
        task = make_task(columns=2, precision=0.05, column_budget=24)
        points = run_map(task, synthetic("flat", 1, columns=2), workers)
        places = [(p.column, p.seed, round(p.x, 6)) for p in points]
        assert len(set(places)) == len(places)


def test_it_is_a_function_of_what_was_seen(make_task: MakeTask) -> None:
    """After a crash the next probe is what it would have been, whatever the order of what is in the store."""
    task, truth = make_task(), synthetic("sloped", 5)
    points = run_map(task, truth)
    for end in (1, 7, 20, len(points) - 1):
        assert next_point(task, points[:end]) == replace(points[end], crossed=None)
    shuffled = [points[i] for i in np.random.default_rng(0).permutation(20)]
    assert next_point(task, shuffled) == replace(points[20], crossed=None)


def test_running_probes_make_room_for_others_elsewhere(make_task: MakeTask) -> None:
    task, truth = make_task(), sharp([-3.0, -2.8, -2.6, -2.2])
    known = [p for p in run_map(task, truth) if p.seed == 0]
    running: list[Point] = []
    for _ in range(4):
        point = next_point(task, [*known, *running])
        assert point is not None
        running.append(point)
    assert len({(p.column, p.seed) for p in running}) == 4


@pytest.mark.parametrize("kind", ["flat", "sloped", "stepped", "ragged"])
def test_workers_side_by_side_find_the_same_border_within_its_band(make_task: MakeTask, kind: str) -> None:
    task = make_task(columns=3, seeds=2, column_budget=16)
    truth = synthetic(kind, 2, columns=3, seeds=2)
    alone, together = run_map(task, truth), run_map(task, truth, workers=4)
    assert len(together) <= 1.5 * len(alone)
    one, other = (posterior(task, points).draw(task.z, 2000)[0] for points in (alone, together))
    low, high = np.quantile(one, [0.05, 0.95], axis=0)
    middle = np.median(other, axis=0)
    assert ((low <= middle) & (middle <= high)).all()


class Gapped:
    """Crosses above -3, but for a gap from -2.3 to -2."""

    def crosses(self, point: Point) -> bool:
        return point.x > -3.0 and not -2.3 <= point.x <= -2.0


def test_a_gap_in_a_ragged_border_is_not_taken_for_its_end(make_task: MakeTask) -> None:
    def found(look_below: float) -> list[float]:
        task = make_task(look_below=look_below, precision=0.3)
        points = run_map(task, Gapped())
        mean, _ = posterior(task, points, 128).border(task.z)
        return [float(x) + task.middle for x in posterior(task, points, 128).weights @ mean]

    assert all(-2.1 < x < -1.8 for x in found(0.0))
    assert all(-3.2 < x < -2.3 for x in found(0.6))


def test_from_a_gap_the_ladder_goes_on_to_the_next_stable_run(make_task: MakeTask) -> None:
    points = run_map(make_task(columns=1, seeds=1, look_below=0.6, precision=9.0), Gapped())
    stable = sorted(p.x for p in points if not p.crossed)
    assert stable[0] == pytest.approx(-3.0, abs=0.126)
    assert -2.3 <= stable[-1] <= -2.0


def test_a_sharp_border_costs_one_run_a_cell_more(make_task: MakeTask) -> None:
    truth = sharp([-3.1, -2.9, -2.4, -1.8])
    without, looked = (run_map(make_task(look_below=b, precision=9.0), truth) for b in (0.0, 0.6))
    assert len(looked) <= len(without) + 4 * 3
    for column in range(4):
        for seed in range(3):
            mine = [p.x for p in looked if (p.column, p.seed) == (column, seed)]
            assert min(mine) < truth.b[column] - 0.5


def test_many_at_once_begin_with_what_a_single_worker_would_ask_for(make_task: MakeTask) -> None:
    task, truth = make_task(), synthetic("ragged", 3)
    points = run_map(task, truth)
    for end in (0, 5, len(points) - 3):
        asked = list(islice(next_points(task, points[:end]), 8))
        assert asked[0] == next_point(task, points[:end]) == replace(points[end], crossed=None)
        places = [(p.column, p.seed, p.x) for p in (*points[:end], *asked)]
        assert len(set(places)) == len(places)


def test_refinement_goes_on_beside_running_probes_in_other_cells(make_task: MakeTask) -> None:
    task, truth = make_task(precision=0.05, column_budget=60), synthetic("ragged", 3)
    coarse = run_map(make_task(precision=0.3, column_budget=60), truth)
    first = next_point(task, coarse)
    assert first is not None
    second = next_point(task, [*coarse, first])
    assert second is not None
    assert (second.column, second.seed) != (first.column, first.seed)
    everything = list(next_points(task, coarse))
    cells = [(p.column, p.seed) for p in everything]
    assert len(set(cells)) == len(cells) > 1


def test_a_column_that_running_probes_will_make_narrow_enough_gets_no_more(make_task: MakeTask) -> None:
    task = make_task(columns=1, precision=0.12, column_budget=60)
    truth = synthetic("flat", 2, columns=1)
    known = run_map(make_task(columns=1, precision=0.3, column_budget=60), truth)
    width = float(half_widths(task, posterior(task, known))[0])
    nearly = replace(task, precision=width - 1e-3)
    asked = list(next_points(nearly, known))
    assert len(asked) == 1
    assert next_point(nearly, [*known, *asked]) is None
