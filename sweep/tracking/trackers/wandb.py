"""Weights & Biases: runs as plain files, as `files` keeps them, each with a copy that W&B shows.

The files are the record, so that runs are read back without a server, and a copy can always be completed:
`sent.json` in a run's folder says how much of it W&B has. Without an API key, or with WANDB_MODE=offline, the
copies stay in `wandb/` of the home until `wandb sync`.
"""

import contextlib
import json
import netrc
import os
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
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
STEPS_A_LINE = 2
"""W&B's own step counts lines of metrics.jsonl, which only grow; every second one is for pictures between."""
WAIT_S = 20.0
"""How long a call waits for W&B before the sender tries again."""
os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
_open: dict[str, Any] = {}
"""This process's runs by W&B's id, of which it allows one each."""


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """W&B's exceptions as those of a tracker."""
    import wandb

    try:
        yield
    except (wandb.Error, TimeoutError) as error:
        raise TrackerError(str(error) or type(error).__name__) from error


class Store(Files):
    """Nothing but `_push` speaks to W&B; it does so after every write, and once more for one that failed."""

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
        self._push(run_id, artifact=name)

    def image(self, run_id: str, metric: str, step: int, source: Path) -> None:
        super().file(run_id, f"images/{metric.replace('/', '~')}/{step:09d}.png", source)
        self._push(run_id, picture=(metric, step, source))

    def end(self, run_id: str, status: str, time_ms: int) -> None:
        super().end(run_id, status, time_ms)
        self._push(run_id)

    @_translated()
    def _push(
        self, run_id: str, artifact: str | None = None, picture: tuple[str, int, Path] | None = None
    ) -> None:
        """Bring W&B's copy up to what the files say."""
        facts, sent = self._facts(run_id), self._sent(run_id)
        state = {key: facts[key] for key in ("name", "status", "params", "tags")}
        lines = len(self._points(run_id))
        if artifact is None and picture is None and sent["state"] == state and sent["lines"] == lines:
            return
        self._note(run_id, sent)  # the id, before W&B hears of it
        run = self._run(run_id, sent["id"], state["name"])
        if sent["state"] != state:
            run.name = state["name"]
            run.notes = state["tags"].get(NOTE, "")
            run.config.update(state["params"], allow_val_change=True)
            run.summary.update({f"tag/{tag}": value for tag, value in state["tags"].items()})
        self._send_points(run, run_id, sent, lines)
        if artifact is not None:
            folder = self._path(run_id, "artifacts")
            run.save(folder / artifact, base_path=folder, policy="now")
        if picture is not None:
            _show(run, *picture, step=STEPS_A_LINE * lines)
        if state["status"] != "RUNNING":
            run.finish(exit_code=0 if state["status"] == "FINISHED" else 1)
            del _open[sent["id"]]
        self._note(run_id, sent | {"state": state})

    def _send_points(self, run: Any, run_id: str, sent: dict[str, Any], lines: int) -> None:
        """Rows of metrics, one for points of one step that follow one another.

        What is about to be sent is noted first: after a crash the same rows are sent again under the same
        steps, which W&B drops where it has them.
        """
        if sent["sending"] == sent["lines"] < lines:
            self._note(run_id, sent | {"sending": lines})
            sent["sending"] = lines
        points = list(enumerate(self._points(run_id)))[sent["lines"] : sent["sending"]]
        for at, row in groupby(points, key=lambda numbered: numbered[1][3]):
            rows = list(row)
            values = {metric: value for _, (metric, value, _, _) in rows}
            run.log({AT: at} | values, step=STEPS_A_LINE * rows[-1][0] + 1)
        sent["lines"] = sent["sending"]
        self._note(run_id, sent)
        if sent["lines"] < lines:
            self._send_points(run, run_id, sent, lines)

    def _run(self, run_id: str, unique: str, name: str) -> Any:
        """W&B's run of the id `unique`, made or gone on with."""
        if unique not in _open:
            import wandb

            run = wandb.init(
                id=unique,
                name=name,
                project=os.environ.get("WANDB_PROJECT")
                or _allowed(self._path(run_id, "").parent.parent.name),
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
            run.define_metric("*", step_metric=AT)
            _open[unique] = run
        return _open[unique]

    def _sent(self, run_id: str) -> dict[str, Any]:
        """id: W&B's, whose projects may be shared by homes whose own ids are alike. lines: of metrics.jsonl
        that W&B has. sending: those that it may have. state: what else it has."""
        with contextlib.suppress(FileNotFoundError):
            return dict(json.loads(self._path(run_id, "sent.json").read_bytes()))
        return {"id": f"{_allowed(run_id)}-{uuid.uuid4().hex[:6]}", "lines": 0, "sending": 0, "state": {}}

    def _note(self, run_id: str, sent: Mapping[str, Any]) -> None:
        write_whole(self._path(run_id, "sent.json"), json.dumps(sent).encode())


def _show(run: Any, metric: str, at: int, source: Path, step: int) -> None:
    import wandb

    run.log({AT: at, metric: wandb.Image(str(source))}, step=step)


def _allowed(name: str) -> str:
    """The name in the characters that W&B takes."""
    return re.sub(r"[^\w.-]", "-", name)[:100]


def _mode() -> Any:
    """As WANDB_MODE says; else online where there is a key, since W&B would ask for one on a terminal."""
    if mode := os.environ.get("WANDB_MODE"):
        return mode
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    with contextlib.suppress(OSError, netrc.NetrcParseError):
        if netrc.netrc().authenticators(host):
            return "online"
    return "online" if os.environ.get("WANDB_API_KEY") else "offline"
