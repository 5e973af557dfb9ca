"""Weights & Biases: runs as plain files, as `files` keeps them, each with a copy that W&B shows.

The files are the record, so that runs are read back without a server, and a copy can always be completed
from them. Without an API key, or with WANDB_MODE=offline, the copies stay in `wandb/` of the home until
`wandb sync`.
"""

import contextlib
import json
import netrc
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sweep.tracking.journal import write_whole
from sweep.tracking.trackers import NOTE, Point, TrackerError
from sweep.tracking.trackers.files import Store as Files

PACKAGE = "wandb"
AT = "at"
"""The x axis of every chart: the epoch or the optimizer step, as the metric's name says."""
SENT, PICTURES = "sent.json", "pictures.json"
WAIT_S = 20.0
"""How long a call waits for W&B before the sender tries again."""
os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
os.environ.setdefault("WANDB_SILENT", "true")


@dataclass
class _Copy:
    """A run that this process has open with W&B."""

    run: Any
    next_step: int
    state: dict[str, Any] = field(default_factory=dict)


_open: dict[str, _Copy] = {}
"""By W&B's id, of which it allows one each in a process."""


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """W&B's exceptions as those of a tracker."""
    import wandb

    try:
        yield
    except (wandb.Error, TimeoutError) as error:
        raise TrackerError(str(error) or type(error).__name__) from error


class Store(Files):
    """Nothing but `_push` speaks to W&B; it does so after every write, and makes up for one that failed."""

    title = "Weights & Biases"

    def reopen(self, run_id: str, name: str) -> None:
        super().reopen(run_id, name)
        self._push(run_id)

    def params(self, run_id: str, params: Mapping[str, str]) -> None:
        super().params(run_id, params)
        self._push(run_id)

    def tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        super().tags(run_id, tags)
        self._push(run_id)

    def metrics(self, run_id: str, points: Sequence[Point]) -> None:
        super().metrics(run_id, points)
        self._push(run_id)

    def file(self, run_id: str, name: str, source: Path) -> None:
        super().file(run_id, name, source)
        self._push(run_id, name)

    def image(self, run_id: str, metric: str, step: int, source: Path) -> None:
        name = f"images/{metric.replace('/', '~')}/{step:09d}.png"
        super().file(run_id, name, source)
        pictures = self._pictures(run_id)
        pictures.setdefault(name, [metric, step, len(self._lines(run_id))])
        write_whole(self._path(run_id, PICTURES), json.dumps(pictures).encode())
        self._push(run_id)

    def end(self, run_id: str, status: str, time_ms: int) -> None:
        super().end(run_id, status, time_ms)
        self._push(run_id)

    @_translated()
    def _push(self, run_id: str, artifact: str | None = None) -> None:
        """Bring W&B's copy up to what the files say."""
        facts, sent = self._facts(run_id), self._sent(run_id)
        state = {key: facts[key] for key in ("name", "status", "params", "tags")}
        has = {"state": state, "rows": len(self._lines(run_id)) + len(self._pictures(run_id))}
        if artifact is None and sent == sent | has:
            return
        copy = _open.get(sent["id"]) or self._begin(run_id, sent["id"], state["name"])
        run = copy.run
        if copy.state != state:
            run.name = state["name"]
            run.notes = state["tags"].get(NOTE, "")
            run.config.update(state["params"], allow_val_change=True)
            run.summary.update({f"tag/{tag}": value for tag, value in state["tags"].items()})
            copy.state = state
        for step, row in self._rows(run_id, copy.next_step):
            run.log(row, step=step)
            copy.next_step = step + 1
        if artifact is not None:
            _save(run, self._path(run_id, "artifacts"), artifact)
        if state["status"] != "RUNNING":
            run.finish(exit_code=0 if state["status"] == "FINISHED" else 1)
            del _open[sent["id"]]
        self._note(run_id, sent | has)

    def _begin(self, run_id: str, unique: str, name: str) -> "_Copy":
        """W&B's run of the id `unique`, made or gone on with.

        A server says how much of it is there. Offline that is not known, as a killed process takes with it
        what it had not yet written: the files of the runs before are replaced by one that has everything.
        """
        import wandb

        self._note(run_id, self._sent(run_id) | {"id": unique})  # before W&B hears of it
        for before in self.home.root.glob(f"wandb/offline-run-*-{unique}"):
            shutil.rmtree(before, ignore_errors=True)
        run: Any = wandb.init(
            id=unique,
            name=name,
            project=os.environ.get("WANDB_PROJECT")
            or _allowed(self._path(run_id, "run.json").parent.parent.name),
            dir=self.home.root,
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(
                mode=_mode(),
                silent=True,
                console="off",
                disable_git=True,
                save_code=False,
                x_disable_stats=True,
                x_save_requirements=False,
                init_timeout=WAIT_S,
                finish_timeout=WAIT_S,
                finish_timeout_raises=True,
            ),
        )
        # Children would share this process's service, which keeps the runs of those that are killed.
        os.environ.pop("WANDB_SERVICE", None)
        run.define_metric("*", step_metric=AT)
        folder = self._path(run_id, "artifacts")
        pictures = self._pictures(run_id)
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if path.is_file() and name not in pictures:
                _save(run, folder, name)
        _open[unique] = _Copy(run, next_step=run.step)
        return _open[unique]

    def _rows(self, run_id: str, since: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """(W&B's step, values), from that step on: one row for points of one step that follow one another.

        The n-th point has the step 2n + 1, and a picture after n points the step 2n: both grow, and are the
        same whenever they are sent, so W&B drops what it has.
        """
        import wandb

        folder, first = self._path(run_id, "artifacts"), since // 2
        points = enumerate(map(json.loads, self._lines(run_id)[first:]), start=first)
        rows: list[tuple[int, dict[str, Any]]] = [
            (2 * n + 1, {AT: at, metric: value}) for n, (metric, value, _, at) in points
        ]
        rows += [
            (2 * n, {AT: at, metric: wandb.Image(str(folder / name))})
            for name, (metric, at, n) in self._pictures(run_id).items()
            if 2 * n >= since
        ]
        rows.sort(key=lambda row: row[0])
        # Pictures of one moment share its step; the points between two pictures share their `at`.
        for _, alike in groupby(
            rows, key=lambda row: ("point", row[1][AT]) if row[0] % 2 else ("picture", row[0])
        ):
            steps, values = zip(*alike, strict=True)
            yield steps[-1], {key: value for row in values for key, value in row.items()}

    def _lines(self, run_id: str) -> list[bytes]:
        """The run's points, in the order of writing, as JSON."""
        return self._path(run_id, "metrics.jsonl").read_bytes().split(b"\n")[:-1]

    def _pictures(self, run_id: str) -> dict[str, Any]:
        """By artifact: the metric, the step, and the number of points before it."""
        with contextlib.suppress(FileNotFoundError):
            return dict(json.loads(self._path(run_id, PICTURES).read_bytes()))
        return {}

    def _sent(self, run_id: str) -> dict[str, Any]:
        """W&B's id, as its projects may be shared by homes whose own ids are alike; and what W&B has."""
        with contextlib.suppress(FileNotFoundError):
            return dict(json.loads(self._path(run_id, SENT).read_bytes()))
        return {"id": f"{_allowed(run_id)}-{uuid.uuid4().hex[:6]}", "state": {}, "rows": 0}

    def _note(self, run_id: str, sent: Mapping[str, Any]) -> None:
        write_whole(self._path(run_id, SENT), json.dumps(sent).encode())


def _save(run: Any, folder: Path, name: str) -> None:
    run.save(folder / name, base_path=folder, policy="now")


def _allowed(name: str) -> str:
    """The name in the characters that W&B takes."""
    return re.sub(r"[^\w.-]", "-", name, flags=re.ASCII)[:100]


def _mode() -> Any:
    """As WANDB_MODE says; else online where there is a key, since W&B would ask for one on a terminal."""
    if mode := os.environ.get("WANDB_MODE"):
        return mode
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    with contextlib.suppress(OSError, netrc.NetrcParseError):
        if netrc.netrc().authenticators(host):
            return "online"
    return "online" if os.environ.get("WANDB_API_KEY") else "offline"
