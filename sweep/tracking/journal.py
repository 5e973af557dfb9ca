"""What is to be written to an MLflow run, in order and on disk before anything is sent.

One file a run, `mlruns/spool/<key>.jsonl`, one write a line, with its artifacts in the folder
`mlruns/spool/<key>/`. While the tracking server answers, a journal is sent as it grows and lives as long
as its run. While it is away the journal waits, and whoever finds it later may send it: the writes are such
that sending one twice changes nothing (`sweep.tracking.sender`).
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

LOCK_TIMEOUT_S = 60.0
POLL_S = 0.05


class JournalBusyError(Exception):
    """Another live process writes or sends this journal."""


class Journal:
    """An open journal, locked by this process until `close`; the system frees the lock of a dead one."""

    def __init__(
        self, spool: Path, key: str, timeout_s: float = LOCK_TIMEOUT_S, must_exist: bool = False
    ) -> None:
        """Open or begin it.

        Raises:
            JournalBusyError: another process holds it for longer than that.
            FileNotFoundError: `must_exist`, and it does not.
        """
        self.key, self.path, self.folder = key, spool / f"{key}.jsonl", spool / key
        spool.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] = self._locked(timeout_s, "r+b" if must_exist else "ab")
        self._file.seek(0, os.SEEK_END)
        self._cut_torn_line()
        self._synced = self.size()

    def append(self, write: Mapping[str, Any], files: Mapping[str, bytes] | None = None) -> None:
        """One write; its artifacts by their path in the run. Survives the death of this process."""
        for name, content in (files or {}).items():
            target = self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f".{target.name}.partial")
            partial.write_bytes(content)
            partial.replace(target)
        listed = {"files": sorted(files)} if files else {}
        self._file.write(json.dumps(dict(write) | listed).encode() + b"\n")

    def sync(self) -> None:
        """What was appended survives the death of the machine, too."""
        if self.size() > self._synced:
            self._synced = self.size()
            os.fsync(self._file.fileno())

    def read(self, offset: int) -> Iterator[tuple[dict[str, Any], int]]:
        """The writes from an offset in the file, each with the offset behind it."""
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
        """All of it was sent."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.path.unlink(missing_ok=True)
        self.close()

    def _locked(self, timeout_s: float, mode: Literal["ab", "r+b"]) -> IO[bytes]:
        deadline = time.monotonic() + timeout_s
        while True:
            file = self.path.open(mode, buffering=0)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # The one who held the lock may have deleted the file meanwhile.
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


def waiting(spool: Path) -> list[str]:
    """Keys of the journals in a spool, oldest first."""
    found = []
    for path in spool.glob("*.jsonl"):
        with contextlib.suppress(FileNotFoundError):  # sent just now
            found.append((path.stat().st_mtime, path.stem))
    return [key for _, key in sorted(found)]
