"""Writing an MLflow run: everything goes to its journal, and from there to the tracking store."""

import io
import json
import math
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from sweep.store.secrets import redact
from sweep.tracking.journal import Journal
from sweep.tracking.outbox import Sending
from sweep.tracking.sender import Sender

PARAM_LENGTH, TAG_LENGTH = 6000, 8000
PREVIEW_SIZE = 256
"""Longer side of the small copy that MLflow's image grid shows first."""


class Run:
    """One run by its key: metrics are buffered and written as one batch by `flush`.

    No call waits for the tracking store, and none fails while it is away. Values that are not finite are
    dropped (SQL stores save inf as 1.8e308); a metric that the run has at a step is not written again.
    """

    def __init__(self, spool: Path, key: str, sender: Sender) -> None:
        self.key = key
        self._journal = Journal(spool, key)
        self._sender = sender
        self._sending: Sending | None = None
        self._metrics: list[tuple[str, float, int, int]] = []

    def open(
        self,
        experiment: str,
        name: str,
        tags: Mapping[str, Any],
        *,
        run_id: str | None = None,
        attempt: int = 0,
        trial: tuple[str, int] | None = None,
    ) -> "Run":
        """Find the run by its id or key and go on with it, or make it.

        attempt: of the runs' writers the one with the highest number decides tags and status.
        trial: study and number, to be told the run's id as soon as it has one.
        """
        self._append(
            "open",
            experiment=experiment,
            name=name,
            tags=_texts(tags),
            run_id=run_id,
            attempt=attempt,
            trial=trial,
            time=_now_ms(),
        )
        self._sending = self._sender.take(self._journal)
        return self

    @property
    def id(self) -> str | None:
        """MLflow's id; None until the store has given one."""
        return self._sending.run_id if self._sending else None

    def params(self, params: Mapping[str, Any]) -> None:
        self._append("params", params={key: str(value)[:PARAM_LENGTH] for key, value in params.items()})

    def tags(self, tags: Mapping[str, Any]) -> None:
        self._append("tags", tags=_texts(tags))

    def metric(self, key: str, value: float, step: int = 0) -> None:
        if math.isfinite(value):
            self._metrics.append((key, float(value), _now_ms(), step))

    def flush(self) -> None:
        if self._metrics:
            self._append("metrics", points=self._metrics)
            self._metrics = []
        self._journal.sync()

    def image(self, image: Image.Image, key: str, step: int) -> None:
        """In MLflow's grid with a slider over steps; its name tells the step only, so that twice is once."""
        small = image.copy()
        small.thumbnail((PREVIEW_SIZE, PREVIEW_SIZE))
        # What `MlflowClient.log_image` would name them, less the time and the random part.
        unique = uuid.uuid5(uuid.NAMESPACE_OID, f"{self.key} {key} {step}")
        stem = f"images/{key.replace('/', '~')}+step+{step}+timestamp+{step}+{unique}"
        self.files(
            {f"{stem}.png": _encoded(image, "PNG"), f"{stem}+compressed.webp": _encoded(small, "WEBP")}
        )
        self.tags({"mlflow.loggedImages": True})

    def dataset(self, summary: Mapping[str, Any], context: str) -> None:
        """The data as an MLflow dataset: `digest` is the content hash (MLflow keeps 36 characters)."""
        self._append(
            "dataset",
            name=Path(str(summary["source"])).name,
            digest=str(summary["hash"])[:36],
            source=json.dumps({"uri": str(summary["source"])}),
            profile=json.dumps(dict(summary))[:16_000_000],
            context=context,
        )

    def files(self, files: Mapping[str, bytes]) -> None:
        """Artifacts by path, such as {"series/steps.parquet": ...}."""
        self._journal.append({"do": "files"}, files)
        self._sender.wake()

    def end(self, status: str = "FINISHED", wait_s: float = 5.0) -> None:
        """Everything is on disk when this returns, and sent where the store answers within `wait_s`."""
        self.flush()
        self._append("end", status=status, time=_now_ms())
        self._journal.sync()
        self.release(wait_s)

    def release(self, wait_s: float = 0.0) -> None:
        """Write no more; what could not be sent waits in the spool, and another process may go on with it."""
        if self._sending is None:
            self._journal.close()
        else:
            self._sender.release(self._sending, wait_s)

    def _append(self, do: str, **facts: Any) -> None:
        self._journal.append({"do": do} | facts)
        self._sender.wake()


def close_run(
    spool: Path,
    key: str,
    where: Mapping[str, Any],
    status: str,
    tags: Mapping[str, Any],
    files: Mapping[str, bytes] | None = None,
) -> None:
    """End a run whose writer is dead, in its journal; sent by whoever sends what is left in the spool.

    where: `experiment`, `name`, `run_id`, `attempt` and `trial` as `Run.open` takes them.
    Raises JournalBusyError where the writer is alive after all.
    """
    journal = Journal(spool, key, timeout_s=1.0)
    try:
        opening = {"do": "open", "tags": _texts(tags), "time": _now_ms()} | dict(where)
        journal.append(opening)
        if files:
            journal.append({"do": "files"}, files)
        journal.append({"do": "end", "status": status, "time": _now_ms()})
        journal.sync()
    finally:
        journal.close()


def new_key(study: str, trial: int | str) -> str:
    return f"{study}.{trial}.{uuid.uuid4().hex[:8]}"


def _texts(tags: Mapping[str, Any]) -> dict[str, str]:
    return {key: redact(str(value))[:TAG_LENGTH] for key, value in tags.items()}


def _encoded(image: Image.Image, form: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


def _now_ms() -> int:
    return int(time.time() * 1000)
