"""The MLflow UI and the Optuna dashboard of this home, side by side until Ctrl-C."""

import contextlib
import ctypes
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.errors import UserError
from sweep.store.home import Home
from sweep.tracking.moved_home import follow_home

if TYPE_CHECKING:
    from sweep.store.study_view import StudyView

HOST = "127.0.0.1"
START_TIMEOUT_S = 120.0
GRACE_S = 5.0
POLL_S = 0.1
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
VIEW = "sweep"
"""Key of the shared view (in MLflow's words) that the printed address opens."""


@dataclass(frozen=True)
class Server:
    """A server process. It leads a session (and so a process group) of its own, which the terminal's Ctrl-C
    does not reach."""

    name: str
    port: int
    health: str
    """Path that answers 200 once the server is ready."""
    log: Path
    process: subprocess.Popen[bytes]

    def ready(self) -> bool:
        return self.request("GET", self.health)

    def request(self, method: str, path: str, body: Mapping[str, str] | None = None) -> bool:
        """Send a request; returns whether the answer was 200."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=5)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Content-Type": "application/json"})
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def last_words(self, lines: int = 8) -> str:
        """The last lines of its log, indented."""
        with contextlib.suppress(OSError):
            end = self.log.read_text(errors="replace").splitlines()[-lines:]
            return "".join(f"\n    {line}" for line in end)
        return ""


def serve(mlflow_port: int, dashboard_port: int) -> int:
    """Serve both on 127.0.0.1 until Ctrl-C or SIGTERM; port 0 takes any free one.

    Returns 0 when a signal ended it, 1 when a server did not start or ended by itself; then the other is
    ended too. No process is left behind, on Linux not even when this one is killed (SIGKILL).

    Raises:
        UserError: there is no store yet, or a port is taken.
    """
    with _signals() as received:
        home = Home.find()
        if (home.root / "files").is_dir() and not (home.root / "mlflow.db").exists():
            raise UserError(
                f"the runs in {home.root} are files, in {home.root / 'files'}, which MLflow does not show: "
                "`python -m sweep report STUDY` does"
            )
        if not (home.has_stores() and (home.root / "mlflow.db").exists()):
            raise UserError(f"there is no store in {home.root} yet: `python -m sweep run STUDY` makes one")
        ports = _choose_ports({"--mlflow-port": mlflow_port, "--dashboard-port": dashboard_port})
        home.create()
        if not home.tracking:
            follow_home(home.root / "mlflow.db", home.artifacts)
        servers: list[Server] = []
        try:
            print("starting both servers, which takes a few seconds", file=sys.stderr, flush=True)
            servers.append(mlflow := _start_mlflow(home, ports["--mlflow-port"]))
            study = _latest_study(home)  # while the slower one starts
            servers.append(dashboard := _start_dashboard(home, ports["--dashboard-port"]))
            trouble = _wait_until_ready(servers, received)
            if not (trouble or received):
                page = _experiment_page(mlflow, study)
                print(f"MLflow UI         http://{HOST}:{mlflow.port}/{page}", flush=True)
                print(f"Optuna dashboard  http://{HOST}:{dashboard.port}/dashboard", flush=True)
                print("Ctrl-C ends both.", flush=True)
                trouble = _watch(servers, received)
        finally:
            _end(servers, received)
    if trouble:
        print(f"sweep: {trouble}", file=sys.stderr, flush=True)
        return 1
    return 0


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Collects SIGINT, SIGTERM and SIGHUP (a closed terminal), which would end the program."""
    received: list[int] = []
    caught = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # under nohup it stays ignored
        caught.append(signal.SIGHUP)
    before = {number: signal.signal(number, lambda n, _: received.append(n)) for number in caught}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _choose_ports(wanted: Mapping[str, int]) -> dict[str, int]:
    """The ports by option. All are held at once, so that two free ones differ."""
    ports: dict[str, int] = {}
    with contextlib.ExitStack() as held:
        for option, port in wanted.items():
            if port and port in ports.values():
                raise UserError(f"{' and '.join(wanted)} are both {port}: give the two servers a port each")
            probe = held.enter_context(socket.socket())
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
                probe.listen()  # Linux lets two sockets bind one port until one of them listens
            except PermissionError as error:
                raise UserError(
                    f"port {port} of {option} needs more rights than you have: name one above 1023, "
                    "or 0 for any free one"
                ) from error
            except OSError as error:
                raise UserError(
                    f"port {port} is taken: name another with {option}, or 0 for any free one"
                ) from error
            ports[option] = probe.getsockname()[1]
    return ports


def _latest_study(home: Home) -> "StudyView | None":
    """The latest study that is linked to MLflow; None where there is none."""
    import optuna

    from sweep.store.storage import open_optuna
    from sweep.store.study_view import StudyView

    summaries = optuna.get_all_study_summaries(open_optuna(home), include_best_trial=False)
    found = [(s.datetime_start or datetime.min, StudyView(s.study_name, s.user_attrs)) for s in summaries]
    linked = [(start, study) for start, study in found if study.experiment_id]
    return max(linked, key=lambda pair: pair[0], default=(None, None))[1]


def _experiment_page(mlflow: Server, study: "StudyView | None") -> str:
    """The page of the study's runs, best first: a shared view, or MLflow's default where it refuses ours."""
    if study is None:
        return "#/experiments"
    experiment = study.experiment_id
    page = f"#/experiments/{experiment}/runs?workflowType=machine_learning"
    view = _runs_view(study.searched)
    tag = {"experiment_id": experiment, "key": f"mlflow.sharedViewState.{VIEW}", "value": json.dumps(view)}
    saved = mlflow.request("POST", "/api/2.0/mlflow/experiments/set-experiment-tag", tag)
    return f"{page}&viewStateShareKey={VIEW}" if saved else page


def _runs_view(searched: Sequence[str]) -> dict[str, Any]:
    """A view as MLflow's `Share` saves it: trials sorted by objective, and charts that begin with pictures.

    By default MLflow folds the trials into their parent, without a column of results, and prints every
    parameter of a run over its pictures.
    """
    section = {"uuid": "pictures", "name": "pictures", "display": True, "isReordered": True}
    pictures = {
        "uuid": "sample/pictures",
        "type": "IMAGE",
        "metricSectionId": "pictures",
        "imageKeys": ["sample/pictures"],
        "step": 0,
        "runsCountToCompare": 10,
        "showRunParams": False,
    }
    own = {"deleted": False, "isGenerated": False}
    return {
        "orderByKey": "metrics.`objective`",
        "orderByAsc": True,
        "selectedColumns": [
            "metrics.`objective`",
            "metrics.`stability/grad_norm_volatility`",
            *(f"params.`{path}`" for path in searched),
            "tags.`outcome`",
        ],
        "isAccordionReordered": True,
        "compareRunSections": [section | own],
        "compareRunCharts": [pictures | own],
    }


def _start_mlflow(home: Home, port: int) -> Server:
    arguments = ["-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    arguments += ["--backend-store-uri", home.mlflow_url]
    # The artifacts are read from disk: the server need not offer to store any.
    arguments += ["--no-serve-artifacts", "--default-artifact-root", home.artifacts.as_uri()]
    arguments += ["--allowed-hosts", ",".join(f"{host},{host}:*" for host in (HOST, "localhost"))]
    quick = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    return _start("MLflow UI", port, "/health", home, home.logs / "ui-mlflow.log", arguments, quick)


def _start_dashboard(home: Home, port: int) -> Server:
    arguments = ["-m", "optuna_dashboard._cli", home.optuna_url, "--host", HOST, "--port", str(port)]
    # One process with threads; gunicorn would fork after the store was opened.
    arguments += ["--server", "wsgiref", "--artifact-dir", str(home.optuna_artifacts)]
    log = home.logs / "ui-dashboard.log"
    return _start("Optuna dashboard", port, "/api/studies", home, log, arguments, {})


def _start(
    name: str,
    port: int,
    health: str,
    home: Home,
    log: Path,
    arguments: Sequence[str],
    settings: dict[str, str],
) -> Server:
    # MLFLOW_* that the user set for another server would change this one's prefix, store or engine.
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    log.write_bytes(b"")
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=home.root,
            env=inherited | {"PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1"} | settings,
            start_new_session=True,
            preexec_fn=_end_with(os.getpid()),  # noqa: PLW1509 - this process has one thread
        )
    return Server(name, port, health, log, process)


def _end_with(parent: int) -> Callable[[], None] | None:
    """A function for a child to run first: Linux then sends it SIGTERM when the parent's main thread ends.

    MLflow's process passes the signal on to its worker; the dashboard is a single process.
    """
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)

    def arrange() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before the call
            os._exit(1)

    return arrange


def _wait_until_ready(servers: Sequence[Server], received: Sequence[int]) -> str | None:
    """Wait until all answer or a signal came; returns what went wrong, if anything."""
    limit = time.monotonic() + START_TIMEOUT_S
    waiting = list(servers)
    while waiting and not received:
        if dead := _dead(servers):
            return dead
        waiting = [server for server in waiting if not server.ready()]
        if waiting and time.monotonic() > limit:
            slow = waiting[0]
            return (
                f"the {slow.name} gave no answer within {START_TIMEOUT_S:.0f} s; "
                f"the end of {slow.log}:{slow.last_words()}"
            )
        time.sleep(POLL_S)
    return None


def _watch(servers: Sequence[Server], received: Sequence[int]) -> str | None:
    """Wait until a signal came or a server ended; returns what went wrong, if anything."""
    while not received:
        if dead := _dead(servers):
            return dead
        time.sleep(POLL_S)
    return None


def _dead(servers: Sequence[Server]) -> str | None:
    for server in servers:
        code = server.process.poll()
        if code is not None:
            cause = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            return (
                f"the {server.name} ended by itself ({cause}); the end of {server.log}:{server.last_words()}"
            )
    return None


def _end(servers: Sequence[Server], received: Sequence[int]) -> None:
    """End the process groups: SIGTERM, then SIGKILL after a few seconds or at a second Ctrl-C."""
    before = len(received)
    for server in servers:
        _signal_group(server, signal.SIGTERM)
    limit = time.monotonic() + GRACE_S
    while any(map(_alive, servers)) and time.monotonic() < limit and len(received) <= max(before, 1):
        time.sleep(POLL_S)
    for server in servers:
        _signal_group(server, signal.SIGKILL)
    limit = time.monotonic() + GRACE_S  # a zombie that nobody reaps would keep this waiting forever
    while any(map(_alive, servers)) and time.monotonic() < limit:
        time.sleep(POLL_S)


def _alive(server: Server) -> bool:
    """Whether its process group has a member."""
    server.process.poll()  # reaps the leader
    return _signal_group(server, 0)


def _signal_group(server: Server, number: int) -> bool:
    """Send the group a signal; returns whether it has a member."""
    try:
        os.killpg(server.process.pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
