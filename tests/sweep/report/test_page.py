"""The page as a reader sees it: opened in Chromium from the file system, without a network."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import optuna
import pytest
from optuna.trial import TrialState
from playwright.sync_api import Browser, Page, sync_playwright

from sweep.report import write_report
from sweep.store.home import Home
from sweep.store.storage import load, open_optuna
from tests.sweep.report.stores import depth_plan, explored, finished, in_blocks, store

CHROMIUM = Path("/usr/bin/chromium")
HOSTILE = "<script>document.title = 'taken'</script>\"'`&lt;b&gt;<img src=x onerror=alert(1)>"
LONG = "x" * 10_000

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium (apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield chromium
        chromium.close()


class Opened:
    """A page and what it did while it was opened."""

    def __init__(self, browser: Browser, path: Path, width: int = 1280, scheme: str = "light") -> None:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
        self.page: Page = context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: self.said.append(dialog.message))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_function("document.documentElement.dataset.figures === 'done'", timeout=60_000)
        self.path = path

    def check(self) -> None:
        """Quiet, without a request but for itself, every figure drawn."""
        assert self.said == []
        others = [u for u in self.asked if u != self.path.as_uri() and not u.startswith(("data:", "blob:"))]
        assert others == []
        figures = self.page.locator(".plotly-figure")
        assert self.page.locator(".plotly-figure[data-drawn=true] .main-svg").count() >= figures.count()
        assert self.page.locator(".plotly-figure[data-drawn=true]").count() == figures.count()


def report(home: Home, name: str = "depth_study") -> tuple[Path, dict[str, Any]]:
    path, document = write_report(home, load(open_optuna(home), name))
    json.dumps(document, allow_nan=False, default=str)
    return path, document


@pytest.fixture(scope="module")
def confirmed_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    plan = depth_plan()
    explore = explored(plan, 60)
    return store(tmp_path_factory.mktemp("confirmed") / "home", explore + in_blocks(plan, explore))


@pytest.fixture(scope="module")
def written(confirmed_home: Home) -> tuple[Path, dict[str, Any]]:
    return report(confirmed_home)


def test_a_recorded_study_makes_a_whole_page(smoke_report: dict[str, Any], browser: Browser) -> None:
    """The real thing: trained, recorded, reported by the command."""
    document = smoke_report
    opened = Opened(browser, Path(document["path"]))
    opened.check()
    assert document["data"]["tiles"]["total"] > 0
    assert opened.page.locator("img.tiles").evaluate("image => image.naturalWidth") > 100
    assert opened.page.locator(".pictures img").count() >= 1
    drawn = {figure["key"] for figure in document["figures"] if figure["drawn"]}
    assert {"objective", "border", "volatility", "curves", "axes", "depths"} <= drawn
    assert document["provenance"]["versions"]["torch"] in opened.page.locator("#summary").inner_text()
    assert f"{document['best']['value']:.1f}" in opened.page.locator("main").inner_text()


@pytest.mark.parametrize(
    ("scheme", "width"),
    [
        ("light", 1280),
        ("dark", 390),
        pytest.param("light", 390, marks=pytest.mark.slow),
        pytest.param("dark", 1280, marks=pytest.mark.slow),
    ],
)
def test_every_figure_is_drawn_at_every_width_and_scheme(
    written: tuple[Path, dict[str, Any]], browser: Browser, width: int, scheme: str
) -> None:
    opened = Opened(browser, written[0], width, scheme)
    opened.check()
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    background = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (int(re.findall(r"\d+", background)[0]) < 128) == (scheme == "dark")


def test_every_claim_has_its_verdict_and_the_json_has_the_same(
    written: tuple[Path, dict[str, Any]], browser: Browser
) -> None:
    path, document = written
    page = Opened(browser, path).page
    shown = {
        str(element.get_attribute("id")).removeprefix("claim-"): element.get_attribute("data-verdict")
        for element in page.locator(".claim").all()
    }
    assert shown == {claim["key"]: claim["verdict"] for claim in document["claims"]}
    assert shown["middle_is_best.test_objective"] == "supported"
    assert shown["middle_is_best.quality_kid_imagenet"] == "contradicted"
    (claim,) = [c for c in document["claims"] if c["key"] == "middle_is_best.test_objective"]
    article = page.locator("[id='claim-middle_is_best.test_objective']").inner_text()
    for finding in claim["findings"]:
        ratio = finding["effect"]["interval"]
        assert f"{100 * (ratio['estimate'] - 1):+.1f} %" in article
        assert f"{100 * (ratio['low'] - 1):+.1f} %" in article
    assert "turns on the endpoint" in article
    assert [row["blocks"] for row in document["blocks"]] == [9] * 4
    assert page.locator("#figure-forest").count() == 1
    table = page.get_by_role("region", name="Arms over their blocks").inner_text()
    for row in document["blocks"]:
        mean, low, high = (float(f"{100 * value:.3g}") for value in row["sensitivity"])
        assert f"{mean:g} ({low:g} to {high:g})" in table
    assert page.locator("#figure-grid_sensitivity").count() == 1


def test_the_table_sorts_and_filters_by_mouse_and_keyboard(
    written: tuple[Path, dict[str, Any]], browser: Browser
) -> None:
    page = Opened(browser, written[0]).page

    def column(number: int) -> list[str]:
        return page.locator(f"#table tbody tr td:nth-child({number})").all_inner_texts()

    page.get_by_role("button", name="objective").click()
    values = [float(text) for text in column(5) if text]
    assert values == sorted(values)
    page.get_by_role("button", name="objective").press("Enter")
    values = [float(text) for text in column(5) if text]
    assert values == sorted(values, reverse=True)
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("objective")
    page.get_by_label("Outcome").select_option("diverged")
    assert set(column(4)) == {"diverged"}
    page.get_by_label("Outcome").select_option("")
    page.get_by_label("Filter").fill("explore depth 4")
    assert set(column(2)) == {"explore"}
    assert page.locator("#count").inner_text().startswith(f"{len(column(1))} of")
    page.get_by_label("Filter").fill("no such trial")
    assert column(1) == []
    link = page.locator("#table tbody tr:first-child a")
    page.get_by_label("Filter").fill("")
    assert re.search(r"/#/experiments/\w+/runs/[0-9a-f]{32}$", str(link.get_attribute("href")))


def test_a_point_names_its_trial_and_opens_its_run(
    written: tuple[Path, dict[str, Any]], browser: Browser
) -> None:
    page = Opened(browser, written[0]).page
    page.context.route("http://127.0.0.1:5000/**", lambda route: route.fulfill(body="the run"))
    point = page.locator("[data-key=objective] .scatterlayer .point").first
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    said = page.locator("[data-key=objective] .hovertext").first.text_content()
    named = re.search(r"trial (\d+) .*run ([0-9a-f]{12})", str(said))
    assert named
    assert f"{int(named[1]):032x}".startswith(named[2])
    with page.context.expect_page() as opened:
        page.mouse.click(x, y)
    opened.value.wait_for_load_state()
    assert opened.value.url.endswith(f"/runs/{int(named[1]):032x}")


def test_the_report_is_in_mlflow_and_in_the_dashboard(
    confirmed_home: Home, written: tuple[Path, dict[str, Any]]
) -> None:
    document = written[1]
    client = mlflow.MlflowClient(confirmed_home.mlflow_url)
    run = document["mlflow_run_id"]
    assert {f.path for f in client.list_artifacts(run, "report")} >= {"report/index.html", "report/figures"}
    assert client.get_run(run).data.tags["claim.middle_is_best.test_objective"] == "supported"
    study = optuna.load_study(study_name="depth_study", storage=confirmed_home.optuna_url)
    plots = [key for key in study._storage.get_study_system_attrs(study._study_id) if "plot_data" in key]
    assert any("report-objective" in key for key in plots)
    assert any("report-border" in key for key in plots)


def test_pngs_lie_beside_the_page_or_a_line_says_why_not(
    written: tuple[Path, dict[str, Any]], confirmed_home: Home, request: pytest.FixtureRequest
) -> None:
    path, document = written
    drawn = {figure["key"] for figure in document["figures"] if figure["drawn"]}
    assert {file.stem for file in (path.parent / "figures").glob("*.png")} == drawn
    request.getfixturevalue("without_pngs")
    again, document = report(confirmed_home)
    assert "no Chromium" in document["png_note"]
    assert "no Chromium" in again.read_text()
    assert not list((again.parent / "figures").glob("*.png"))


def test_hostile_names_are_text(tmp_path: Path, browser: Browser, without_pngs: None) -> None:
    plan = depth_plan()
    trials = explored(plan, 12)
    for number, trial in enumerate(trials):
        trial.set_user_attr("outcome", HOSTILE if number % 2 else LONG)
        trial.set_user_attr("reason", HOSTILE)
        trial.set_user_attr("arm", HOSTILE)
        trial.set_user_attr("phase", HOSTILE if number % 3 else "explore")
        trial.set_user_attr("mlflow_run_id", HOSTILE)
        trial.set_user_attr("settings", json.dumps({HOSTILE: HOSTILE, LONG: LONG}))
    home = store(tmp_path / "home", trials, name=HOSTILE, text=HOSTILE + LONG)
    path, _ = report(home, HOSTILE)
    opened = Opened(browser, path)
    opened.check()
    page = opened.page
    assert "taken" not in page.title().replace(HOSTILE, "")
    assert page.locator("h1").inner_text() == HOSTILE
    assert page.locator("img[src=x]").count() == 0
    assert page.locator("script").count() == 4
    assert HOSTILE in page.locator("#table").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    assert path.is_relative_to(home.root / "reports")


def test_a_hostile_parameter_is_text(tmp_path: Path, browser: Browser, without_pngs: None) -> None:
    names = [HOSTILE, "optim.lr"]
    trials = [
        optuna.trial.create_trial(
            value=300.0 + number,
            params={names[0]: f"{HOSTILE}{number % 2}", names[1]: 0.001 * (number + 1)},
            distributions={
                names[0]: optuna.distributions.CategoricalDistribution([f"{HOSTILE}0", f"{HOSTILE}1"]),
                names[1]: optuna.distributions.FloatDistribution(1e-5, 1.0),
            },
            user_attrs={"outcome": "budget", "seed": number},
        )
        for number in range(8)
    ]
    path, _ = report(store(tmp_path / "home", trials, tracker="files"))
    opened = Opened(browser, path)
    opened.check()
    assert opened.page.locator("[data-key=importance]").count() == 1
    assert opened.page.locator("img[src=x]").count() == 0


@pytest.mark.parametrize("kind", ["empty", "failed", "diverged", "one"])
def test_a_study_with_next_to_nothing_says_so(
    tmp_path: Path, browser: Browser, without_pngs: None, kind: str
) -> None:
    plan = depth_plan()
    trials = {
        "empty": [],
        "failed": [finished(plan, {}, 0.0, {"outcome": "error", "reason": "no"}, TrialState.FAIL)],
        "diverged": explored(plan, 7, diverged=1.0),
        "one": explored(plan, 1, diverged=0.0),
    }[kind]
    path, document = report(store(tmp_path / "home", trials, tracker="files"))
    opened = Opened(browser, path)
    opened.check()
    notice = opened.page.locator("#summary .notice").inner_text()
    expected = {"diverged": "every finished trial diverged", "one": "One trial has finished"}
    assert expected.get(kind, "No trial of this study has finished yet") in notice
    assert {claim["verdict"] for claim in document["claims"]} == {"inconclusive"}
    for figure in document["figures"]:
        assert figure["drawn"] or figure["missing"]
