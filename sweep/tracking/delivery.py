"""From a journal to a tracker: in order, each write once, however often it is tried."""

import contextlib
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sweep.store.links import LinkRun
from sweep.tracking.journal import Journal
from sweep.tracking.trackers import ATTEMPT, Point, RefusedError, StoredRun, Tracker

METRICS_A_WRITE = 1000


@dataclass
class Delivery:
    """How far one journal has been sent, and what is known of its run."""

    journal: Journal
    offset: int = 0
    run_id: str | None = None
    outranked: bool = False
    """A later attempt has taken the run over: tags and status are no longer this one's to write."""
    complete: bool = False
    """Its writer will write no more."""
    busy: bool = False
    """The sender's thread is sending from it."""
    given_up: bool = False
    """It is to be left on disk as it is."""
    gone: bool = False
    """All of it was sent, and the journal is deleted."""
    uncertain: bool = False
    """A write failed, but may have arrived all the same."""
    last_steps: dict[str, int] = field(default_factory=dict)
    """By metric, the last step that the run has."""
    steps: dict[str, set[int]] = field(default_factory=dict)
    """By metric, all steps that the run has, for the few metrics for which that had to be asked."""

    def is_sent(self) -> bool:
        return self.offset >= self.journal.size()


def deliver(tracker: Tracker, delivery: Delivery, link: LinkRun) -> None:
    """Send what the journal holds beyond `delivery.offset`.

    Raises:
        Exception: what the tracker or the disk raises; the rest of the journal is not sent yet.
    """
    if delivery.uncertain:
        _ask_again(tracker, delivery)
    for write, end in _merged(delivery.journal.read(delivery.offset)):
        if delivery.given_up:
            return
        try:
            _apply(tracker, delivery, write, link)
        except RefusedError as error:
            if write["do"] == "open":
                delivery.uncertain = True
                raise
            warn(f"{tracker.title} refuses a write to run {delivery.run_id}: {error}")
        except Exception:
            delivery.uncertain = True
            raise
        delivery.offset = end


def warn(text: str) -> None:
    """A line in the worker's log."""
    moment = time.strftime("%H:%M:%S")
    with contextlib.suppress(OSError):  # the log may be on the disk that is full
        print(f"{moment} {' '.join(text.split())[:500]}", file=sys.stderr, flush=True)


def _merged(writes: Iterable[tuple[dict[str, Any], int]]) -> Iterator[tuple[dict[str, Any], int]]:
    """Metrics that follow one another as one write: an outage leaves hundreds of epochs behind."""
    points: list[Any] = []
    until = 0
    for write, end in writes:
        if points and (write["do"] != "metrics" or len(points) + len(write["points"]) > METRICS_A_WRITE):
            yield {"do": "metrics", "points": points}, until
            points = []
        if write["do"] == "metrics":
            points, until = points + write["points"], end
        else:
            yield write, end
    if points:
        yield {"do": "metrics", "points": points}, until


def _apply(tracker: Tracker, delivery: Delivery, write: Mapping[str, Any], link: LinkRun) -> None:
    do = write["do"]
    if do == "open":
        _open(tracker, delivery, write, link)
        return
    run_id = delivery.run_id
    assert run_id is not None, "a journal begins with `open`"
    if do == "params":
        tracker.params(run_id, write["params"])
    elif do == "metrics":
        _send_metrics(tracker, delivery, run_id, write["points"])
    elif do in ("files", "image"):
        _send_files(tracker, delivery, run_id, write)
    elif do == "dataset":
        tracker.dataset(run_id, **{key: value for key, value in write.items() if key != "do"})
    elif do == "tags" and not delivery.outranked:
        tracker.tags(run_id, write["tags"])
    elif do == "end" and not delivery.outranked:
        tracker.end(run_id, write["status"], write["time"])


def _open(tracker: Tracker, delivery: Delivery, write: Mapping[str, Any], link: LinkRun) -> None:
    """Find the run, or make it. A run that was made without our hearing of it is found by its key."""
    key, attempt = delivery.journal.key, int(write["attempt"])
    run = _stored_run(tracker, write, key)
    if run is None:
        tags = write["tags"] | {ATTEMPT: str(attempt)}
        delivery.run_id = tracker.create(write["experiment"], key, write["name"], tags, write["time"])
        delivery.last_steps = {}
    else:
        delivery.outranked = int(run.tags.get(ATTEMPT, 0)) > attempt
        if not delivery.outranked:
            tracker.tags(run.id, write["tags"] | {ATTEMPT: str(attempt)})
            tracker.reopen(run.id, write["name"])
        delivery.run_id, delivery.last_steps = run.id, run.last_steps
    if write["trial"]:
        study, trial = write["trial"]
        link(study, trial, delivery.run_id)


def _stored_run(tracker: Tracker, write: Mapping[str, Any], key: str) -> StoredRun | None:
    known = tracker.run(write["run_id"]) if write["run_id"] else None
    return known or tracker.find(write["experiment"], key)


def _send_files(tracker: Tracker, delivery: Delivery, run_id: str, write: Mapping[str, Any]) -> None:
    for name in write.get("files", ()):
        path = delivery.journal.folder / name
        if not path.exists():  # it was sent by a process that died before recording that
            continue
        if write["do"] == "image":
            tracker.image(run_id, write["metric"], write["step"], path)
        else:
            tracker.file(run_id, name, path)
        path.unlink()


def _send_metrics(tracker: Tracker, delivery: Delivery, run_id: str, points: list[Any]) -> None:
    """Send the points that the run does not have, each (metric, step) once."""
    new: dict[tuple[str, int], Point] = {}
    for metric, value, time_ms, step in points:
        if (metric, step) not in new and not _has(tracker, delivery, run_id, metric, step):
            new[metric, step] = (metric, value, time_ms, step)
    if new:
        tracker.metrics(run_id, list(new.values()))
    for metric, step in new:
        delivery.last_steps[metric] = max(step, delivery.last_steps.get(metric, step))
        if metric in delivery.steps:
            delivery.steps[metric].add(step)


def _has(tracker: Tracker, delivery: Delivery, run_id: str, metric: str, step: int) -> bool:
    """Steps mostly grow, so a metric's last step answers for most points without asking the store."""
    if step > delivery.last_steps.get(metric, -1):
        return False
    if metric not in delivery.steps:
        delivery.steps[metric] = {step for step, _ in tracker.history(run_id, metric)}
    return step in delivery.steps[metric]


def _ask_again(tracker: Tracker, delivery: Delivery) -> None:
    """After a failure it is not known what has arrived."""
    run = tracker.run(delivery.run_id) if delivery.run_id is not None else None
    delivery.last_steps = run.last_steps if run else {}
    delivery.steps.clear()
    delivery.uncertain = False
