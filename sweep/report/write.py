"""Write a study's report and publish it."""

import hashlib
import logging
import re
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna

from sweep.evidence.carried import carried, one_rates
from sweep.evidence.edges import at_edges
from sweep.report import publish
from sweep.report.claims import NO_CLAIM, ShownClaim, arm_rows, forest_rows, shown_claims
from sweep.report.figures import Figure, figures
from sweep.report.gather import Material, gather
from sweep.report.likelihood import with_likelihood
from sweep.report.overview import Overview, overview
from sweep.report.page import render
from sweep.report.pictures import contact_sheet, picked, samples_by_arm, side_by_side
from sweep.report.quality import QualityTable, quality_table
from sweep.report.static import write_pngs
from sweep.store.groups import groups_of
from sweep.store.home import Home
from sweep.tracking import trackers

log = logging.getLogger(__name__)


def write_report(home: Home, study: optuna.Study) -> tuple[Path, dict[str, Any]]:
    """Write the page, log it to the study's parent run and its figures to the dashboard.

    Returns its path, and the same numbers as JSON types.
    """
    tracker = trackers.build(home, study)
    material = gather(home, study, tracker)
    head = overview(material)
    judged = shown_claims(material.plan, material.trials)
    contrasts = forest_rows(material.plan, material.trials, judged)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        drawn = figures(material.trials, material.plan, material.border, material.curves, contrasts)
    folder = report_folder(home, study.study_name)
    pngs, png_note = write_pngs(drawn, folder / "figures")
    table = with_likelihood(
        quality_table(material.trials, material.plan),
        home,
        study.study_name,
        material.plan,
        material.trials,
        material.data_hash,
    )
    page = render(
        material,
        table,
        samples_by_arm(home, study.study_name, material.plan, table, material.data_hash),
        head,
        judged,
        drawn,
        side_by_side(home, study, picked(material.picks)),
        contact_sheet(home, material.plan, material.data_hash),
        pngs,
        png_note,
    )
    path = folder / "index.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    said = publish.to_tracker(tracker, material.summary.mlflow_run_id, folder, drawn, judged)
    if said:
        log.warning(said)
    publish.to_dashboard(study, drawn, judged)
    return path, to_document(material, table, head, judged, drawn, png_note)


def to_document(
    material: Material,
    quality: QualityTable,
    head: Overview,
    judged: list[ShownClaim],
    drawn: list[Figure],
    png_note: str,
) -> dict[str, Any]:
    by, groups = groups_of(material.trials, material.plan)
    return material.summary.as_dict() | {
        "overview": head.as_dict(),
        "claims": [claim.as_dict() for claim in judged],
        "claims_note": "" if judged else NO_CLAIM,
        "blocks": [asdict(row) for row in arm_rows(material.plan, material.trials)],
        "carried": [row.as_dict() for row in carried(material.plan, material.trials)],
        "one_rates": [row.as_dict() for row in one_rates(material.plan, material.trials)],
        "at_edges": [asdict(edge) for edge in at_edges(material.plan, material.trials)],
        "figures": [
            {
                "key": f.key,
                "title": f.title,
                "caption": f.caption,
                "drawn": f.figure is not None,
                "missing": f.missing,
                "finding": f.finding,
                "notes": list(f.notes),
                "numbers": dict(f.numbers),
            }
            for f in drawn
        ],
        "groups": {"by": by, "groups": [group.as_dict() for group in groups]},
        "quality": quality.as_dict(),
        "data": {"hash": material.data_hash, **material.data},
        "provenance": dict(material.provenance),
        "png_note": png_note,
    }


def report_folder(home: Home, study: str) -> Path:
    """`reports/<study>`; a name that makes no folder gets one from its hash."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", study):
        return home.root / "reports" / study
    safe = re.sub(r"[^A-Za-z0-9_.-]+", "_", study)[:40]
    return home.root / "reports" / f"study_{safe}_{hashlib.sha256(study.encode()).hexdigest()[:12]}"
