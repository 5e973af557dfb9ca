"""A worker: one process that runs trials as its parent hands them out.

It speaks JSON lines. From the parent, on stdin: first a Spec, then {"do": "trial", "number": n} (one that
the parent has claimed), {"do": "end"} (no more) or {"do": "stop"} (write a checkpoint and leave the running
trial now). Closing stdin means stop, so that no worker outlives its parent. To the parent, on a pipe whose
number is the worker's argument: {"event": "ready" | "progress" | "done" | "left" | "fenced" | "error", ...}.
The parent ends the trials that have no result. stdout and stderr are the worker's log.
"""

import contextlib
import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO, cast

from pydantic import BaseModel, ConfigDict

from sweep.store import secrets
from sweep.store.home import Home
from sweep.store.provenance import Provenance
from sweep.study import Plan


class Spec(BaseModel):
    """Everything that a worker must know; plain JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    home: Path
    storage: str | None = None
    tracking: str | None = None
    checkpoint_uri: str | None = None
    tracker: str | None = None
    study_name: str
    plan: Plan
    experiment: str
    parent_run: str
    seed: int
    provenance: Provenance

    @classmethod
    def of(cls, home: Home, **facts: Any) -> "Spec":
        """With the stores of `home`."""
        return cls(
            home=home.root,
            storage=home.storage,
            tracking=home.tracking,
            checkpoint_uri=home.checkpoint_uri,
            tracker=home.tracker,
            **facts,
        )

    def open_home(self) -> Home:
        secrets.hide(self.storage)
        secrets.hide(self.tracking)
        return Home(self.home, self.storage, self.tracking, self.checkpoint_uri, self.tracker)


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
def _redacted_log() -> Iterator[None]:
    """What Python code prints goes to the log without the passwords of the stores."""
    out, errors = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = cast(TextIO, secrets.RedactingStream(errors))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, errors


def main(events: int) -> None:
    """Work for the parent that reads the pipe `events`."""
    os.set_inheritable(events, False)  # a process that the worker starts must not keep it open
    with open(events, "w", encoding="utf-8") as out, _redacted_log():
        commands = _Commands(sys.stdin)
        # The heavy imports run while the parent prepares the data and the stores.
        from sweep.engine import trial

        spec = commands.lines.get()
        if spec.get("do") == "end":
            return
        context = _open(Spec.model_validate(spec), trial)
        while True:
            _say(out, "ready")
            command = commands.lines.get()
            if command["do"] == "end":
                break
            _run(trial, context, command["number"], commands, out)
        context.sender.close()


def _open(spec: Spec, trial: Any) -> Any:
    from functools import lru_cache, partial

    import optuna
    from optuna.artifacts import FileSystemArtifactStore

    from data_io import prepare
    from sweep.search.sampling import ArmSampler
    from sweep.store.links import run_linker
    from sweep.store.storage import open_optuna, read_all
    from sweep.tracking import trackers
    from sweep.tracking.sender import Sender

    home = spec.open_home()
    storage = open_optuna(home, wait=True)
    study = optuna.load_study(
        study_name=spec.study_name, storage=storage, sampler=ArmSampler(spec.plan, spec.seed)
    )
    read_all(study)
    tiles = lru_cache(maxsize=2)(partial(prepare, cache_dir=home.cache))
    tiles(spec.plan.base.data)
    return trial.Context(
        plan=spec.plan,
        study=study,
        study_name=spec.study_name,
        home=home,
        sender=Sender(trackers.build(home), run_linker(storage), begun=False),
        experiment=spec.experiment,
        parent_run=spec.parent_run,
        provenance=spec.provenance,
        tiles=tiles,
        seed=spec.seed,
        artifacts=FileSystemArtifactStore(home.optuna_artifacts),
    )


def _run(trial: Any, context: Any, number: int, commands: _Commands, out: TextIO) -> None:
    def progress(facts: dict[str, Any]) -> bool:
        if facts:
            _say(out, "progress", **facts)
        else:  # a step is done; importing the tracker would have held up the first
            context.sender.begin()
        return commands.stopped.is_set()

    from sweep.store.optuna_internals import live_trial

    study = context.study
    try:
        # Reading the trials makes the new one known to Optuna's cache, which takes no parameters otherwise.
        claimed = study.get_trials(deepcopy=False)[number]
        trial.run_trial(context, live_trial(study, claimed), progress)
        _say(out, "done")
    except trial.TrialInterrupted:
        _say(out, "left")
    except trial.FencedError:
        _say(out, "fenced")
    except BaseException as error:
        import traceback

        from sweep.recovery.failures import describe

        traceback.print_exc()
        _say(out, "error", **describe(error))
        if not isinstance(error, Exception):
            raise


if __name__ == "__main__":
    # Its parent decides what SIGTERM means. Slurm sends it to every process of a job, a service manager to
    # every one of a group, and a worker that died of it would write no checkpoint.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    main(int(sys.argv[1]))
    sys.stderr.flush()
    # Everything is written and told; tearing down torch and the like would take two more seconds.
    os._exit(0)
