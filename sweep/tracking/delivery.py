"""From a journal to the tracking store: in order, each write once, however often it is tried."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.entities import Run as StoredRun
from mlflow.exceptions import MlflowException

from sweep.tracking.client import RUN_KEY, Tracker
from sweep.tracking.outbox import Linked, Sending, warn

METRICS_A_BATCH = 1000  # MLflow's limits on one log_batch
PARAMS_A_BATCH = TAGS_A_BATCH = 100
REFUSALS = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_ALREADY_EXISTS", "MALFORMED_REQUEST"}
"""MLflow's codes for a write that no later attempt would make good."""


def send(tracker: Tracker, sending: Sending, linked: Linked) -> None:
    """Send what a journal holds beyond `sending.offset`. Raises what the client raises."""
    if sending.uncertain:
        _refresh(tracker, sending)
    for write, end in _merged(sending.journal.read(sending.offset)):
        if sending.given_up:
            return
        try:
            _apply(tracker, sending, write, linked)
        except MlflowException as error:
            if error.error_code not in REFUSALS or write["do"] == "open":
                sending.uncertain = True
                raise
            warn(f"MLflow refuses a write to run {sending.run_id}: {error}")
        except Exception:
            sending.uncertain = True
            raise
        sending.offset = end


def _merged(writes: Iterable[tuple[dict[str, Any], int]]) -> Iterator[tuple[dict[str, Any], int]]:
    """Metrics that follow one another as one write, up to a batch: an outage leaves hundreds of epochs."""
    points: list[Any] = []
    until = 0
    for write, end in writes:
        if points and (write["do"] != "metrics" or len(points) + len(write["points"]) > METRICS_A_BATCH):
            yield {"do": "metrics", "points": points}, until
            points = []
        if write["do"] == "metrics":
            points, until = points + write["points"], end
        else:
            yield write, end
    if points:
        yield {"do": "metrics", "points": points}, until


def _apply(tracker: Tracker, sending: Sending, write: Mapping[str, Any], linked: Linked) -> None:
    client, do = tracker.client, write["do"]
    if do == "open":
        _open(tracker, sending, write, linked)
        return
    run_id = sending.run_id
    assert run_id is not None, "a journal begins with `open`"
    if do == "params":
        params = [Param(key, value) for key, value in write["params"].items()]
        for start in range(0, len(params), PARAMS_A_BATCH):
            client.log_batch(run_id, params=params[start : start + PARAMS_A_BATCH])
    elif do == "metrics":
        _send_metrics(tracker, sending, run_id, write["points"])
    elif do == "files":
        for name in write.get("files", ()):
            path = sending.journal.folder / name
            if path.exists():  # else it was sent by one who died before saying so
                client.log_artifact(run_id, str(path), str(Path(name).parent) if "/" in name else None)
                path.unlink()
    elif do == "dataset":
        dataset = Dataset(write["name"], write["digest"], "local", write["source"], profile=write["profile"])
        tags = [InputTag("mlflow.data.context", write["context"])]
        client.log_inputs(run_id, [DatasetInput(dataset, tags)])
    elif do == "tags" and not sending.outranked:
        _send_tags(tracker, run_id, write["tags"])
    elif do == "end" and not sending.outranked:
        client.set_terminated(run_id, status=write["status"], end_time=write["time"])


def _open(tracker: Tracker, sending: Sending, write: Mapping[str, Any], linked: Linked) -> None:
    """Find the run or make it. Made and not yet known to us, it is found by its key."""
    key, attempt = sending.journal.key, write["attempt"]
    run = _existing(tracker, write, key)
    if run is None:
        tags = write["tags"] | {RUN_KEY: key, "attempt": str(attempt)}
        run = tracker.client.create_run(write["experiment"], write["time"], tags, write["name"])
    else:
        sending.outranked = int(run.data.tags.get("attempt", 0)) > attempt
        if not sending.outranked:
            _send_tags(tracker, run.info.run_id, write["tags"] | {"attempt": str(attempt)})
            tracker.client.update_run(run.info.run_id, status="RUNNING", name=write["name"])
    sending.run_id = run.info.run_id
    sending.last_steps = {metric.key: metric.step for metric in run.data._metric_objs}
    if write["trial"]:
        study, trial = write["trial"]
        linked(study, trial, run.info.run_id)


def _existing(tracker: Tracker, write: Mapping[str, Any], key: str) -> StoredRun | None:
    if write["run_id"]:
        try:
            return tracker.client.get_run(write["run_id"])
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
    return tracker.find(write["experiment"], key)


def _send_metrics(tracker: Tracker, sending: Sending, run_id: str, points: list[Any]) -> None:
    """Those that the run does not have. Steps of a key mostly grow, so its last one tells most of them."""
    new: dict[tuple[str, int], Metric] = {}
    for key, value, when, step in points:
        if (key, step) not in new and not _has(tracker, sending, run_id, key, step):
            new[key, step] = Metric(key, value, when, step)
    metrics = list(new.values())
    for start in range(0, len(metrics), METRICS_A_BATCH):
        tracker.client.log_batch(run_id, metrics=metrics[start : start + METRICS_A_BATCH])
    for key, step in new:
        sending.last_steps[key] = max(step, sending.last_steps.get(key, step))
        if key in sending.steps:
            sending.steps[key].add(step)


def _has(tracker: Tracker, sending: Sending, run_id: str, key: str, step: int) -> bool:
    if step > sending.last_steps.get(key, -1):
        return False
    if key not in sending.steps:
        sending.steps[key] = {metric.step for metric in tracker.client.get_metric_history(run_id, key)}
    return step in sending.steps[key]


def _refresh(tracker: Tracker, sending: Sending) -> None:
    """After a failure it is not known what has arrived."""
    if sending.run_id is not None:
        run = tracker.client.get_run(sending.run_id)
        sending.last_steps = {metric.key: metric.step for metric in run.data._metric_objs}
    sending.steps.clear()
    sending.uncertain = False


def _send_tags(tracker: Tracker, run_id: str, tags: Mapping[str, str]) -> None:
    rows = [RunTag(key, value) for key, value in tags.items()]
    for start in range(0, len(rows), TAGS_A_BATCH):
        tracker.client.log_batch(run_id, tags=rows[start : start + TAGS_A_BATCH])
