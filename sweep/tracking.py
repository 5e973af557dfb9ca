"""MLflow: one experiment and one parent run a study, one child run a trial."""

import logging
import math
import os
import tempfile
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # mlflow warns of its own dependencies while it is imported
    from mlflow import MlflowClient
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

from filelock import FileLock
from PIL import Image

from sweep.home import Home
from sweep.storage import set_wal

logging.getLogger("mlflow").setLevel(logging.WARNING)
logging.getLogger("alembic").setLevel(logging.WARNING)

METRICS_A_BATCH = 1000  # MLflow's limits on one log_batch
PARAMS_A_BATCH = 100
PARAM_LENGTH = 6000

HOW_TO_READ = """\
{summary}

Every trial is a run below the study's parent run, named by its trial number.
`objective` is the best validation objective (smaller is better; a diverged run has none, but the tag
`outcome` and the metric `diverged`). `train/`, `val/`, `latent/` are per epoch, `step/` per optimizer step
(thinned: the whole series is the artifact `series/steps.parquet`), `stability/` what the monitor says.
The image grids (originals, reconstructions, samples, from the top) are a run's metric chart
`sample/pictures` with a slider over steps, and lie under its Artifacts.
"""


class Tracker:
    """A client on a store that exists; safe to open in several processes."""

    def __init__(self, home: Home) -> None:
        self.home = home
        with FileLock(home.root / "mlflow.lock"):
            # The first client migrates the store, which must not happen in two processes at once.
            self.client = MlflowClient(home.mlflow_url)
            self.client.search_experiments(max_results=1)
            set_wal(home.root / "mlflow.db")

    def experiment(self, name: str, summary: str) -> str:
        """The id of the study's experiment, made where it is missing."""
        with FileLock(self.home.root / "mlflow.lock"):
            found = self.client.get_experiment_by_name(name)
            if found is not None:
                return str(found.experiment_id)
            location = (self.home.artifacts / name).as_uri()
            made = str(self.client.create_experiment(name, artifact_location=location))
            note = HOW_TO_READ.format(summary=summary)
            self.client.set_experiment_tag(made, "mlflow.note.content", note)
            return made

    def start_run(
        self, experiment: str, name: str, tags: Mapping[str, str], parent: str | None = None
    ) -> "Run":
        tags = dict(tags) | ({"mlflow.parentRunId": parent} if parent else {})
        run = self.client.create_run(experiment, run_name=name, tags=tags)
        return Run(self.client, run.info.run_id)

    def resume_run(self, run_id: str) -> "Run":
        self.client.update_run(run_id, status="RUNNING")
        return Run(self.client, run_id)

    def end_unfinished(self, experiment: str, parent: str) -> int:
        """Mark as KILLED the child runs of a parent that nobody works on any more; returns how many."""
        runs = self.client.search_runs(
            [experiment],
            filter_string=f"tags.`mlflow.parentRunId` = '{parent}' and attributes.status = 'RUNNING'",
            max_results=1000,
        )
        for run in runs:
            self.client.set_terminated(run.info.run_id, status="KILLED")
        return len(runs)


class Run:
    """One MLflow run by its id: metrics are buffered and written in one batch by `flush`.

    Values that are not finite are dropped: SQL stores save inf as 1.8e308.
    """

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self.client, self.id = client, run_id
        self._metrics: list[Metric] = []

    def params(self, params: Mapping[str, Any]) -> None:
        rows = [Param(key, str(value)[:PARAM_LENGTH]) for key, value in params.items()]
        for start in range(0, len(rows), PARAMS_A_BATCH):
            self.client.log_batch(self.id, params=rows[start : start + PARAMS_A_BATCH])

    def tags(self, tags: Mapping[str, Any]) -> None:
        self.client.log_batch(self.id, tags=[RunTag(key, str(value)) for key, value in tags.items()])

    def metric(self, key: str, value: float, step: int = 0) -> None:
        if math.isfinite(value):
            self._metrics.append(Metric(key, value, int(time.time() * 1000), step))

    def flush(self) -> None:
        while self._metrics:
            self.client.log_batch(self.id, metrics=self._metrics[:METRICS_A_BATCH])
            del self._metrics[:METRICS_A_BATCH]

    def image(self, image: Image.Image, key: str, step: int) -> None:
        self.client.log_image(self.id, image, key=key, step=step)

    def dataset(self, summary: Mapping[str, Any], context: str) -> None:
        """The data as an MLflow dataset: `digest` is the content hash (MLflow keeps 36 characters)."""
        import json

        dataset = Dataset(
            name=Path(str(summary["source"])).name,
            digest=str(summary["hash"])[:36],
            source_type="local",
            source=json.dumps({"uri": str(summary["source"])}),
            profile=json.dumps(dict(summary))[:16_000_000],
        )
        tags = [InputTag("mlflow.data.context", context)]
        self.client.log_inputs(self.id, [DatasetInput(dataset, tags)])

    def files(self, files: Mapping[str, bytes]) -> None:
        """Artifacts by path, such as {"series/steps.parquet": ...}."""
        with tempfile.TemporaryDirectory() as folder:
            for path, content in files.items():
                target = Path(folder) / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            self.client.log_artifacts(self.id, folder)

    def end(self, status: str = "FINISHED") -> None:
        self.flush()
        self.client.set_terminated(self.id, status=status)
