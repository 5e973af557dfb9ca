"""MLflow, in a database file of the home or on a server: the one module that knows it."""

import contextlib
import logging
import os
import tempfile
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

import sqlalchemy
from filelock import FileLock

from sweep.store.home import Home
from sweep.store.storage import display_url, set_wal
from sweep.tracking.moved_home import follow_home
from sweep.tracking.trackers import (
    KEY,
    NOTE,
    PARENT,
    SOURCE,
    Point,
    RefusedError,
    StoredRun,
    Tracker,
    TrackerError,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# With its own seven retries a server that is away would block for minutes; `sweep.tracking.sender` retries.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "4")
# Two lines for every run that ends and a bar for every file that is read hide what a command itself says.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
logging.getLogger("mlflow").setLevel(logging.WARNING)
logging.getLogger("alembic").setLevel(logging.WARNING)
# A trace for every error of the database; `sweep.tracking.sender` says it in one line.
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)

log = logging.getLogger(__name__)

PAGE = 1000
METRICS_A_BATCH, PARAMS_A_BATCH, TAGS_A_BATCH = 1000, 100, 100
"""MLflow's limits on one call of log_batch."""
PREVIEW_SIZE = 256
"""Longer side, in pixels, of the small copy of a picture that MLflow's grid shows first."""
REFUSALS = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_ALREADY_EXISTS", "MALFORMED_REQUEST"}
"""MLflow's codes for a write that would fail however often it is tried."""
NATIVE = {PARENT: "mlflow.parentRunId", NOTE: "mlflow.note.content", SOURCE: "mlflow.source.name"}
"""MLflow's own names of tags."""
LOCAL_UI = "http://127.0.0.1:5000"
"""Where `sweep ui` shows the runs of a home that has no tracking server."""

HOW_TO_READ = """\
{summary}

Every trial is a run below the study's parent run, named by its trial number.
`objective` is the best validation objective (smaller is better; a diverged run has none, but the tag
`outcome` and the metric `diverged`). `train/`, `val/`, `latent/` are per epoch, `step/` per optimizer step
(thinned: the whole series is the artifact `series/steps.parquet`), `stability/` what the monitor says.
The tag `phase` says why a run was made: `explore` runs are the sampler's; `confirm` runs repeat the best
setting of an arm (tag `arm`; the explored trial in `confirms`) over fresh seeds; `map`, `verify` and
`distance` runs are of a border. `sweep report` logs its page to the parent run, as the artifact `report/`,
and each verdict as a tag `claim.<name>`.
The image grids (originals, reconstructions, samples, from the top) are a run's metric chart
`sample/pictures` with a slider over steps, and lie under its Artifacts.
"""


def _import_mlflow() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mlflow warns of its own dependencies while it is imported
        import mlflow  # noqa: F401


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """MLflow's exceptions as those of a tracker."""
    _import_mlflow()
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        kind = RefusedError if error.error_code in REFUSALS else TrackerError
        raise kind(str(error)) from error


class Store(Tracker):
    """Safe to open in several processes, and while a server is away."""

    title = "MLflow"

    @cached_property
    def client(self) -> "MlflowClient":
        """Made when first needed: in a worker by the thread that sends, while its first trial is training."""
        _import_mlflow()
        from mlflow import MlflowClient

        home = self.home
        if home.tracking and not home.tracking.startswith("sqlite"):
            return MlflowClient(home.tracking)
        with FileLock(home.root / "mlflow.lock"):
            # The first client migrates the store, which must not happen in two processes at once.
            client = MlflowClient(home.mlflow_url)
            client.search_experiments(max_results=1)
            set_wal(sqlalchemy.make_url(home.mlflow_url).database)
            if not home.tracking:
                follow_home(home.root / "mlflow.db", home.artifacts)
        return client

    @property
    def location(self) -> str:
        return display_url(self.home.mlflow_url)

    def run_url(self, experiment: str) -> str:
        return f"{browsed_at(self.home)}/#/experiments/{experiment}/runs/"

    @_translated()
    def experiment(self, name: str, summary: str) -> str:
        client = self.client  # made under the same lock
        with FileLock(self.home.root / "mlflow.lock"):
            found = client.get_experiment_by_name(name)
            if found is not None:
                return str(found.experiment_id)
            # A server chooses the place of artifacts itself.
            on_server = self.home.mlflow_url.startswith("http")
            folder = None if on_server else (self.home.artifacts / name).as_uri()
            made = str(client.create_experiment(name, artifact_location=folder))
            client.set_experiment_tag(made, NATIVE[NOTE], HOW_TO_READ.format(summary=summary))
            return made

    @_translated()
    def create(self, experiment: str, key: str, name: str, tags: Mapping[str, str], time_ms: int) -> str:
        native = {NATIVE.get(tag, tag): value for tag, value in tags.items()}
        return str(self.client.create_run(experiment, time_ms, native | {KEY: key}, name).info.run_id)

    @_translated()
    def reopen(self, run_id: str, name: str) -> None:
        self.client.update_run(run_id, status="RUNNING", name=name)

    @_translated()
    def params(self, run_id: str, params: Mapping[str, str]) -> None:
        from mlflow.entities import Param

        rows = [Param(key, value) for key, value in params.items()]
        for start in range(0, len(rows), PARAMS_A_BATCH):
            self.client.log_batch(run_id, params=rows[start : start + PARAMS_A_BATCH])

    @_translated()
    def metrics(self, run_id: str, points: Sequence[Point]) -> None:
        from mlflow.entities import Metric

        rows = [Metric(*point) for point in points]
        for start in range(0, len(rows), METRICS_A_BATCH):
            self.client.log_batch(run_id, metrics=rows[start : start + METRICS_A_BATCH])

    @_translated()
    def tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        rows = [RunTag(NATIVE.get(tag, tag), value) for tag, value in tags.items()]
        for start in range(0, len(rows), TAGS_A_BATCH):
            self.client.log_batch(run_id, tags=rows[start : start + TAGS_A_BATCH])

    @_translated()
    def file(self, run_id: str, name: str, source: Path) -> None:
        folder, _, last = name.rpartition("/")
        if source.name == last:
            self.client.log_artifact(run_id, str(source), folder or None)
            return
        with tempfile.TemporaryDirectory() as place:  # MLflow stores a file under its own name
            copy = Path(place) / last
            copy.write_bytes(source.read_bytes())
            self.client.log_artifact(run_id, str(copy), folder or None)

    @_translated()
    def image(self, run_id: str, metric: str, step: int, source: Path) -> None:
        """In MLflow's grid with a slider over steps. The same step gives the same names, so twice is once."""
        from PIL import Image

        # As `MlflowClient.log_image` names them, without the time and the random part.
        unique = uuid.uuid5(uuid.NAMESPACE_OID, f"{run_id} {metric} {step}")
        stem = f"{metric.replace('/', '~')}+step+{step}+timestamp+{step}+{unique}"
        with tempfile.TemporaryDirectory() as place:
            preview = Path(place) / f"{stem}+compressed.webp"
            with Image.open(source) as image:
                image.thumbnail((PREVIEW_SIZE, PREVIEW_SIZE))
                image.save(preview, "WEBP")
            self.file(run_id, f"images/{stem}.png", source)
            self.file(run_id, f"images/{preview.name}", preview)
        self.tags(run_id, {"mlflow.loggedImages": "True"})

    @_translated()
    def dataset(self, run_id: str, name: str, digest: str, source: str, profile: str, context: str) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag
        from mlflow.exceptions import MlflowException

        data = Dataset(name, digest[:36], "local", source, profile=profile[:16_000_000])
        inputs = [DatasetInput(data, [InputTag("mlflow.data.context", context)])]
        try:
            self.client.log_inputs(run_id, inputs)
        except MlflowException:
            # Another process made the same dataset between this one's look and its write; now it is found.
            self.client.log_inputs(run_id, inputs)

    @_translated()
    def end(self, run_id: str, status: str, time_ms: int) -> None:
        self.client.set_terminated(run_id, status=status, end_time=time_ms)

    def run(self, run_id: str) -> StoredRun | None:
        _import_mlflow()
        from mlflow.exceptions import MlflowException

        try:
            found = self.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise TrackerError(str(error)) from error
            return None
        return _stored(found) if found.info.lifecycle_stage == "active" else None

    @_translated()
    def find(self, experiment: str, key: str) -> StoredRun | None:
        found = self.client.search_runs([experiment], f"tags.`{KEY}` = '{key}'", max_results=1)
        return _stored(found[0]) if found else None

    @_translated()
    def children(self, experiment: str, parent: str, status: str | None = None) -> list[StoredRun]:
        wanted = f"tags.`{NATIVE[PARENT]}` = '{parent}'"
        if status:
            wanted += f" and attributes.status = '{status}'"
        runs: list[StoredRun] = []
        token: str | None = None
        while True:
            page = self.client.search_runs([experiment], wanted, max_results=PAGE, page_token=token)
            runs += map(_stored, page)
            token = page.token
            if not token:
                return runs

    @_translated()
    def history(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        return [(point.step, point.value) for point in self.client.get_metric_history(run_id, metric)]

    def artifact(self, run_id: str, name: str) -> bytes | None:
        try:
            with _translated(), tempfile.TemporaryDirectory() as folder:
                return Path(self.client.download_artifacts(run_id, name, folder)).read_bytes()
        except (TrackerError, OSError) as error:
            log.info("run %s has no artifact %s: %s", run_id, name, error)
            return None


def browsed_at(home: Home) -> str:
    """A tracking server's own address, without the user's name and password in it."""
    url = home.tracking or ""
    if not url.startswith(("http://", "https://")):
        return LOCAL_UI
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))


def _local(place: str) -> Path | None:
    return Path(unquote(urlsplit(place).path)) if place.startswith("file:") else None


def _stored(run: "Run") -> StoredRun:
    neutral = {native: tag for tag, native in NATIVE.items()}
    return StoredRun(
        id=run.info.run_id,
        name=run.info.run_name,
        status=run.info.status,
        started_ms=int(run.info.start_time or 0),
        tags={neutral.get(tag, tag): value for tag, value in run.data.tags.items()},
        params=run.data.params,
        latest={metric.key: (metric.step, metric.value) for metric in run.data._metric_objs},
        ended_ms=run.info.end_time,
        folder=_local(run.info.artifact_uri),
    )
