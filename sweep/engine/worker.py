"""A worker: one process that runs trials as its parent hands them out, one in each of its lanes.

It speaks JSON lines. From the parent, on stdin: first a Spec, then {"do": "trial", "lane": k, "number": n}
(one that the parent has claimed), {"do": "end", "lane": k} (no more for that lane) or {"do": "stop"} (write
checkpoints and leave the running trials now). Closing stdin means stop, so that no worker outlives its
parent. To the parent, on a pipe whose number is the worker's argument:
{"event": "ready" | "progress" | "done" | "left" | "fenced" | "error", "lane": k, ...}. The parent ends the
trials that have no result. stdout and stderr are the worker's log.
"""

import contextlib
import json
import os
import signal
import sys
import threading
from collections import defaultdict, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO, cast

from pydantic import BaseModel, ConfigDict

from sweep.engine.lanes import Shared, in_lanes, release_memory
from sweep.store import secrets
from sweep.store.home import Home
from sweep.store.provenance import Provenance
from sweep.study import Plan


class Spec(BaseModel):
    """Everything that a worker must know; plain JSON.

    lanes: trials that it runs at the same time.
    """

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
    lanes: int = 1

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
        self.stopped = threading.Event()
        self._waiting: defaultdict[int, deque[dict[str, Any]]] = defaultdict(deque)
        self._arrived = threading.Condition()
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def next(self, lane: int = 0) -> dict[str, Any]:
        """The next one for a lane, when there is one; the first of lane 0 is the Spec."""
        with self._arrived:
            mine = self._waiting[lane]
            self._arrived.wait_for(lambda: mine or self.stopped.is_set())
            return mine.popleft() if mine else {"do": "end"}

    def _read(self, stream: TextIO) -> None:
        for line in stream:
            command = json.loads(line)
            if command.get("do") == "stop":
                break
            with self._arrived:
                self._waiting[command.get("lane", 0)].append(command)
                self._arrived.notify_all()
        with self._arrived:
            self.stopped.set()
            self._arrived.notify_all()


class _Parent:
    """Told what happens, a line at a time, by all lanes."""

    def __init__(self, out: TextIO) -> None:
        self._out, self._lock = out, threading.Lock()

    def hear(self, lane: int, event: str, **facts: Any) -> None:
        line = json.dumps({"event": event, "lane": lane} | facts)
        # Without a parent the pipe is broken, and the stop follows.
        with self._lock, contextlib.suppress(BrokenPipeError):
            print(line, file=self._out, flush=True)


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

        first = commands.next()
        if first.get("do") == "end":
            return
        spec = Spec.model_validate(first)
        context, parent = _open(spec, trial), _Parent(out)

        def work(lane: int) -> None:
            parent.hear(lane, "ready")
            while (command := commands.next(lane))["do"] != "end":
                _run(trial, context, lane, command["number"], commands, parent)
                parent.hear(lane, "ready")

        in_lanes(spec.lanes, work, on_gpu=spec.plan.base.device != "cpu")
        context.sender.close()


def _open(spec: Spec, trial: Any) -> Any:
    from functools import partial

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
    tiles = Shared(partial(prepare, cache_dir=home.cache), keep=max(2, spec.lanes))
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


def _run(trial: Any, context: Any, lane: int, number: int, commands: _Commands, parent: _Parent) -> None:
    def progress(facts: dict[str, Any]) -> bool:
        if facts:
            parent.hear(lane, "progress", **facts)
        else:  # a step is done; importing the tracker would have held up the first
            context.sender.begin()
        return commands.stopped.is_set()

    from sweep.store.optuna_internals import live_trial

    study = context.study
    what: dict[str, Any] | None = None
    try:
        # Reading the trials makes the new one known to Optuna's cache, which takes no parameters otherwise.
        claimed = study.get_trials(deepcopy=False)[number]
        trial.run_trial(context, live_trial(study, claimed), progress)
        parent.hear(lane, "done")
    except trial.TrialInterrupted:
        parent.hear(lane, "left")
    except trial.FencedError:
        parent.hear(lane, "fenced")
    except BaseException as error:
        import traceback

        from sweep.recovery.failures import describe

        traceback.print_exc()
        what = describe(error)
        if not isinstance(error, Exception):
            parent.hear(lane, "error", **what)
            raise
    if what is not None:  # only now are the frames of the exception gone, and what they held
        if what["kind"] == "oom":
            release_memory()
        parent.hear(lane, "error", **what)


if __name__ == "__main__":
    # Its parent decides what SIGTERM means. Slurm sends it to every process of a job, a service manager to
    # every one of a group, and a worker that died of it would write no checkpoint.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    main(int(sys.argv[1]))
    sys.stderr.flush()
    # Everything is written and told; tearing down torch and the like would take two more seconds.
    os._exit(0)
