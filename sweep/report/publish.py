"""Publishing a report beyond its file: to the study's MLflow run and the Optuna dashboard."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import optuna
from mlflow.entities import RunTag
from mlflow.exceptions import MlflowException

from sweep.report.evidence import NO_CLAIM, Claim
from sweep.report.figures import Figure
from sweep.store.secrets import redact
from sweep.tracking.client import Tracker
from sweep.tracking.dashboard import mark_best

DASHBOARD = ("objective", "axes", "border", "distance", "volatility", "depths")
"""Figures that the dashboard does not make itself."""


def to_mlflow(
    tracker: Tracker, run_id: str, folder: Path, figures: Sequence[Figure], claims: Sequence[Claim]
) -> str:
    """The page, its pictures and the figures as `report/`, the verdicts as tags `claim.<key>`.

    Returns one line that says why not, where the tracking store does not take them; empty otherwise.
    """
    if not run_id:
        return "The study has no MLflow run to log the report to."
    try:
        tracker.client.log_artifacts(run_id, str(folder), artifact_path="report")
        for figure in figures:
            if figure.figure is not None:
                path = f"report/figures/{figure.key}.json"
                tracker.client.log_text(run_id, figure.figure.to_json(), path)
        tracker.client.log_batch(run_id, tags=[RunTag(f"claim.{c.key}", c.verdict) for c in claims])
    except (MlflowException, OSError) as error:  # the run was deleted, or a server is away
        return f"The report is not in MLflow: {redact(str(error)).splitlines()[0][:200]}"
    return ""


def to_dashboard(study: optuna.Study, figures: Sequence[Figure], claims: Sequence[Claim]) -> None:
    """The main figures, each under a fixed id, so that a new report replaces the old one; the verdicts as the
    study's note, and the best trial marked in its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from optuna_dashboard import save_note, save_plotly_graph_object

        verdicts = [f"- {claim.title}: **{claim.verdict}**. {claim.why}" for claim in claims]
        save_note(study, "\n".join(verdicts) or NO_CLAIM)
        mark_best(study)

        for figure in figures:
            if figure.key in DASHBOARD and figure.figure is not None:
                drawn = figure.figure
                drawn = type(drawn)(drawn).update_layout(title={"text": figure.title}, margin={"t": 60})
                save_plotly_graph_object(study, drawn, graph_object_id=f"report-{figure.key}")
