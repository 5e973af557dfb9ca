"""A worker: one process that runs trials as its parent hands them out.

It speaks JSON lines. From the parent, on stdin: first a Spec, then {"do": "trial"}, {"do": "end"} (no
more) or {"do": "stop"} (leave the running trial now). Closing stdin means stop, so that no worker
outlives its parent. To the parent, on stdout: {"event": "ready" | "progress" | "done" | "error", ...}.
"""

import contextlib
import json
import os
import queue
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from pydantic import BaseModel, ConfigDict

from sweep.provenance import Provenance
from sweep.study import Plan


class Spec(BaseModel):
    """Everything that a worker must know; plain JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    home: Path
    study_name: str
    plan: Plan
    experiment: str
    parent_run: str
    seed: int
    provenance: Provenance


class _Commands:
    """Reads stdin in a thread, so that a stop is seen in the middle of a trial."""

    def __init__(self, stream: TextIO) -> None:
        self.lines: queue.Queue[dict[str, Any]] = queue.Queue()
        self.stopped = threading.Event()
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def _read(self, stream: TextIO) -> None:
        for line in stream:
            command = json.loads(line)
            if command.get("do") == "stop":
                break
            self.lines.put(command)
        self.stopped.set()
        self.lines.put({"do": "end"})


def _say(out: TextIO, event: str, **facts: Any) -> None:
    with contextlib.suppress(BrokenPipeError):  # the parent is gone; the stop follows
        print(json.dumps({"event": event} | facts), file=out, flush=True)


@contextlib.contextmanager
def _private_stdout() -> Iterator[TextIO]:
    """What a library prints goes to stderr (the worker's log), never between the JSON lines."""
    out = sys.stdout
    sys.stdout = sys.stderr
    try:
        yield out
    finally:
        sys.stdout = out


def main() -> None:
    with _private_stdout() as out:
        commands = _Commands(sys.stdin)
        # The heavy imports run while the parent prepares the data and the stores.
        from sweep import trial

        spec = commands.lines.get()
        if spec.get("do") == "end":
            return
        context = _open(Spec.model_validate(spec), trial)
        while True:
            _say(out, "ready")
            if commands.lines.get()["do"] == "end":
                return
            _run(trial, context, commands, out)


def _open(spec: Spec, trial: Any) -> Any:
    import optuna
    from optuna.artifacts import FileSystemArtifactStore

    from data_io import prepare
    from sweep.home import Home
    from sweep.sampling import ArmSampler
    from sweep.storage import open_optuna
    from sweep.tracking import Tracker

    home = Home(spec.home)
    study = optuna.load_study(
        study_name=spec.study_name, storage=open_optuna(home), sampler=ArmSampler(spec.plan, spec.seed)
    )
    return trial.Context(
        plan=spec.plan,
        study=study,
        study_name=spec.study_name,
        home=home,
        tracker=Tracker(home),
        experiment=spec.experiment,
        parent_run=spec.parent_run,
        provenance=spec.provenance,
        tiles=prepare(spec.plan.base.data, home.cache),
        seed=spec.seed,
        artifacts=FileSystemArtifactStore(home.optuna_artifacts),
    )


def _run(trial: Any, context: Any, commands: _Commands, out: TextIO) -> None:
    def progress(facts: dict[str, Any]) -> None:
        if commands.stopped.is_set():
            raise trial.TrialInterrupted
        if facts:
            _say(out, "progress", **facts)

    try:
        trial.run_trial(context, progress)
        _say(out, "done")
    except trial.TrialInterrupted:
        _say(out, "done")
    except Exception as error:  # the trial is failed in the stores; the worker lives on
        import traceback

        traceback.print_exc()
        _say(out, "error", message=f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
    sys.stderr.flush()
    # Everything is written and told; tearing down torch and mlflow would take two more seconds.
    os._exit(0)
