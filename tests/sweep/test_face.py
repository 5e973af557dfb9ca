"""`from sweep import ...`: declaring, running and reading a study in Python."""

import math
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import sweep
from sweep import (
    Arm,
    Blocks,
    Claim,
    Contrast,
    IntAxis,
    Plan,
    RunEvent,
    Stop,
    Study,
    TrialConfig,
    UserError,
    results,
    run,
)

MODEL = {"image_size": 16, "base_channels": 4, "max_channels": 8, "encoder_depth": 2, "decoder_depth": 2}
BASE = TrialConfig.model_validate(
    {
        "model": MODEL,
        "epochs": 2,
        "batch_size": 64,
        "threads": 1,
        "checkpoint_seconds": 0.1,
        "early_stopping_patience": 0,
        "data": {"tile_size": 16, "stride": 128},
    }
)


def _study(**settings: Any) -> Study:
    plan = Plan(
        base=BASE,
        axes=(IntAxis(path="model.latent_dim", low=2, high=8),),
        arms=(Arm(name="adam"), Arm(name="sgd", settings={"optim.optimizer": "sgd", "optim.lr": 1e-9})),
        trials=4,
    )
    return Study(name="latent", summary="How many latents?", plans={"smoke": plan.with_settings(settings)})


def _run(home: Path, study: Study | None = None, **options: Any) -> sweep.Results:
    return run(study or _study(), home=home, device="cpu", workers=1, tracker="files", **options)


def _silently(home: Path, capfd: pytest.CaptureFixture[str], **options: Any) -> sweep.Results:
    """A run that prints nothing and leaves the signals alone."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    capfd.readouterr()
    found = _run(home, **options)
    assert capfd.readouterr() == ("", "")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    return found


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, sweep.Results, list[RunEvent]]:
    """A home, the results of an inline study that ran in a thread, and the events that arrived."""
    home = tmp_path_factory.mktemp("face") / "home"
    events: list[RunEvent] = []
    found: list[sweep.Results] = []
    thread = threading.Thread(target=lambda: found.append(_run(home, progress=events.append)))
    thread.start()
    thread.join(timeout=200)
    return home, found[0], events


def test_the_face_is_listed_and_importing_it_loads_nothing_heavy() -> None:
    wanted = {"Study", "Plan", "Arm", "FloatAxis", "IntAxis", "ChoiceAxis", "Confirm", "run", "results"}
    assert wanted <= set(sweep.__all__) <= set(dir(sweep))
    assert all(getattr(sweep, name) is not None for name in sweep.__all__)
    code = (
        "import sys, sweep; from sweep import Arm, Confirm, FloatAxis, Plan, Study, TrialConfig; "
        "print({'torch', 'optuna', 'mlflow', 'pandas', 'sqlalchemy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_table_has_a_row_for_every_trial(ran: tuple[Path, sweep.Results, list[RunEvent]]) -> None:
    home, found, _ = ran
    table = found.table
    assert list(table["number"]) == [0, 1, 2, 3]
    assert set(table["state"]) == {"complete"}
    assert set(table["arm"]) == {"adam", "sgd"}
    assert table["model.latent_dim"].between(2, 8).all()
    assert (table["optim.optimizer"] == table["arm"]).all()
    diverged = table["outcome"].isin(["nonfinite", "diverged"])
    assert (table["objective"].map(math.isinf) == diverged).all()
    assert table["objective"].notna().all()
    assert table["stability/max_logvar"].map(math.isfinite).all()
    assert table["run_id"].map(len).min() > 0
    assert found.best is not None
    assert table.set_index("number").loc[found.best.trial, "objective"] == table["objective"].min()
    assert found.summary.trials["complete"] == 4
    again = results("latent", home=home)
    assert again.table.equals(table)
    assert "4 trials" in repr(again)


def test_a_trial_gives_its_model_samples_and_pictures(
    ran: tuple[Path, sweep.Results, list[RunEvent]],
) -> None:
    _, found, _ = ran
    table = found.table.set_index("number")
    assert found.best is not None
    assert found.model().config.latent_dim == table.loc[found.best.trial, "model.latent_dim"]
    assert found.model(1).config.latent_dim == table.loc[1, "model.latent_dim"]
    assert not found.model().training
    samples = found.samples(count=4, seed=3)
    assert samples.size == (2 * 18 + 2, 2 * 18 + 2)
    assert samples.tobytes() == found.samples(count=4, seed=3).tobytes()
    assert samples.tobytes() != found.samples(count=4, seed=4).tobytes()
    assert found.pictures(1).size == (8 * 18 + 2, 3 * 18 + 2)
    with pytest.raises(UserError, match="numbered from 0 to 3"):
        found.model(4)


def test_the_report_is_written(ran: tuple[Path, sweep.Results, list[RunEvent]]) -> None:
    home, found, _ = ran
    path = found.report()
    assert path == home / "reports" / "latent" / "index.html"
    assert "How many latents?" in path.read_text()


def test_events_tell_what_happens_in_order(ran: tuple[Path, sweep.Results, list[RunEvent]]) -> None:
    _, found, events = ran
    kinds = [event.kind for event in events if event.kind != "message"]
    assert (kinds[0], kinds[-1]) == ("started", "ended")
    ended = [event for event in events if event.kind == "trial_ended"]
    assert [event.trial for event in ended] == list(found.table["number"])
    assert [event.objective for event in ended] == list(found.table["objective"])
    assert [event.outcome for event in ended] == list(found.table["outcome"])
    assert [event.done for event in ended] == [1, 2, 3, 4]
    assert {event.total for event in ended} == {4}
    epochs = [(event.epoch, event.epochs) for event in events if event.kind == "epoch" and event.trial == 0]
    assert epochs == [(1, 2), (2, 2)]


def test_a_mistake_is_a_user_error_and_writes_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for mistake in (
        {"name": "a/b"},
        {"scale": "huge"},
        {"settings": {"optim.lrate": 1}},
        {"strategy": "tpe"},
    ):
        with pytest.raises(UserError):
            _run(home, **mistake)
    with pytest.raises(UserError, match="no store"):
        results("latent", home=home)
    assert not home.exists()


def test_a_run_in_which_every_trial_fails_raises(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"1 trials failed in a row.*logs"):
        _run(tmp_path / "home", settings={"device": "cuda:77"}, max_failures=1, max_retries=0)
    (row,) = results("latent", home=tmp_path / "home").table.to_dict("records")
    assert (row["state"], row["outcome"]) == ("fail", "error")
    assert math.isnan(row["objective"])


def test_a_silent_run_can_be_stopped_from_another_thread_and_goes_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    home, stop = tmp_path / "home", Stop()

    def end(event: RunEvent) -> None:
        if event.kind == "epoch":
            stop.finish("enough")

    first = _silently(home, capfd, progress=end, stop=stop)
    assert first.stopped == "enough"
    assert list(first.table["state"]) == ["complete"]
    assert list(_silently(home, capfd).table["state"]) == ["complete"] * 4


def test_an_exception_in_the_callback_ends_the_run_and_comes_back(tmp_path: Path) -> None:
    home = tmp_path / "home"

    def fail(event: RunEvent) -> None:
        if event.kind == "epoch":
            raise ZeroDivisionError

    long = _study(epochs=400)
    with pytest.raises(ZeroDivisionError):
        _run(home, long, progress=fail)
    states = list(results("latent", home=home).table["state"])
    assert states == ["fail", "waiting"]


SCRIPT = """
import signal
import sys
from pathlib import Path
from tests.sweep.test_face import _run, _study
home = Path(sys.argv[1])
# A shell that starts this in the background has it ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    _run(home, _study(epochs=100), trials=1, progress=lambda event: print(event.kind, flush=True))
except KeyboardInterrupt:
    print("interrupted", flush=True)
print(_run(home, _study(epochs=100)).table["state"].to_list())
"""


def test_ctrl_c_in_a_script_leaves_the_trial_and_the_next_call_resumes_it(tmp_path: Path) -> None:
    """In one process, as in a notebook."""
    home = tmp_path / "home"
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(home)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    before = [*iter(process.stdout.readline, "epoch\n")]
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert err == ""
    lines = [line.rstrip() for line in before] + out.splitlines()
    assert lines[lines.index("interrupted") - 1] == "ended"
    assert lines[-1] == "['fail', 'complete']"
    table = results("latent", home=home).table
    assert list(table["outcome"]) == ["interrupted", "budget"]
    assert table["run_id"].nunique() == 1


def test_claims_are_judged_as_they_were_when_the_study_was_begun(tmp_path: Path) -> None:
    def with_claim(key: str) -> Study:
        contrast = Contrast(worse=("sgd",), better=("adam",))
        claim = Claim(key=key, title="Steps", statement="SGD at no rate is worse.", contrasts=(contrast,))
        blocks = Blocks(settings={"model.latent_dim": 4}, most=1)
        plan = _study().plan("smoke").model_copy(update={"blocks": blocks, "claims": (claim,)})
        return Study(name="claims", summary="With a claim.", plans={"smoke": plan})

    said: list[str] = []
    begun = _run(tmp_path, with_claim("first"), trials=2, blocks=1)
    assert begun.table["block"].tolist()[2:] == [0, 0]
    again = _run(tmp_path, with_claim("second"), blocks=1, progress=lambda event: said.append(event.text))
    assert {judged.claim.key for judged in again.verdicts} == {"first"}
    assert any("the claims of claims were fixed when it was begun" in text for text in said)
