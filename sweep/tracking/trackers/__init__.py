"""Trackers, one module each: where the runs of a study are recorded.

To add one, write `sweep/tracking/trackers/<name>.py` with a class `Store` that subclasses `Tracker`. It is
found by listing this folder and chosen by `--tracker <name>`; nothing else has to be edited. What it must
keep:

- Any write may be repeated, because its answer can be lost: a second `create` is preceded by a `find` of the
  same key, and every other write must leave the run as one write does. Only `metrics` may rely on being
  given new points: `sweep.tracking.delivery` leaves out those that `run` and `history` show to be there.
- What a method has written is found by every other process as soon as the method returns.
- One process at a time writes to a run, but many runs are written at the same time.
- While the store does not answer, methods raise TrackerError or OSError; the writes wait on disk and are
  repeated. RefusedError means that a write can never succeed; it is dropped.
- One that needs an optional package names it in the constant PACKAGE.
- Importing the module and making the object is cheap and connects to nothing: a worker imports what a store
  needs, and waits for the store, in the thread that sends, while its first trial is training.
"""

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import optuna

from sweep.errors import UserError
from sweep.store.home import Home
from sweep.store.links import DEFAULT_TRACKER, study_link
from vae.names import Registry

TRACKERS = Registry(__name__, "Store")

PARENT, NOTE, SOURCE = "parent_run", "note", "source"
"""Tags that a tracker may have a place of its own for: the study's run, text for people, who made the run."""
KEY, ATTEMPT = "run_key", "attempt"
"""Tags of every run: our own name for it, known before the store gives it an id; its latest writer."""

Point = tuple[str, float, int, int]
"""Metric, value, time in ms since 1970, step."""


class TrackerError(Exception):
    """The store does not answer, or not as it should."""


class RefusedError(TrackerError):
    """The store does not accept this write and never will."""


@dataclass(frozen=True)
class StoredRun:
    """A run as the store has it.

    status: RUNNING, FINISHED, FAILED or KILLED. latest: for each metric its last step, and the value there.
    folder: where its artifacts are, if that is on this machine and the store says so.
    """

    id: str
    name: str
    status: str
    started_ms: int
    tags: Mapping[str, str]
    params: Mapping[str, str]
    latest: Mapping[str, tuple[int, float]]
    ended_ms: int | None = None
    folder: Path | None = None

    @property
    def metrics(self) -> dict[str, float]:
        """What a run shows for each metric: the value at its last step."""
        return {metric: value for metric, (_, value) in self.latest.items()}

    @property
    def last_steps(self) -> dict[str, int]:
        return {metric: step for metric, (step, _) in self.latest.items()}


class Tracker(ABC):
    """A store of runs: one experiment and one parent run for a study, one child run for a trial."""

    title: ClassVar[str]
    """What people call it."""

    def __init__(self, home: Home) -> None:
        self.home = home

    @property
    def name(self) -> str:
        """The name of its module, which studies and journals store."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def location(self) -> str:
        """Where the runs are, for messages, without a password; by default a folder of the home."""
        return str(self.home.root / self.name)

    def run_url(self, experiment: str) -> str:
        """The address of a run in a browser, except for the id at its end; by default that of a folder."""
        return f"{Path(self.location, experiment).as_uri()}/"

    # Writing

    def experiment(self, name: str, summary: str) -> str:
        """Find or make a study's experiment; returns its id. By default nothing is made."""
        return quote(name, safe="")

    @abstractmethod
    def create(self, experiment: str, key: str, name: str, tags: Mapping[str, str], time_ms: int) -> str:
        """Make a RUNNING run, whose tags are `tags` and KEY; returns its id."""

    @abstractmethod
    def reopen(self, run_id: str, name: str) -> None:
        """Another attempt goes on with the run: it is RUNNING again, under a new name."""

    @abstractmethod
    def params(self, run_id: str, params: Mapping[str, str]) -> None: ...

    @abstractmethod
    def metrics(self, run_id: str, points: Sequence[Point]) -> None:
        """Add points that the run does not have; all values are finite."""

    @abstractmethod
    def tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set these tags; others stay."""

    @abstractmethod
    def file(self, run_id: str, name: str, source: Path) -> None:
        """Store a copy of `source` as the run's artifact `name`, with forward slashes."""

    def image(self, run_id: str, metric: str, step: int, source: Path) -> None:
        """Store a PNG that belongs to a step, for a tracker that can show a series of pictures."""
        self.file(run_id, f"images/{metric.replace('/', '~')}/{step:09d}.png", source)

    def dataset(  # noqa: B027 - a tracker may leave it out
        self, run_id: str, name: str, digest: str, source: str, profile: str, context: str
    ) -> None:
        """Name the data of a run; by default nothing: their hash is a tag and their summary an artifact."""

    @abstractmethod
    def end(self, run_id: str, status: str, time_ms: int) -> None:
        """The run is over: FINISHED, FAILED or KILLED."""

    # Reading

    @abstractmethod
    def run(self, run_id: str) -> StoredRun | None:
        """None if there is no such run, or it was deleted."""

    @abstractmethod
    def find(self, experiment: str, key: str) -> StoredRun | None:
        """The run with that KEY."""

    @abstractmethod
    def children(self, experiment: str, parent: str, status: str | None = None) -> list[StoredRun]:
        """The runs of a study's trials, whose tag PARENT is `parent`; those of one status if it is given."""

    @abstractmethod
    def history(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        """(step, value) of every point, in the order of writing."""

    @abstractmethod
    def artifact(self, run_id: str, name: str) -> bytes | None:
        """None if there is no such run or file, or it cannot be read."""


def latest(points: Iterable[Point]) -> dict[str, tuple[int, float]]:
    """`StoredRun.latest` of a run that has these points, in any order."""
    last: dict[str, tuple[int, float]] = {}
    for metric, value, _, step in points:
        last[metric] = max(last.get(metric, (step, value)), (step, value))
    return last


def check(name: str) -> str:
    """The name itself, if there is such a tracker.

    Raises:
        UserError: there is none (the message proposes the nearest name), or its package is not installed.
    """
    try:
        package = TRACKERS.literal(name, "PACKAGE")
    except ValueError as error:
        raise UserError(f"--tracker: {error}") from error
    if package is not None and not _is_installed(package):
        raise UserError(f"--tracker {name} needs the package {package}: pip install {package}")
    return name


def _is_installed(package: str) -> bool:
    """A mere folder of that name does not count: a home has one for the runs."""
    spec = importlib.util.find_spec(package)
    return spec is not None and spec.origin is not None


def build(home: Home, study: optuna.Study | None = None) -> Tracker:
    """The tracker that has the study's runs, or for a new study the one that `home` asks for.

    Raises:
        UserError: there is no such tracker.
    """
    link = None if study is None else study_link(study)
    name = check(link.tracker if link else home.tracker or DEFAULT_TRACKER)
    tracker: Tracker = TRACKERS.load(name).Store(replace(home, tracker=name))
    return tracker
