"""MLflow: one experiment and one parent run a study, one child run a trial."""

import logging
import os
import warnings
from functools import cached_property
from typing import TYPE_CHECKING

from filelock import FileLock

from sweep.store.home import Home
from sweep.store.storage import set_wal

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as StoredRun

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# With its own seven retries a server that is away would block for minutes; `sending` tries again.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "4")
# Two lines for every run that ends and a bar for every file that is read hide what a command says itself.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
logging.getLogger("mlflow").setLevel(logging.WARNING)
logging.getLogger("alembic").setLevel(logging.WARNING)
# A trace for every error of the database; `sweep.tracking.sender` says it in one line.
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)

RUN_KEY = "run_key"
"""Tag of every run: our own name for it, known before MLflow has given it an id."""
PAGE = 1000

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


class Tracker:
    """A client on a store; safe to open in several processes, and while a server is away."""

    def __init__(self, home: Home) -> None:
        self.home = home

    @cached_property
    def client(self) -> "MlflowClient":
        """Made when it is first needed: in a worker by the thread that sends, while the first steps run."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # mlflow warns of its own dependencies while it is imported
            from mlflow import MlflowClient
        home = self.home
        if home.tracking and not home.tracking.startswith("sqlite"):
            return MlflowClient(home.tracking)
        with FileLock(home.root / "mlflow.lock"):
            # The first client migrates the store, which must not happen in two processes at once.
            client = MlflowClient(home.mlflow_url)
            client.search_experiments(max_results=1)
            set_wal(home.mlflow_url.removeprefix("sqlite:///"))
        return client

    def experiment(self, name: str, summary: str) -> str:
        """The id of the study's experiment, made where it is missing."""
        client = self.client  # Made under the same lock.
        with FileLock(self.home.root / "mlflow.lock"):
            found = client.get_experiment_by_name(name)
            if found is not None:
                return str(found.experiment_id)
            made = str(client.create_experiment(name, artifact_location=self._artifacts(name)))
            note = HOW_TO_READ.format(summary=summary)
            client.set_experiment_tag(made, "mlflow.note.content", note)
            return made

    def _artifacts(self, name: str) -> str | None:
        """None leaves the place to the server."""
        if self.home.mlflow_url.startswith("http"):
            return None
        return (self.home.artifacts / name).as_uri()

    def find(self, experiment: str, key: str) -> "StoredRun | None":
        """The run of that key."""
        found = self.client.search_runs([experiment], f"tags.`{RUN_KEY}` = '{key}'", max_results=1)
        return found[0] if found else None

    def children(self, experiment: str, parent: str, status: str | None = None) -> "list[StoredRun]":
        """The runs of a study's trials; of one status where that is given."""
        wanted = f"tags.`mlflow.parentRunId` = '{parent}'"
        if status:
            wanted += f" and attributes.status = '{status}'"
        runs: list[StoredRun] = []
        token: str | None = None
        while True:
            page = self.client.search_runs([experiment], wanted, max_results=PAGE, page_token=token)
            runs += page
            token = page.token
            if not token:
                return runs
