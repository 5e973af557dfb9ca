"""Which supervisors are alive, on this machine and on others."""

import optuna

from sweep.recovery import attempts, heartbeat
from sweep.recovery.heartbeat import SUPERVISORS, Heartbeat
from sweep.store.storage import engine_of
from tests.sweep.conftest import claim


def test_who_is_dead_and_who_is_not(study: optuna.Study) -> None:
    with Heartbeat(study, workers=1) as here:
        mine = claim(study, here.id)
        gone_here = claim(study, here.id.rsplit(" ", 1)[0] + " 1")
        elsewhere = {age: f"otherhost:boot:ns {int(age)} 7" for age in (5.0, 1e4)}
        engine = engine_of(study)
        with engine.begin() as connection:
            for age, owner in elsewhere.items():
                seen = heartbeat._now(engine) - age
                row = {"id": owner, "study_id": study._study_id, "workers": 1, "seen": seen}
                connection.execute(SUPERVISORS.insert().values(row))
        alive, stale = (claim(study, owner) for owner in elsewhere.values())
        unknown = claim(study, "otherhost:boot:ns 99 7")
        found = {trial.number for trial in attempts.orphans(study, here.id, {})}
        assert found == {gone_here, stale, unknown}
        assert not found & {mine, alive}
        heartbeat.forget_dead(study)
        assert set(heartbeat.ages(study)) == {here.id, elsewhere[5.0]}
    assert set(heartbeat.ages(study)) == {elsewhere[5.0]}
