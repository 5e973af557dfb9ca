"""The likelihood of each arm's best model: once computed it is kept, and what is missing is said."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from sweep.report import likelihood
from sweep.report.likelihood import KEPT, with_likelihood
from sweep.report.pictures import samples_by_arm
from sweep.report.quality import QualityTable, quality_table
from sweep.store.home import Home
from sweep.store.storage import load, open_optuna
from sweep.store.study_view import StudyView
from sweep.store.trials import views

STUDY = "depth_study"


class Stored:
    """The smoke study in a home of its own."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root)
        study = load(open_optuna(self.home), STUDY)
        self.view = StudyView.of(study)
        self.plan = self.view.readable_plan
        self.trials = views(study.get_trials(deepcopy=False), self.plan)
        self.table = quality_table(self.trials, self.plan)

    def measured(self, data_hash: str | None = None) -> QualityTable:
        return with_likelihood(
            self.table, self.home, STUDY, self.plan, self.trials, data_hash or self.view.data_hash
        )

    def folder(self, column: int = 0) -> Path:
        return self.home.trial_folder(STUDY, self.table.columns[column].trial)


@pytest.fixture
def stored(smoke_home: Path, tmp_path: Path) -> Stored:
    shutil.copytree(smoke_home, tmp_path / "home")
    return Stored(tmp_path / "home")


def test_every_best_model_has_its_likelihood_and_it_is_computed_once(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = stored.measured()
    assert table.metrics[-2:] == ["nll", "bits_per_dim"]
    assert table.better["nll"] == table.better["bits_per_dim"] == "lower"
    for column in table.columns:
        nll, bits = column.scores["nll"], column.scores["bits_per_dim"]
        assert nll.low is not None
        assert nll.value is not None
        assert bits.value is not None
        assert nll.low < nll.value
        assert bits.value == pytest.approx(nll.value / (3 * 32 * 32) / 0.693147, rel=1e-5)
    assert not table.notes
    for column in range(len(table.columns)):
        (stored.folder(column) / "model.pt").unlink()
    assert stored.measured() == table, "the second report takes what the first kept"


def test_what_is_missing_is_said_in_a_sentence_and_the_others_are_shown(stored: Stored) -> None:
    first = stored.table.columns[0].trial
    for k in range(len(stored.table.columns)):
        (stored.folder(k) / KEPT).unlink(missing_ok=True)
    (stored.folder() / "model.pt").unlink()
    table = stored.measured()
    (note,) = table.notes
    assert note.startswith(f"No likelihood of trial {first}: ")
    assert "left no weights" in note
    assert "nll" not in table.columns[0].scores
    assert all("nll" in column.scores for column in table.columns[1:])
    shown = samples_by_arm(stored.home, STUDY, stored.plan, table, stored.view.data_hash)
    assert [s.trial for s in shown] == [None, *(column.trial for column in table.columns)]
    assert [bool(s.uri) for s in shown] == [True, False, *(True for _ in table.columns[1:])]
    assert shown[1].reason == "its weights are not here any more"


def test_a_model_that_takes_too_long_and_other_data_are_left_out(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    for k in range(len(stored.table.columns)):
        (stored.folder(k) / KEPT).unlink(missing_ok=True)
    assert "the data is not that of the study any more" in stored.measured("another").notes[0]
    monkeypatch.setattr(likelihood, "MOST_SECONDS", 0.0)
    assert all("it would take" in note for note in stored.measured().notes)
    assert not any("nll" in column.scores for column in stored.measured().columns)


def test_the_page_shows_floors_directions_and_samples_beside_real_tiles(
    smoke_home: Path, smoke_report: dict[str, Any]
) -> None:
    quality = smoke_report["quality"]
    json.dumps(quality, allow_nan=False)
    assert quality["metrics"][:2] == ["kid_imagenet", "coverage_imagenet"]
    assert (quality["better"]["kid_imagenet"], quality["better"]["coverage_imagenet"]) == ("lower", "higher")
    page = (smoke_home / "reports" / STUDY / "index.html").read_text(encoding="utf-8")
    section = page.split('<section id="quality"')[1].split("</section>")[0]
    for text in ("↓ lower", "↑ higher", "<th>floor</th>", "real test tiles", "bits_per_dim"):
        assert text in section
    assert section.count("data:image/png") == 1 + len(quality["columns"])
