"""`sweep ui`: both servers show what a study recorded, only on this machine, and leave no process behind."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import optuna
import psutil
import pytest
from optuna_dashboard import get_note
from playwright.sync_api import BrowserContext, Page, expect, sync_playwright

from sweep.cli import ui as ui_module
from sweep.store.home import Home
from tests.conftest import ROOT, run_here
from tests.sweep.processes import command_line, is_alive, kill_all

CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WAIT_MS = 60_000


class Ui:
    """A running `sweep ui` on free ports, and the addresses it printed."""

    def __init__(self, home: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sweep", "ui", "--mlflow-port", "0", "--dashboard-port", "0"],
            env=os.environ | {"SWEEP_HOME": str(home)},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        self.addresses = []
        for line in self.process.stdout:  # ends where the process does: the servers do not hold the pipe
            if line.startswith("Ctrl-C"):
                break
            self.addresses.append(line.split()[-1])
        self.servers = psutil.Process(self.process.pid).children(recursive=True)

    @property
    def mlflow(self) -> str:
        return self.addresses[0]

    @property
    def dashboard(self) -> str:
        return self.addresses[1]

    def server(self, words: str) -> psutil.Process:
        """The first process with these words in its command line."""
        return next(server for server in self.servers if words in " ".join(command_line(server)))

    def wait(self) -> tuple[int, str]:
        """Wait for its end; returns the exit code and what it printed on stderr."""
        _, said = self.process.communicate(timeout=200)
        return self.process.returncode, said

    def left(self) -> list[psutil.Process]:
        return [server for server in self.servers if is_alive(server)]

    def open_ports(self) -> list[int]:
        return [port for port in map(port_of, self.addresses) if answers(port)]

    def clean_up(self) -> None:
        kill_all(self.left())
        self.process.kill()
        self.process.communicate()


def port_of(address: str) -> int:
    port = urlsplit(address).port
    assert port is not None
    return port


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def eventually(condition: Callable[[], bool], seconds: float = 200) -> bool:
    limit = time.monotonic() + seconds
    while not condition() and time.monotonic() < limit:
        time.sleep(0.1)
    return condition()


@pytest.fixture
def start_ui(smoke_home: Path) -> Iterator[Callable[[], Ui]]:
    started: list[Ui] = []

    def start() -> Ui:
        started.append(Ui(smoke_home))
        return started[-1]

    yield start
    for ui in started:
        ui.clean_up()


@pytest.fixture(scope="module")
def ui(smoke_home: Path) -> Iterator[Ui]:
    """A running `sweep ui` that tests only read from."""
    shared = Ui(smoke_home)
    yield shared
    shared.clean_up()


@pytest.fixture(scope="module")
def study(smoke_home: Path) -> Iterator[optuna.Study]:
    storage = optuna.storages.RDBStorage(f"sqlite:///{smoke_home / 'optuna.db'}")
    yield optuna.load_study(study_name="depth_study", storage=storage)
    storage.engine.dispose()


@pytest.fixture
def browser() -> Iterator[BrowserContext]:
    """A Chromium window; fails if it fetched anything from another machine."""
    if not CHROMIUM.exists():
        pytest.fail(f"there is no {CHROMIUM}: install Debian's package `chromium`", pytrace=False)
    fetched: list[str] = []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=CHROMIUM_OPTIONS)
        context = chromium.new_context(viewport={"width": 1600, "height": 1000})
        context.set_default_timeout(WAIT_MS)
        context.on("response", lambda response: fetched.append(response.url))
        yield context
        chromium.close()
    hosts = {urlsplit(url).hostname for url in fetched if url.startswith(("http", "ws"))}
    assert hosts == {"127.0.0.1"}


def loaded_source(page: Page, selector: str) -> str:
    """The address of a picture, once its pixels have loaded."""
    page.wait_for_function(
        "selector => document.querySelector(selector)?.naturalWidth > 0", arg=selector, timeout=WAIT_MS
    )
    return str(page.locator(selector).first.evaluate("image => image.src"))


@pytest.mark.browser
def test_mlflow_lists_the_trials_and_shows_a_runs_pictures(
    ui: Ui, browser: BrowserContext, study: optuna.Study
) -> None:
    best = study.best_trial
    page = browser.new_page()
    page.goto(ui.mlflow)
    for run in ("depth_study", "trial 000", "trial 005"):
        expect(page.get_by_role("link", name=re.compile(f"^{run}")).last).to_be_visible(timeout=WAIT_MS)
    expect(page.get_by_text("outcome").first).to_be_attached()
    first_trial = page.get_by_role("link", name=re.compile(r"^trial \d")).first
    assert (first_trial.text_content() or "").startswith(
        f"trial {best.number:03d}"
    )  # the best one comes first

    first_trial.click()
    run_id = best.user_attrs["mlflow_run_id"]
    page.wait_for_url(f"**/runs/{run_id}**")
    page.get_by_role("tab", name="Model metrics").click()
    page.get_by_placeholder("Search metric charts").fill("pictures")
    picture = f"img[src*='get-artifact'][src*='{run_id}']"
    steps = {step_of(loaded_source(page, picture))}
    page.get_by_role("slider").first.press("ArrowRight")
    page.wait_for_function(
        "([selector, old]) => !document.querySelector(selector)?.src.includes(old)",
        arg=[picture, f"step%2B{min(steps)}%2B"],
        timeout=WAIT_MS,
    )
    steps.add(step_of(loaded_source(page, picture)))
    assert len(steps) == 2

    page.goto(f"{ui.mlflow}&compareRunsMode=CHART")
    pictures = page.locator("img[src*='get-artifact'][src*='pictures']")
    expect(pictures.first).to_be_in_viewport(ratio=0.9, timeout=WAIT_MS)  # not clipped by its card


def step_of(source: str) -> int:
    """The step in the name of a picture of `log_image`."""
    found = re.search(r"\+step\+(\d+)\+", parse_qs(urlsplit(source).query)["path"][0])
    assert found
    return int(found[1])


@pytest.mark.browser
def test_dashboard_lists_the_trials_and_shows_ones_note_and_picture(
    ui: Ui, browser: BrowserContext, study: optuna.Study
) -> None:
    best = study.best_trial
    note = get_note(optuna.trial.Trial(study, best._trial_id))
    page = browser.new_page()
    page.goto(ui.dashboard)
    page.get_by_text("depth_study").click()
    page.wait_for_url("**/studies/*")
    page.get_by_text("Hyperparameter Importance").wait_for()
    page.goto(f"{page.url}/trials?numbers={best.number}")
    for number in range(6):
        expect(page.get_by_text(f"Trial {number}", exact=True).first).to_be_visible(timeout=WAIT_MS)
    assert "/artifacts/" in loaded_source(page, "img[src*='/artifacts/']")
    items = {line[2:].replace("`", "") for line in note.splitlines() if line.startswith("- ")}
    assert items
    assert items <= set(page.get_by_role("listitem").all_inner_texts())


def status(port: int, host: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/", headers={"Host": f"{host}:{port}"})
    code = connection.getresponse().status
    connection.close()
    return code


def test_listens_on_this_machine_alone(ui: Ui) -> None:
    listening = [
        connection.laddr.ip
        for server in ui.servers
        for connection in server.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert set(listening) == {"127.0.0.1"}
    port = port_of(ui.mlflow)
    assert [status(port, host) for host in ("127.0.0.1", "localhost", "elsewhere.example")] == [200, 200, 403]


def test_ctrl_c_ends_both_and_leaves_nothing(start_ui: Callable[[], Ui]) -> None:
    ui = start_ui()
    assert len(ui.open_ports()) == 2
    ui.process.send_signal(signal.SIGINT)
    assert ui.wait()[0] == 0
    assert not ui.left()
    assert not ui.open_ports()


@pytest.mark.parametrize(
    ("ending", "cause"), [("sys.exit(3)", "exit code 3"), ("os.abort()", "signal SIGABRT")]
)
def test_a_server_that_ends_by_itself_is_told_with_its_last_words(
    tmp_path: Path, ending: str, cause: str
) -> None:
    home = Home(tmp_path).create()

    def start(name: str, code: str) -> ui_module.Server:
        words = ["-c", f"import os, sys, time; {code}"]
        return ui_module._start(name, 0, "/", home, home.logs / f"{name}.log", words, {})

    lasts = start("other", "time.sleep(600)")
    dies = start("one", f"print('no such table', flush=True); {ending}")
    told = ui_module._watch([lasts, dies], received=[])
    assert told is not None
    assert told.startswith(f"the one ended by itself ({cause})")
    assert "no such table" in told
    assert ui_module._wait_until_ready([lasts, dies], received=[]) == told
    ui_module._end([lasts, dies], received=[])
    assert lasts.process.poll() == -signal.SIGTERM


@pytest.mark.slow
def test_when_one_dies_the_other_is_ended(start_ui: Callable[[], Ui]) -> None:
    ui = start_ui()
    ui.server("optuna_dashboard").kill()
    code, said = ui.wait()
    assert code == 1
    assert "ended by itself" in said
    assert "Traceback" not in said
    assert not ui.left()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent is gone")
def test_servers_end_with_a_killed_parent(start_ui: Callable[[], Ui]) -> None:
    ui = start_ui()
    ui.process.kill()
    assert eventually(lambda: not ui.left())


def refused(home: Path, *options: str) -> str:
    """The one sentence with which `sweep ui` refuses to start."""
    done = run_here("ui", *options, home=home)
    assert done.returncode == 2
    assert not done.stdout
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.mark.parametrize("option", ["--mlflow-port", "--dashboard-port"])
def test_a_taken_port_is_named_with_its_option(smoke_home: Path, option: str) -> None:
    other = "--dashboard-port" if option == "--mlflow-port" else "--mlflow-port"
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        said = refused(smoke_home, option, str(port), other, "0")
    assert f"port {port} is taken" in said
    assert option in said


def test_one_port_for_both_is_refused(smoke_home: Path) -> None:
    assert "5123" in refused(smoke_home, "--mlflow-port", "5123", "--dashboard-port", "5123")


def test_a_home_without_a_store_is_refused_and_stays_untouched(tmp_path: Path) -> None:
    home = tmp_path / "new"
    assert str(home) in refused(home)
    assert not home.exists()
