"""Runs as plain files: `files/<study>/<run>/` with `run.json`, `metrics.jsonl` and `artifacts/`."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sweep.tracking.journal import write_whole
from sweep.tracking.trackers import KEY, PARENT, Point, RefusedError, StoredRun, Tracker, latest


class Store(Tracker):
    title = "files"

    def create(self, experiment: str, key: str, name: str, tags: Mapping[str, str], time_ms: int) -> str:
        facts = {"name": name, "status": "RUNNING", "started_ms": time_ms, "tags": {**tags, KEY: key}}
        folder = Path(self.location, experiment, quote(key, safe=""))
        write_whole(folder / "metrics.jsonl", b"")
        write_whole(folder / "run.json", json.dumps(facts | {"params": {}}).encode())
        return folder.name

    def reopen(self, run_id: str, name: str) -> None:
        self._change(run_id, status="RUNNING", name=name, ended_ms=None)

    def params(self, run_id: str, params: Mapping[str, str]) -> None:
        self._change(run_id, params=self._facts(run_id)["params"] | params)

    def tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        self._change(run_id, tags=self._facts(run_id)["tags"] | tags)

    def end(self, run_id: str, status: str, time_ms: int) -> None:
        self._change(run_id, status=status, ended_ms=time_ms)

    def metrics(self, run_id: str, points: Sequence[Point]) -> None:
        with (path := self._path(run_id, "metrics.jsonl")).open("ab") as file:
            file.truncate(path.read_bytes().rfind(b"\n") + 1)  # the last writer may have died within a line
            file.write("".join(f"{json.dumps(point)}\n" for point in points).encode())

    def file(self, run_id: str, name: str, source: Path) -> None:
        write_whole(self._path(run_id, f"artifacts/{name}"), source.read_bytes())

    def run(self, run_id: str) -> StoredRun | None:
        with contextlib.suppress(RefusedError):
            return StoredRun(run_id, **self._facts(run_id), latest=latest(self._points(run_id)))
        return None

    def find(self, experiment: str, key: str) -> StoredRun | None:
        return self.run(quote(key, safe=""))

    def children(self, experiment: str, parent: str, status: str | None = None) -> list[StoredRun]:
        paths = sorted(Path(self.location, experiment).glob("*/run.json"))
        facts = [(path.parent.name, json.loads(path.read_bytes())) for path in paths]
        mine = [i for i, f in facts if f["tags"].get(PARENT) == parent and status in (None, f["status"])]
        return [run for run in map(self.run, mine) if run is not None]

    def history(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        return [(step, value) for name, value, _, step in self._points(run_id) if name == metric]

    def artifact(self, run_id: str, name: str) -> bytes | None:
        with contextlib.suppress(RefusedError, OSError):
            return self._path(run_id, f"artifacts/{name}").read_bytes()
        return None

    def _path(self, run_id: str, name: str) -> Path:
        for path in Path(self.location).glob(f"*/{run_id}/run.json"):
            return path.parent / name
        raise RefusedError(f"there is no run {run_id} in {self.location}")

    def _facts(self, run_id: str) -> dict[str, Any]:
        return dict(json.loads(self._path(run_id, "run.json").read_bytes()))

    def _change(self, run_id: str, **changes: Any) -> None:
        write_whole(self._path(run_id, "run.json"), json.dumps(self._facts(run_id) | changes).encode())

    def _points(self, run_id: str) -> list[Point]:
        lines = self._path(run_id, "metrics.jsonl").read_bytes().split(b"\n")
        return [json.loads(line) for line in lines[:-1]]  # whatever follows the last line end is torn
