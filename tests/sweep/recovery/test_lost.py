"""What a dead process left behind is given up, and what it had finished is not."""

import json

import optuna
import pytest
from optuna.trial import TrialState

from sweep.recovery.attempts import Again, Ending, finish
from sweep.recovery.lost import give_up
from sweep.store.home import Home
from sweep.store.keys import RUN_KEY
from sweep.store.links import StudyLink
from sweep.tracking.journal import Journal
from tests.sweep.conftest import claim

CRASHED = Ending("crashed", "its worker was killed", Again.COUNTED)


@pytest.mark.parametrize("ended", [True, False])
def test_a_trial_that_ended_before_its_process_died_keeps_its_run(
    home: Home, study: optuna.Study, ended: bool
) -> None:
    """Its journal may not be sent yet, and nobody may have heard that it is done."""
    for key, value in StudyLink("files", "1", "parent", "tiny.parent").as_attrs().items():
        study.set_user_attr(key, value)
    number = claim(study, "me")
    trial_id = study.trials[number]._trial_id
    study._storage.set_trial_user_attr(trial_id, RUN_KEY, "tiny.0")
    journal = Journal(home.spool, "tiny.0")
    journal.append({"do": "open", "tags": {"outcome": "running"}})
    journal.append({"do": "end", "status": "FINISHED"})
    journal.close()
    if ended:
        finish(study, trial_id, TrialState.COMPLETE, [1.0])
    again = give_up(study, home, number, CRASHED, max_retries=1)
    writes = [json.loads(line) for line in journal.path.read_text().splitlines()]
    assert again == (not ended)
    assert [w["status"] for w in writes if w["do"] == "end"] == ["FINISHED"] + ["FAILED"] * (not ended)
    assert study.trials[number].state is (TrialState.COMPLETE if ended else TrialState.FAIL)
