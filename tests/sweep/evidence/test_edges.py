"""An arm whose tuned rate is at the end of its grid is told, as it might do better beyond."""

from sweep.evidence.edges import at_edges
from sweep.store.trials import BLOCK, LR, TrialView
from sweep.study import Arm, Blocks, FloatAxis, Plan, load_study
from tests.sweep.report.synthetic import made_trial

RATES = (1e-3, 3e-3, 3e-4)
PLAN = Plan(
    base=load_study("depth_study").plan("smoke").base,
    axes=(FloatAxis(path=LR, low=1e-4, high=1e-2, log=True),),
    arms=(Arm(name="wide"), Arm(name="narrow")),
    trials=2,
    blocks=Blocks(grid={LR: RATES}, arms=("wide", "narrow")),
)


def block(number: int, arm: str, best: float | None) -> list[TrialView]:
    """The runs of an arm, of which the one at the rate `best` is the best; None: all diverged."""
    return [
        made_trial(
            3 * number + point,
            objective=None if best is None else 1.0 + (rate != best),
            params={LR: rate},
            outcome="nonfinite" if best is None else "budget",
            phase=BLOCK,
            arm=arm,
            block=number,
            point=point,
            points=len(RATES),
        )
        for point, rate in enumerate(RATES)
    ]


def test_an_end_that_half_of_the_blocks_took_is_told_with_its_count() -> None:
    taken = (3e-4, 3e-4, 1e-3, None)
    trials = [t for number, best in enumerate(taken) for t in block(number, "wide", best)]
    trials += [t for number in range(4) for t in block(number, "narrow", 1e-3)]
    (edge,) = at_edges(PLAN, trials)
    assert (edge.arm, edge.end, edge.value, edge.blocks, edge.of) == ("wide", "smallest", 3e-4, 2, 3)
    assert str(edge).startswith("wide took the smallest `optim.lr` that it tried, 0.0003, in 2 of 3 blocks")


def test_an_end_that_fewer_took_is_not_told() -> None:
    trials = [t for number, best in enumerate((3e-3, 1e-3, 1e-3)) for t in block(number, "wide", best)]
    assert at_edges(PLAN, trials) == []


def test_without_blocks_nothing_is_told() -> None:
    assert at_edges(PLAN, []) == []
    assert at_edges(None, []) == []


def test_a_cap_makes_an_end_of_its_own() -> None:
    capped = PLAN.model_copy(update={"caps": {"wide": 2e-3}})
    trials = [t for t in block(0, "wide", 1e-3) if t.lr != 3e-3]
    for trial in trials:
        trial.stored.user_attrs["points"] = 2
    (edge,) = at_edges(capped, trials)
    assert (edge.end, edge.value) == ("largest", 1e-3)
