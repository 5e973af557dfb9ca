"""A report shows the claims and figures that are about what its study varies, and no others."""

import pytest

from studies.base import SMOKE
from sweep.report.evidence import Evidence, claims
from sweep.report.figures import figures
from sweep.search.sampling import search_space
from sweep.store.trials import TrialView
from sweep.study import Arm, ChoiceAxis, FloatAxis, Plan, load_study
from tests.sweep.report.synthetic import depth_records, made_trial

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


def keys(study: str, scale: str) -> list[str]:
    return [claim.key for claim in claims(Evidence(study, [], load_study(study).plan(scale)))]


@pytest.mark.parametrize("scale", ["smoke", "laptop", "paper"])
def test_each_study_is_asked_what_its_plan_varies(scale: str) -> None:
    assert keys("depth_study", scale) == ["depth", "depth_fixed_bottleneck"]
    assert keys("depth_control_study", scale) == ["depth_fixed_bottleneck"]
    assert keys("clip_study", scale) == ["tradeoff_clipping", "tradeoff_decay"]
    assert keys("border_study", scale) == ["border"]
    assert keys("kl_study", scale) == []
    assert "sweep_plain" in keys("one_run_study", scale)


def test_the_arms_decide_and_not_the_name() -> None:
    plan = load_study("depth_control_study").plan("laptop")
    assert [c.key for c in claims(Evidence("another name", [], plan))] == ["depth_fixed_bottleneck"]
    pinned = load_study("depth_study").plan("laptop").with_settings({"model.encoder_depth": 4})
    assert [c.key for c in claims(Evidence("depth_study", [], pinned))] == []
    schedules = tuple(Arm(name=name, settings={"optim.lr_schedule": name}) for name in ("constant", "cosine"))
    plan = LATENTS.model_copy(update={"arms": schedules})
    assert [c.key for c in claims(Evidence("mine", [], plan))] == ["tradeoff_decay"]


def test_without_a_plan_the_trials_say_whether_depth_varies() -> None:
    assert [c.key for c in claims(Evidence("old", depth_records(0)))] == ["depth"]
    assert claims(Evidence("old", latent_trials())) == []


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
