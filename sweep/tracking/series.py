"""The series of a run, complete whatever interrupts it: in memory, and in parts beside its checkpoint."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sweep.store.checkpoints import Checkpoints

Record = dict[str, float]


def parquet(records: Sequence[Record]) -> bytes:
    """A Parquet table of a row for each record and a column for each quantity; null if a record has none."""
    columns = dict.fromkeys(name for record in records for name in record)
    rows = [{name: record.get(name) for name in columns} for record in records]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


class Series:
    """The records by step and by epoch of a run, as `vae.training.fit` gives them to its hooks.

    Before each checkpoint, the records since the last one are written as a part, named by its first step. If
    the process dies between the two, the part has records beyond the checkpoint; they are dropped, because
    the run makes them again.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.checkpoints = checkpoints
        self.steps: list[Record] = []
        self.epochs: list[Record] = []
        self._saved = (0, 0)
        self._new: list[Path] = []

    def add_epoch(self, record: Record) -> None:
        """Add a record, in place of one of the same step from before a crash."""
        if self.epochs and self.epochs[-1]["step"] == record["step"]:
            self.epochs.pop()
        self.epochs.append(record)

    def save(self) -> None:
        """Write the records since the last part; the checkpoint follows."""
        steps, epochs = self._saved
        for name, records in (("steps", self.steps[steps:]), ("epochs", self.epochs[epochs:])):
            if records:
                path = self.checkpoints.folder / f"{name}-{int(records[0]['step']):09d}.parquet"
                self.checkpoints.write(path, parquet(records))
                self._new.append(path)
        self._saved = len(self.steps), len(self.epochs)

    def publish(self) -> None:
        """Give other machines the checkpoint, which is written now, and the parts that it needs."""
        self.checkpoints.publish(self._new)
        self._new = []

    def restore(self, step: int) -> None:
        """Read the parts back for a run that resumes at `step`."""
        self.steps = [r for r in self._read("steps") if r["step"] < step]
        self.epochs = [r for r in self._read("epochs") if r["step"] < step]
        self._saved = len(self.steps), len(self.epochs)

    def files(self) -> dict[str, bytes]:
        """The series as artifacts of the run."""
        named = {"series/steps.parquet": self.steps, "series/epochs.parquet": self.epochs}
        return {name: parquet(records) for name, records in named.items() if records}

    def _read(self, name: str) -> list[Record]:
        records: dict[float, Record] = {}
        for path in sorted(self.checkpoints.folder.glob(f"{name}-*.parquet")):
            row: dict[str, Any]
            for row in pq.read_table(path).to_pylist():
                records[row["step"]] = {key: value for key, value in row.items() if value is not None}
        return [records[step] for step in sorted(records)]
