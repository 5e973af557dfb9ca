"""What is to be written to a run, in order and on disk before anything is sent.

There is one file for a run, `mlruns/spool/<key>.jsonl`, with one write in each line, and its artifacts in the
folder `mlruns/spool/<key>/`. While the tracking store answers, a journal is sent as it grows and lives as
long as its run. While the store is away the journal waits, and any process that finds it later may send it:
sending a write twice changes nothing (`sweep.tracking.delivery`).
"""

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Literal

from sweep.store.links import DEFAULT_TRACKER

LOCK_TIMEOUT_S = 60.0
POLL_S = 0.05


class JournalBusyError(Exception):
    """Another live process writes or sends this journal."""


class Journal:
    """An open journal, locked by this process until `close`; the system frees the lock of a dead process."""

    def __init__(
        self, spool: Path, key: str, timeout_s: float = LOCK_TIMEOUT_S, must_exist: bool = False
    ) -> None:
        """Open the journal of the run `key`, or begin it.

        Raises:
            JournalBusyError: another process still holds it after `timeout_s`.
            FileNotFoundError: it does not exist, and `must_exist`.
        """
        self.key, self.path, self.folder = key, spool / f"{key}.jsonl", spool / key
        spool.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] = self._locked(timeout_s, "r+b" if must_exist else "ab")
        self._file.seek(0, os.SEEK_END)
        self._cut_torn_line()
        self._synced = self.size()

    def append(self, write: Mapping[str, Any], files: Mapping[str, bytes] | None = None) -> None:
        """Add a write, and artifacts by their path in the run. It survives the death of this process."""
        for name, content in (files or {}).items():
            write_whole(self.folder / name, content)
        listed = {"files": sorted(files)} if files else {}
        self._file.write(json.dumps(dict(write) | listed).encode() + b"\n")

    def sync(self) -> None:
        """Make what was appended survive the death of the machine, too."""
        if self.size() > self._synced:
            self._synced = self.size()
            os.fsync(self._file.fileno())

    def read(self, offset: int) -> Iterator[tuple[dict[str, Any], int]]:
        """The writes from an offset in the file on, each with the offset at its end."""
        with self.path.open("rb") as file:
            file.seek(offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                offset += len(line)
                yield json.loads(line), offset

    def size(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    def close(self) -> None:
        self._file.close()

    def delete(self) -> None:
        """Remove the journal and its artifacts: all of it was sent."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.path.unlink(missing_ok=True)
        self.close()

    def _locked(self, timeout_s: float, mode: Literal["ab", "r+b"]) -> IO[bytes]:
        deadline = time.monotonic() + timeout_s
        while True:
            file = self.path.open(mode, buffering=0)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Whoever held the lock may have deleted the file meanwhile.
                if os.fstat(file.fileno()).st_nlink:
                    return file
            except BlockingIOError:
                if time.monotonic() > deadline:
                    file.close()
                    raise JournalBusyError(f"{self.path} is in use by another process") from None
            file.close()
            time.sleep(POLL_S)

    def _cut_torn_line(self) -> None:
        content = self.path.read_bytes()
        self._file.truncate(content.rfind(b"\n") + 1)
        self._file.seek(0, os.SEEK_END)


def waiting(spool: Path, tracker: str | None = None) -> list[str]:
    """Keys of the journals in a spool, oldest first; with `tracker`, of those for that tracker."""
    found = []
    for path in spool.glob("*.jsonl"):
        with contextlib.suppress(FileNotFoundError):  # it was sent just now
            if tracker is None or _tracker_of(path) in (None, tracker):
                found.append((path.stat().st_mtime, path.stem))
    return [key for _, key in sorted(found)]


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, and its folders, such that a reader finds all of the content or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    partial.replace(path)


def _tracker_of(path: Path) -> str | None:
    """None for a journal whose writer died before the end of the first line: there is nothing to send."""
    with path.open("rb") as file:
        line = file.readline()
    return str(json.loads(line).get("tracker", DEFAULT_TRACKER)) if line.endswith(b"\n") else None
