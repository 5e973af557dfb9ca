"""Other places that show a report: the study's run and the Optuna dashboard."""

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import optuna

from sweep.report.claims import NO_CLAIM, ShownClaim
from sweep.report.figures import Figure
from sweep.store.secrets import redact
from sweep.tracking.dashboard import mark_best
from sweep.tracking.trackers import Tracker, TrackerError

DASHBOARD = ("objective", "axes", "border", "distance", "volatility", "depths", "infeasible", "sensitivity")
"""Figures that the dashboard does not make itself."""


def to_tracker(
    tracker: Tracker, run_id: str, folder: Path, figures: Sequence[Figure], claims: Sequence[ShownClaim]
) -> str:
    """Store the page, its pictures and the figures in the study's run as `report/`, the verdicts as tags.

    Returns one line that says why not, if the tracker does not accept them; otherwise nothing.
    """
    if not run_id:
        return f"The study has no run in {tracker.title} to log the report to."
    try:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            tracker.file(run_id, f"report/{path.relative_to(folder).as_posix()}", path)
        with tempfile.TemporaryDirectory() as place:
            for figure in figures:
                if figure.figure is not None:
                    drawn = Path(place) / f"{figure.key}.json"
                    drawn.write_text(figure.figure.to_json(), encoding="utf-8")
                    tracker.file(run_id, f"report/figures/{drawn.name}", drawn)
        tracker.tags(run_id, {f"claim.{claim.key}": claim.verdict for claim in claims})
    except (TrackerError, OSError) as error:  # the run was deleted, or a server is away
        return f"The report is not in {tracker.title}: {redact(str(error)).splitlines()[0][:200]}"
    return ""


def to_dashboard(study: optuna.Study, figures: Sequence[Figure], claims: Sequence[ShownClaim]) -> None:
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
