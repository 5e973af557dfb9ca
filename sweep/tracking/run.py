"""Writing a run: everything goes to its journal, and from there to the tracker."""

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
from sweep.tracking.delivery import Delivery
from sweep.tracking.journal import Journal
from sweep.tracking.sender import Sender

PARAM_LENGTH, TAG_LENGTH = 6000, 8000


class Run:
    """One run, known by its key. Metrics are buffered; `flush` writes them as one batch.

    No call waits for the tracking store, and none fails while it is away. Values that are not finite are
    dropped (SQL stores save inf as 1.8e308); a metric that the run has at a step is not written again.
    """

    def __init__(self, spool: Path, key: str, sender: Sender) -> None:
        self.key = key
        self._journal = Journal(spool, key)
        self._sender = sender
        self._delivery: Delivery | None = None
        self._left = False
        """Whether the sender does the rest alone."""
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

        Args:
            experiment: the id of the study's experiment.
            name: what the tracker shows.
            tags: added to those that the run has.
            run_id: the tracker's id, if the run is known to have one.
            attempt: if a run has several writers, the one with the highest number decides tags and status.
            trial: study and number of the trial that is to store the run's id as soon as there is one.
        """
        self._append(
            "open",
            tracker=self._sender.tracker.name,
            experiment=experiment,
            name=name,
            tags=_texts(tags),
            run_id=run_id,
            attempt=attempt,
            trial=trial,
            time=now_ms(),
        )
        self._delivery = self._sender.take(self._journal)
        return self

    @property
    def id(self) -> str | None:
        """The tracker's id of the run; None until it has given one."""
        return self._delivery.run_id if self._delivery else None

    def params(self, params: Mapping[str, Any]) -> None:
        self._append("params", params={key: str(value)[:PARAM_LENGTH] for key, value in params.items()})

    def tags(self, tags: Mapping[str, Any]) -> None:
        self._append("tags", tags=_texts(tags))

    def metric(self, key: str, value: float, step: int = 0) -> None:
        if math.isfinite(value):
            self._metrics.append((key, float(value), now_ms(), step))

    def flush(self) -> None:
        if self._metrics:
            self._append("metrics", points=self._metrics)
            self._metrics = []
        self._journal.sync()

    def image(self, image: Image.Image, metric: str, step: int) -> None:
        """One of a series of pictures. The file is named by metric and step, so that twice is once."""
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        name = f"images/{metric.replace('/', '~')}/{step:09d}.png"
        self._journal.append({"do": "image", "metric": metric, "step": step}, {name: buffer.getvalue()})
        self._sender.wake()

    def dataset(self, summary: Mapping[str, Any], context: str) -> None:
        """Name the run's data; the digest is their content hash."""
        self._append(
            "dataset",
            name=Path(str(summary["source"])).name,
            digest=str(summary["hash"]),
            source=json.dumps({"uri": str(summary["source"])}),
            profile=json.dumps(dict(summary)),
            context=context,
        )

    def files(self, files: Mapping[str, bytes]) -> None:
        """Artifacts by path, such as {"series/steps.parquet": ...}."""
        self._journal.append({"do": "files"}, files)
        self._sender.wake()

    def end(self, status: str = "FINISHED", wait_s: float | None = 5.0) -> None:
        """End the run. All of it is on disk then, and sent if the store answers within `wait_s`; with None
        nobody waits, and it is sent behind the caller's back.
        """
        self.flush()
        self._append("end", status=status, time=now_ms())
        self._journal.sync()
        if wait_s is None and self._delivery is not None:
            self._left = True
            self._sender.leave(self._delivery)
        else:
            self.release(wait_s or 0.0)

    def release(self, wait_s: float = 0.0) -> None:
        """Write no more. What cannot be sent within `wait_s` stays in the spool for any other process."""
        if self._left:
            return
        if self._delivery is None:
            self._journal.close()
        else:
            self._sender.release(self._delivery, wait_s)

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
    """End, in its journal, a run whose writer is dead; any process that finds the journal sends it.

    Args:
        where: `tracker` (its name), and `experiment`, `name`, `run_id`, `attempt` and `trial` as `Run.open`
            takes them.

    Raises:
        JournalBusyError: the writer is alive after all.
    """
    journal = Journal(spool, key, timeout_s=1.0)
    try:
        journal.append({"do": "open", "tags": _texts(tags), "time": now_ms()} | dict(where))
        if files:
            journal.append({"do": "files"}, files)
        journal.append({"do": "end", "status": status, "time": now_ms()})
        journal.sync()
    finally:
        journal.close()


def new_key(study: str, trial: int | str) -> str:
    """A name of our own for a run, known before its tracker gives it an id."""
    return f"{study}.{trial}.{uuid.uuid4().hex[:8]}"


def _texts(tags: Mapping[str, Any]) -> dict[str, str]:
    return {key: redact(str(value))[:TAG_LENGTH] for key, value in tags.items()}


def now_ms() -> int:
    """Milliseconds since 1970."""
    return int(time.time() * 1000)
