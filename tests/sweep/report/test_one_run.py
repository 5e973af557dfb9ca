"""One run against sweeps: what the claims and tables make of runs whose truth is known."""

import math
from collections.abc import Mapping

import numpy as np
import pytest

from sweep.report.methods import Claim, one_run_claims
from sweep.report.methods.one_run import BOUNDED_SWEEP, PRESET, STUDY, SWEEP, UNBOUND, log_ratios
from sweep.report.methods.one_run import by_method as runs_of
from sweep.store.trials import TrialView
from sweep.study import load_study
from tests.sweep.report.synthetic import made_trial

CELLS = ("depth 2, 600 steps", "depth 4, 600 steps", "batch 8")


def made(
    effects: Mapping[str, float], seeds: int = 5, spread: float = 0.01, lost: frozenset[str] = frozenset()
) -> list[TrialView]:
    """Method -> log of its objective over that of nothing; runs of the arms named in `lost` diverge."""
    noise = np.random.default_rng(0)
    records = []
    for seed in range(seeds):
        for at, cell in enumerate(CELLS):
            shared = 0.1 * noise.standard_normal()
            for method, effect in effects.items():
                arm = f"{method}: {cell}"
                log = at + shared + effect + spread * noise.standard_normal()
                records.append(
                    made_trial(
                        number=len(records),
                        phase="confirm",
                        arm=arm,
                        seed=seed,
                        objective=None if arm in lost else math.exp(log),
                        params={"optim.lr": 3e-3},
                        attrs={"setting": arm, "lr/border_search_steps": 20}
                        if method == PRESET
                        else {"setting": arm},
                    )
                )
    return records


def judged(records: list[TrialView]) -> dict[str, Claim]:
    return {claim.key: claim for claim in one_run_claims(records)}


@pytest.mark.parametrize(
    ("preset", "verdict"), [(0.1, "supported"), (0.0, "contradicted"), (-0.1, "contradicted")]
)
def test_a_sweep_is_worth_its_runs_where_it_is_better(preset: float, verdict: str) -> None:
    found = judged(made({PRESET: preset, SWEEP: 0.0, BOUNDED_SWEEP: 0.0}))
    assert found["sweep_plain"].verdict == found["sweep_bounded"].verdict == verdict
    ratio = found["sweep_plain"].findings[0].ratio
    assert ratio == pytest.approx(math.exp(preset), rel=0.02)


def test_a_controller_ships_only_where_two_per_cent_are_there() -> None:
    found = judged(made({PRESET: 0.0, "ramp": -0.05, "border cap": 0.0, "edge ratio": 0.05}))
    assert found["controller_ramp"].verdict == "supported"
    assert found["controller_border_cap"].verdict == "contradicted"
    assert found["controller_edge_ratio"].verdict == "contradicted"


def test_cells_beside_the_grid_are_in_no_claim_and_in_the_table() -> None:
    worse = [
        record if record.arm != f"{PRESET}: batch 8" else made({PRESET: 3.0})[record.number]
        for record in made({PRESET: 0.0})
    ] + made({SWEEP: 0.0})
    found = judged(worse)
    assert found["sweep_plain"].findings[0].ratio == pytest.approx(1.0, abs=0.02)
    _, cells = found["sweep_plain"].tables
    row = next(row for row in cells.rows if row[0] == "batch 8")
    assert float(row[4].split()[0]) == pytest.approx(math.exp(3.0), rel=0.05)
    assert row[-1] == "20"


def test_a_cell_with_a_divergence_is_left_out_of_the_means_and_counted() -> None:
    lost = frozenset({f"{UNBOUND}: {CELLS[0]}"})
    records = made({PRESET: 0.0, SWEEP: 0.0, UNBOUND: 0.2}, lost=lost)
    found = judged(records)
    methods, _ = found["sweep_plain"].tables
    row = next(row for row in methods.rows if row[0] == UNBOUND)
    assert row[1:3] == ("10", "5")
    assert "1 of 2 cells left out" in row[3]
    assert list(log_ratios(runs_of(records), UNBOUND, SWEEP, CELLS[:2])) == [CELLS[1]]
    # No seed has a value in every cell.
    assert found["bound"].verdict == "inconclusive"
    assert "diverged" in found["bound"].why
    assert "none of whose runs diverge" in found["bound"].settle
    assert f"Diverged: 5 of 10 runs of {UNBOUND} ({CELLS[0]}: 5)." in found["bound"].notes
    assert f"Diverged: 0 of 10 runs of {PRESET}." in found["bound"].notes


def test_without_runs_every_claim_is_open_and_says_what_to_do() -> None:
    assert {claim.verdict for claim in judged([]).values()} == {"inconclusive"}
    assert all("one_run_study" in claim.settle for claim in judged([]).values())


@pytest.mark.parametrize("scale", ["smoke", "laptop", "paper"])
def test_the_study_has_the_methods_that_the_claims_are_about(scale: str) -> None:
    plan = load_study(STUDY).plan(scale)
    methods = {arm.name.partition(": ")[0] for arm in plan.arms}
    assert {PRESET, UNBOUND, SWEEP, BOUNDED_SWEEP} < methods
    for arm in plan.arms:
        bounded = arm.settings["model.logvar_bound"] == "soft"
        assert bounded == (arm.name.partition(": ")[0] != SWEEP and "without the bound" not in arm.name)
    assert plan.trials == sum(len(arm.grid["optim.lr"]) for arm in plan.arms if arm.grid)
