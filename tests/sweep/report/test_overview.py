"""The commands at the head of a report can be typed as they are."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from optuna.trial import FrozenTrial

from sweep.report.gather import gather
from sweep.report.overview import overview
from sweep.store import keys
from sweep.store.storage import load, open_optuna
from sweep.tracking import trackers
from tests.sweep.report.stores import depth_plan, explored, store


@pytest.fixture(scope="module")
def trials() -> Sequence[FrozenTrial]:
    return explored(depth_plan(), 12)


@pytest.mark.parametrize(
    ("declared", "module", "command"),
    [
        ("depth_study", None, "python -m sweep run depth_study"),
        ("train", None, "python -m sweep run train"),
        ("mine", "my studies/mine.py", "python -m sweep run 'my studies/mine.py'"),
        ("inline", None, None),
    ],
)
def test_the_command_that_goes_on_finds_the_study(
    tmp_path: Path, trials: Sequence[FrozenTrial], declared: str, module: str | None, command: str | None
) -> None:
    home = store(tmp_path / "home", trials, tracker="files")
    study = load(open_optuna(home), "depth_study")
    study.set_user_attr(keys.STUDY, declared)
    if module is not None:
        study.set_user_attr(keys.MODULE, module)
    commands = overview(gather(home, study, trackers.build(home, study))).commands
    assert (commands.get("run the study on") or "").startswith(command or "")
    assert ("run the study on" in commands) == (command is not None)
