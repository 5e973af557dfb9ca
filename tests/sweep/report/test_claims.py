"""A report shows the claims and figures that are about what its study varies, and no others."""

import pytest

from studies.base import SMOKE
from sweep.report.claims import NO_CLAIM, rule_for, shown_claims
from sweep.report.figures import figures
from sweep.search.sampling import search_space
from sweep.store.trials import TrialView
from sweep.study import ChoiceAxis, FloatAxis, Plan, load_study
from tests.sweep.report.synthetic import made_trial

LATENT = "model.latent_dim"
LATENTS = Plan(
    base=SMOKE,
    axes=(
        ChoiceAxis(path=LATENT, choices=(8, 16, 32)),
        FloatAxis(path="optim.lr", low=1e-4, high=1e-1, log=True),
    ),
    trials=6,
)


def latent_trials(count: int = 12) -> list[TrialView]:
    return [
        made_trial(
            k,
            objective=300.0 + 10 * (k % 3) + k,
            params={LATENT: (8, 16, 32)[k % 3], "optim.lr": 1e-3 * (k + 1)},
            outcome="budget",
            space=search_space(LATENTS),
            attrs={"stability/grad_norm_volatility": 0.1 * (k + 1)},
        )
        for k in range(count)
    ]


def keys(study: str, scale: str) -> set[str]:
    return {claim.key.partition(".")[0] for claim in shown_claims(load_study(study).plan(scale), [])}


@pytest.mark.parametrize("scale", ["smoke", "laptop", "paper"])
def test_each_study_is_asked_what_it_declares(scale: str) -> None:
    depth = {"deeper_is_not_better", "middle_is_best", "deeper_is_slower"}
    assert keys("depth_study", scale) == keys("depth_control_study", scale) == depth
    assert {"clipping_steadies", "clipping_costs_quality", "schedules_costs_time"} <= keys(
        "clip_study", scale
    )
    assert keys("rate_study", scale) == {
        "larger_rate_is_better",
        "larger_rate_is_faster",
        "larger_rate_is_erratic",
    }
    assert keys("border_study", scale) == {"near_is_best", "near_is_fastest", "near_is_erratic"}
    assert keys("stopping_study", scale) == {"deeper_stops_later"}
    assert keys("kl_study", scale) == set()
    assert "sweep_plain" in keys("one_run_study", scale)


def test_without_a_plan_nothing_is_claimed() -> None:
    assert shown_claims(None, latent_trials()) == []
    assert rule_for([]) == NO_CLAIM


def test_a_study_of_latent_sizes_has_figures_of_latent_sizes_and_none_of_depth() -> None:
    drawn = {figure.key: figure for figure in figures(latent_trials(), LATENTS, None, [])}
    assert not {"depths", "distance"} & drawn.keys()
    assert drawn["objective"].title == "Objective by latent_dim"
    assert list(drawn["objective"].figure.layout.xaxis.categoryarray) == ["8", "16", "32"]
    assert drawn["border"].figure.layout.xaxis.title.text == LATENT.rpartition(".")[2]
    panels = drawn["axes"].figure
    assert panels.layout.xaxis.title.text == "latent_dim"
    assert panels.layout.xaxis2.title.text == "lr"
    points = [trace for trace in panels.data if trace.mode == "markers" and trace.xaxis == "x"]
    assert [trace.name for trace in points] == ["8", "16", "32"]
    assert sorted(y for trace in points for y in trace.y) == sorted(t.objective for t in latent_trials())
    assert "depth" not in " ".join(figure.title.lower() for figure in drawn.values())


@pytest.mark.parametrize(
    "name", ["depth_study", "clip_study", "kl_study", "border_study", "one_run_study", "train"]
)
def test_every_study_has_its_figures_before_it_has_trials(name: str) -> None:
    for figure in figures([], load_study(name).plan("smoke"), None, []):
        assert figure.missing
        assert figure.figure is None
