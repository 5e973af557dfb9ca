"""From the stores to `mlruns/reports/<study>/index.html`."""

import base64
import math
import tempfile
from pathlib import Path
from typing import Any

import jinja2
import optuna
from optuna.artifacts import FileSystemArtifactStore, download_artifact, get_all_artifact_meta
from optuna.trial import FrozenTrial

from sweep.home import Home
from sweep.report.figures import objective_by_depth
from sweep.summary import by_depth, outcome_of, summarise
from sweep.tracking import Tracker


def write_report(home: Home, study: optuna.Study) -> tuple[Path, dict[str, Any]]:
    """Write the page, log it to the study's parent run, return its path and its figures as JSON."""
    trials = study.get_trials(deepcopy=False)
    summary = summarise(study)
    groups = by_depth(trials)
    figure = objective_by_depth(trials)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sweep.report", "."), autoescape=True, undefined=jinja2.StrictUndefined
    )
    html = environment.get_template("page.html").render(
        summary=summary,
        text=study.user_attrs.get("summary", ""),
        data_hash=study.user_attrs.get("data_hash", ""),
        groups=groups,
        # plotly escapes what it puts into the page; its own script makes it work offline.
        figure="" if figure is None else figure.to_html(full_html=False, include_plotlyjs=True),
        picture="" if summary.best is None else _picture(home, study, trials[summary.best.trial]),
        rows=[_row(trial) for trial in trials if trial.state.is_finished()],
    )
    path = home.root / "reports" / study.study_name / "index.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(html, encoding="utf-8")
    if summary.mlflow_run_id:
        client = Tracker(home).client
        client.log_artifact(summary.mlflow_run_id, str(path), artifact_path="report")
    return path, summary.as_dict() | {"depths": [vars(group) for group in groups]}


def _row(trial: FrozenTrial) -> dict[str, Any]:
    value = trial.values[0] if trial.values else math.nan
    return {
        "trial": trial.number,
        "outcome": outcome_of(trial),
        "objective": f"{value:.2f}" if math.isfinite(value) else "",
        "params": ", ".join(
            f"{path.rpartition('.')[2]} {f'{v:.3g}' if isinstance(v, float) else v}"
            for path, v in trial.params.items()
        ),
        "reason": trial.user_attrs.get("reason", ""),
        "run": trial.user_attrs.get("mlflow_run_id", ""),
    }


def _picture(home: Home, study: optuna.Study, trial: FrozenTrial) -> str:
    """The trial's picture as a data URI; empty where it has none."""
    metas = get_all_artifact_meta(trial, storage=study._storage)
    if not metas:
        return ""
    store = FileSystemArtifactStore(home.optuna_artifacts)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        download_artifact(artifact_store=store, file_path=str(path), artifact_id=metas[-1].artifact_id)
        return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
