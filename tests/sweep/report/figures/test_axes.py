"""Objective against each setting, the best of every bin, and whether the best lies at the edge."""

import pytest

from sweep.report.figures.axes import objective_by_axis
from sweep.report.figures.edges import edges, sentences
from sweep.report.figures.searched import cells, rate_cells
from sweep.study import Arm
from tests.sweep.report.figures.searches import ALONE, ARMS, CLIP, DEPTH, LR, RATES, of_arm, parabola, trial


def test_what_diverged_is_marked_above_every_finite_objective() -> None:
    found = objective_by_axis(parabola(2e-3), ALONE)
    assert found is not None
    crosses = [trace for trace in found.figure.data if trace.name == "diverged"]
    assert [len(trace.x) for trace in crosses] == [2, 2]
    drawn = [
        y for trace in found.figure.data if trace.mode == "markers" and trace not in crosses for y in trace.y
    ]
    assert min(crosses[0].y) > max(drawn)
    assert "2 of them diverged" in found.caption


def test_the_line_joins_the_best_trial_of_every_bin_over_all_other_settings() -> None:
    trials = [trial(0, 1e-3, 400.0), trial(1, 1.1e-3, 350.0), trial(2, 5e-2, 500.0), trial(3, 6e-2, None)]
    rows = cells(RATES, trials)
    assert [(len(row.trials), row.infeasible) for row in rows] == [(2, 0), (2, 1)]
    assert [row.best.number for row in rows if row.best] == [1, 2]
    assert all(row.low <= t.params[LR] <= row.high for row in rows for t in row.trials)
    by_value = cells(ALONE.axes[1], trials)
    assert {row.label: row.best.objective for row in by_value if row.best} == {"none": 400.0, "norm": 350.0}


def test_every_trial_is_in_one_bin_though_it_lies_on_the_end_of_the_axis() -> None:
    trials = [trial(k, rate, 300.0) for k, rate in enumerate((1e-4, 1e-3, 1e-2, 1e-1))]
    assert sum(len(row.trials) for row in cells(RATES, trials)) == 4
    assert sum(len(row.trials) for row in rate_cells(trials, None)) == 4
    assert rate_cells(trials[:1], None) == []


@pytest.mark.parametrize(("best", "at"), [(1e-4, "lower"), (2e-3, ""), (1e-1, "upper")])
def test_a_best_at_the_edge_asks_for_a_wider_range(best: float, at: str) -> None:
    trials = [trial(k, rate, 300 + abs(rate - best)) for k, rate in enumerate((1e-4, 2e-3, 1e-1))]
    (edge,) = edges(trials, ALONE)[LR]
    assert (edge.at, edge.value) == (at, best)
    (said,) = sentences({LR: [edge]})
    assert ("widen it" in said) == bool(at)
    assert "0.0001 to 0.1" in said
    found = objective_by_axis(trials, ALONE)
    assert found is not None
    assert len(found.figure.layout.shapes) == bool(at)
    assert found.numbers["edges"][0]["at"] == at


def test_a_setting_is_not_judged_where_it_is_without_effect() -> None:
    plan = ALONE.model_copy(
        update={"axes": (*ALONE.axes, RATES.model_copy(update={"path": "optim.clip_norm_relative"}))}
    )
    for clip, judged in (("none", False), ("norm", True)):
        params = {CLIP: clip, "optim.clip_norm_relative": 1e-4}
        trials = [trial(k, 1e-3, 300.0 + k, params=params) for k in range(3)]
        assert ("optim.clip_norm_relative" in edges(trials, plan)) == judged


def test_each_arm_has_an_edge_of_its_own_and_none_for_what_it_fixes() -> None:
    trials = of_arm(2, parabola(1e-4)) + of_arm(8, parabola(2e-3, first=9))
    found = edges(trials, ARMS)
    assert {row.arm: row.at for row in found[LR]} == {"depth 2": "lower", "depth 8": ""}
    assert list(found) == [LR]
    assert "1 of 2 arms" in sentences(found)[0]


def test_a_rate_at_the_mapped_border_is_not_told_to_go_beyond_it() -> None:
    trials = [trial(k, rate, 300 / rate, lr_cap=1e-2) for k, rate in enumerate((1e-4, 1e-3, 1e-2))]
    (edge,) = edges(trials, ALONE)[LR]
    assert (edge.at, edge.capped, edge.widen) == ("upper", True, False)
    assert "mapped border" in sentences({LR: [edge]})[0]


def test_two_settings_that_never_differ_share_a_panel() -> None:
    decoder = ARMS.axes[1].model_copy(update={"path": "model.decoder_depth"})
    plan = ARMS.model_copy(update={"axes": (*ARMS.axes, decoder), "arms": (Arm(name="all"),)})
    trials = [trial(k, 1e-3, 300.0, params={DEPTH: 2 + k, decoder.path: 2 + k}) for k in range(3)]
    found = objective_by_axis(trials, plan)
    assert found is not None
    assert found.figure.layout.xaxis.title.text == "encoder_depth, decoder_depth"
    assert "xaxis3" not in found.figure.layout  # beside it, the clipping alone
