"""With `files` as its tracker, a study is run and looked at on a machine where MLflow cannot be imported."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.trial import FrozenTrial

from sweep.tracking.trackers import PARENT
from tests.conftest import ROOT
from tests.sweep.conftest import RUN, Lab, Prepared, make_lab

REFUSAL = 'raise RuntimeError("MLflow was imported")\n'


COMMANDS = [
    ("list",),
    ("status", "tiny"),
    ("replay", "tiny", "1"),
    ("doctor",),
    ("export", "tiny", "--format", "csv"),
    ("generate", "tiny", "--out", "{home}/samples.png"),
    ("report", "tiny"),
]
GIVE_ALL = """
import json, sys
from sweep.cli.app import main
for words in json.loads(sys.argv[1]):
    try:
        main(words)
    except SystemExit as end:
        if end.code:
            raise
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, prepared: Prepared) -> Iterator[Lab]:
    """A finished study of two trials; in its processes, the parent and the workers, mlflow raises."""
    folder = tmp_path_factory.mktemp("without")
    (folder / "packages" / "mlflow").mkdir(parents=True)
    (folder / "packages" / "mlflow" / "__init__.py").write_text(REFUSAL)
    paths = [str(folder / "packages"), *filter(None, [os.environ.get("PYTHONPATH")])]
    settings = {"SWEEP_TRACKER": "files", "PYTHONPATH": os.pathsep.join(paths)}
    lab = make_lab(folder / "home", prepared, **settings)
    out, _ = lab.start(*RUN, "--set", "epochs=2", "--workers", "1", "--trials", "2").communicate(timeout=240)
    assert len(lab.finished()) == 2, out
    del lab.settings["SWEEP_TRACKER"]  # from here on the study knows its tracker
    yield lab
    lab.end()


def _python(code: str, lab: Lab, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        env=os.environ | lab.settings | {"SWEEP_HOME": str(lab.home)} | env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def _runs(lab: Lab) -> dict[str, Path]:
    folders = [path.parent for path in (lab.home / "files" / "tiny").glob("*/run.json")]
    return {folder.name: folder for folder in folders}


def _folder(lab: Lab, trial: FrozenTrial) -> Path:
    return _runs(lab)[trial.user_attrs["mlflow_run_id"]]


def test_mlflow_cannot_be_imported_there(lab: Lab) -> None:
    code = "from sweep.tracking import trackers; trackers.build(Home.find()).experiment('tiny', '')"
    done = _python("from sweep.store.home import Home; " + code, lab, SWEEP_TRACKER="mlflow")
    assert done.returncode != 0
    assert "MLflow was imported" in done.stderr


def test_every_trial_has_a_folder_with_all_of_its_run(lab: Lab) -> None:
    assert len(lab.finished()) == 2
    parent = next(name for name in _runs(lab) if name.startswith("tiny.study."))
    for trial in lab.finished():
        folder = _folder(lab, trial)
        run = json.loads((folder / "run.json").read_text())
        assert run["status"] == "FINISHED"
        assert (run["tags"][PARENT], run["tags"]["trial"]) == (parent, str(trial.number))
        assert run["tags"]["outcome"] == trial.user_attrs["outcome"]
        assert run["params"]["epochs"] == "2"
        points = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        assert len(points) == len({(metric, step) for metric, _, _, step in points})
        assert [value for metric, value, *_ in points if metric == "objective"] == [trial.value]
        files = {str(path.relative_to(folder / "artifacts")) for path in (folder / "artifacts").rglob("*")}
        assert {"config.json", "provenance.json", "series/steps.parquet", "series/epochs.parquet"} <= files
        assert any(name.startswith("images/sample~pictures/") for name in files)
    assert json.loads((_runs(lab)[parent] / "run.json").read_text())["status"] == "FINISHED"
    assert list((lab.home / "spool").iterdir()) == []
    assert not (lab.home / "mlflow.db").exists()


def test_commands_work_and_a_report_is_in_the_studys_run(lab: Lab) -> None:
    """One after the other in one process, since each would import the same things."""
    commands = [[word.format(home=lab.home) for word in words] for words in COMMANDS]
    done = _python(GIVE_ALL, lab, json.dumps(commands))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The report is not in" not in done.stdout
    (parent,) = (folder for name, folder in _runs(lab).items() if name.startswith("tiny.study."))
    page = (parent / "artifacts" / "report" / "index.html").read_text()
    assert page == (lab.home / "reports" / "tiny" / "index.html").read_text()
    assert f"file://{lab.home}/files/tiny/" in page


def test_a_study_goes_on_with_its_own_tracker_and_says_so(lab: Lab) -> None:
    words = ("--set", "epochs=2", "--workers", "1", "--trials", "1")
    process = lab.start(*RUN, *words, SWEEP_TRACKER="mlflow")
    out, _ = process.communicate(timeout=240)
    assert process.returncode == 0, out
    assert "the runs of tiny are in files" in " ".join(out.split())
    assert len(lab.finished()) == 3
    assert all(_folder(lab, trial).exists() for trial in lab.finished())


def test_the_ui_says_in_a_sentence_that_it_shows_mlflow(lab: Lab) -> None:
    done = lab.sweep("ui")
    assert done.returncode == 2
    assert "files" in done.stdout
    assert "sweep report" in done.stdout


def test_an_unknown_tracker_is_refused_before_anything_is_made(lab: Lab, tmp_path: Path) -> None:
    done = lab.sweep("run", "depth_study", SWEEP_TRACKER="flies", SWEEP_HOME=str(tmp_path / "new"))
    assert done.returncode == 2
    assert "did you mean 'files'?" in done.stdout
    assert not (tmp_path / "new").exists()
