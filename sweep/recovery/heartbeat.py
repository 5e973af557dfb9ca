"""Which processes run a study at the moment, on any machine: a row for each supervisor, renewed by a thread.

Optuna's own heartbeats stop at the first storage error, and are checked only when a trial starts. A
supervisor watches its workers itself and they end with it, so its row stands for all of them. Ages are by
the clock of the database.
"""

import contextlib
import os
import socket
import threading
from dataclasses import dataclass
from pathlib import Path

import optuna
import psutil
import sqlalchemy
from sqlalchemy import Column, Float, Integer, MetaData, String, Table

from sweep.store.optuna_internals import engine_of, study_id
from sweep.store.retry import impatient, patient

BEAT_S = float(os.environ.get("SWEEP_HEARTBEAT_SECONDS", "10"))
STALE_BEATS = 6
"""A supervisor that has missed that many beats is taken for dead."""

SUPERVISORS = Table(
    "sweep_supervisors",
    MetaData(),
    Column("id", String(200), primary_key=True),
    Column("study_id", Integer, index=True),
    Column("workers", Integer),
    Column("seen", Float),
)


@dataclass(frozen=True)
class Identity:
    """A process, named so that another one on the same machine can tell whether it lives."""

    place: str
    pid: int
    started: int

    @classmethod
    def parse(cls, text: str) -> "Identity":
        place, pid, started = text.rsplit(" ", 2)
        return cls(place, int(pid), int(started))

    def __str__(self) -> str:
        return f"{self.place} {self.pid} {self.started}"

    def lives_here(self) -> bool | None:
        """Whether it is alive; None if it is on another machine (or in another container)."""
        return _started(self.pid) == self.started if self.place == _place() else None


def this_process() -> str:
    """The id of this process as a supervisor."""
    return str(Identity(_place(), os.getpid(), _started(os.getpid()) or 0))


def _place() -> str:
    """This machine since its last boot; two containers on it are two places."""
    boot, namespace = "", ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
        namespace = str(Path("/proc/self/ns/pid").stat().st_ino)
    return f"{socket.gethostname()}:{boot}:{namespace}"


def _started(pid: int) -> int | None:
    """A number that tells a process from a later one with the same id; None if it is gone or a zombie."""
    if Path("/proc/self/stat").exists():
        with contextlib.suppress(OSError):
            # Clock ticks since the machine booted, whatever the clock is set to (proc(5), field 22).
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            return None if fields[0] == "Z" else int(fields[19])
        return None
    with contextlib.suppress(psutil.Error):
        return int(psutil.Process(pid).create_time())
    return None


class Heartbeat:
    """Within `with`, this process is a supervisor of the study."""

    def __init__(self, study: optuna.Study, workers: int) -> None:
        self.id = this_process()
        self._study_id, self._workers = study_id(study), workers
        self._engine = engine_of(study)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> "Heartbeat":
        create_table(self._engine)
        patient(self._beat)()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(timeout=5)
        with contextlib.suppress(sqlalchemy.exc.SQLAlchemyError), self._engine.begin() as connection:
            connection.execute(SUPERVISORS.delete().where(SUPERVISORS.c.id == self.id))

    def _work(self) -> None:
        while not self._over.wait(BEAT_S):
            with contextlib.suppress(sqlalchemy.exc.SQLAlchemyError), impatient():
                self._beat()

    def _beat(self) -> None:
        values = {"study_id": self._study_id, "workers": self._workers, "seen": _now(self._engine)}
        with self._engine.begin() as connection:
            mine = SUPERVISORS.update().where(SUPERVISORS.c.id == self.id).values(**values)
            if connection.execute(mine).rowcount == 0:
                connection.execute(SUPERVISORS.insert().values(id=self.id, **values))


def create_table(engine: sqlalchemy.Engine) -> None:
    """Make the table if it is missing; several processes may do so at once."""
    with contextlib.suppress(sqlalchemy.exc.SQLAlchemyError):  # another process was faster
        SUPERVISORS.create(engine, checkfirst=True)


@patient
def ages(study: optuna.Study) -> dict[str, float]:
    """By id, seconds since the last beat of each of the study's supervisors."""
    engine = engine_of(study)
    create_table(engine)
    query = sqlalchemy.select(SUPERVISORS.c.id, _now(engine) - SUPERVISORS.c.seen)
    with engine.connect() as connection:
        rows = connection.execute(query.where(SUPERVISORS.c.study_id == study_id(study))).all()
    return {row[0]: float(row[1]) for row in rows}


def is_alive(owner: str, ages: dict[str, float]) -> bool:
    """Whether the supervisor `owner` still runs: by its process if it is on this machine, or by its beats."""
    here = Identity.parse(owner).lives_here()
    if here is not None:
        return here
    return ages.get(owner, float("inf")) < STALE_BEATS * BEAT_S


@patient
def forget_dead(study: optuna.Study) -> None:
    """Remove the rows of supervisors that were killed."""
    dead = [owner for owner, age in ages(study).items() if not is_alive(owner, {owner: age})]
    if dead:
        with engine_of(study).begin() as connection:
            connection.execute(SUPERVISORS.delete().where(SUPERVISORS.c.id.in_(dead)))


def _now(engine: sqlalchemy.Engine) -> sqlalchemy.ColumnElement[float]:
    """Seconds since 1970 by the database's clock."""
    if engine.name == "sqlite":
        return sqlalchemy.literal_column("(julianday('now') - 2440587.5) * 86400.0")
    return sqlalchemy.literal_column("extract(epoch from clock_timestamp())")
