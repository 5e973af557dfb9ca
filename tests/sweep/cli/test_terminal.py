"""What a run shows while it works and at its end, for studies of any kind."""

import io
import os
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from rich.console import Console

from studies.base import SMOKE
from sweep.cli.progress import Display, describe_trial
from sweep.cli.terminal import show_border_end, show_groups
from sweep.engine.trial import describe_trial as facts_of
from sweep.store.groups import groups_of
from sweep.store.trials import TrialView
from sweep.study import Arm, ChoiceAxis, FloatAxis, Plan, load_study
from sweep.study.config import with_settings
from tests.conftest import RUN_WITHOUT_REPORT
from tests.sweep.report.synthetic import changed, made_trial

LATENT = "model.latent_dim"
LR = FloatAxis(path="optim.lr", low=1e-4, high=1e-1, log=True)
LATENTS = Plan(base=SMOKE, axes=(ChoiceAxis(path=LATENT, choices=(8, 16)), LR), trials=4)


def told(plan: Plan, params: dict[str, float], **facts: str) -> str:
    trial = TrialView(made_trial(0, params=params, **facts).stored, plan)
    return describe_trial(facts_of(trial, plan.base))


def test_a_trial_is_told_by_its_arm_and_what_was_searched_for_it() -> None:
    assert told(LATENTS, {LATENT: 16, "optim.lr": 0.00123}) == "latent_dim 16, lr 0.0012"
    depth = load_study("depth_study").plan("smoke")
    params = {"model.encoder_depth": 4, "model.decoder_depth": 4, "optim.lr": 0.002}
    assert told(depth, params, arm="depth 4") == "depth 4, lr 0.002"
    arms = tuple(
        Arm(name=f"rule {rule}", settings={"objective.kl_rule": rule}) for rule in ("weight", "capacity")
    )
    assert told(LATENTS.model_copy(update={"arms": arms}), {LATENT: 8}, arm="rule weight") == (
        "rule weight, latent_dim 8"
    )


def test_where_nothing_is_searched_the_learning_rate_is_told_or_its_share_of_the_border() -> None:
    plan = Plan(base=with_settings(SMOKE, {"optim.lr": 0.003}), axes=(), trials=1)
    assert told(plan, {}) == "lr 0.003"
    share = plan.model_copy(update={"base": with_settings(plan.base, {"optim.lr_border_fraction": 0.1})})
    assert told(share, {}) == "lr 0.1 of the border"


def test_a_line_for_each_trial_tells_what_its_worker_said_and_how_it_ended() -> None:
    study = optuna.create_study()
    out = io.StringIO()
    display = Display(Console(file=out, width=200))
    display.start(study, 1, lambda: 1)
    display.progress(0, {"trial": 0, "epochs": 3, "arm": "", "settings": {LATENT: 16, "optim.lr": 0.001}})
    stored = made_trial(0, objective=12.5, outcome="budget").stored
    study.add_trial(optuna.trial.create_trial(value=12.5, user_attrs=stored.user_attrs))
    display.trial_over(0, 0)
    line = out.getvalue()
    assert "trial 0: latent_dim 16, lr 0.001: budget, objective 12.50 · best 12.50 (trial 0)" in line
    assert "depth" not in line


def test_the_end_table_has_a_row_for_each_value_with_the_settings_of_its_best(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    trials = [
        made_trial(k, objective=100.0 + k, params={LATENT: (8, 16)[k % 2], "optim.lr": 1e-3 * (k + 1)})
        for k in range(4)
    ]
    show_groups(*groups_of(trials, LATENTS))
    shown = capsys.readouterr().out
    assert "by latent_dim" in shown
    assert "lr 0.002" in shown
    assert "confirmed" not in shown
    confirming = [
        changed(trial, number=10 + trial.number, phase="confirm", arm="all", seed=trial.number)
        for trial in trials
    ]
    show_groups(*groups_of(trials + confirming, LATENTS))
    assert "2 seeds" in capsys.readouterr().out
    show_groups("", [])
    assert capsys.readouterr().out == ""


def test_the_end_of_a_border_study_names_the_map(capsys: pytest.CaptureFixture[str]) -> None:
    show_border_end("border_study")
    shown = capsys.readouterr().out
    assert "python -m sweep map border_study" in shown
    assert "generate" not in shown


def test_a_run_of_the_smoke_study_shows_its_arms_and_imports_neither_the_report_nor_plotly(
    smoke_home: Path,
) -> None:
    """It was run where these could not be imported."""
    said = (smoke_home / "said.txt").read_text()
    assert "by arm" in said
    assert "depth 8" in said


@pytest.mark.slow
def test_a_run_imports_neither_the_report_nor_plotly(tmp_path: Path) -> None:
    words = ["run", "kl_study", "--scale", "smoke", "--trials", "2", "--workers", "1"]
    for setting in (
        "threads=1",
        "epochs=1",
        "model.image_size=16",
        "model.base_channels=4",
        "data.tile_size=16",
    ):
        words += ["--set", setting]
    done = subprocess.run(
        [sys.executable, "-c", RUN_WITHOUT_REPORT, *words],
        env=os.environ | {"SWEEP_HOME": str(tmp_path / "home"), "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "was imported" not in done.stderr
    assert "by arm" in done.stdout
    assert "KL constant" in done.stdout
