"""The page: everything in one file that needs no network and no server."""

import html
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jinja2
from markupsafe import Markup
from plotly.io.json import to_json_plotly
from plotly.offline import get_plotlyjs

from sweep.evidence.carried import carried, one_rates
from sweep.evidence.edges import at_edges
from sweep.evidence.finding import Finding, Interval
from sweep.evidence.sentences import contrast_name
from sweep.report import duration
from sweep.report.claims import ShownClaim, arm_rows, rule_for
from sweep.report.figures import Figure
from sweep.report.gather import Material
from sweep.report.methods.contrast import ContrastResult
from sweep.report.overview import Overview
from sweep.report.pictures import ArmSamples, Picture
from sweep.report.quality import QualityTable, Score
from sweep.store.groups import groups_of
from sweep.store.keys import VOLATILITY
from sweep.store.labels import describe_settings
from sweep.store.trials import LR, TrialView

COLUMNS = (
    *("trial", "phase", "arm", "outcome", "objective", "seed", "learning rate", "volatility", "epochs"),
    *("seconds", "settings", "why", "run"),
)
NUMERIC = ("trial", "objective", "seed", "learning rate", "volatility", "epochs", "seconds")

DIRECTIONS = {"lower": "↓ lower", "higher": "↑ higher", "zero": "near 0"}


def render(
    material: Material,
    quality: QualityTable,
    arm_samples: Sequence[ArmSamples],
    overview: Overview,
    claims: Sequence[ShownClaim],
    figures: Sequence[Figure],
    pictures: Sequence[Picture],
    sheet: str,
    pngs: Mapping[str, str],
    png_note: str,
) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sweep.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "percent": percent,
        "setting": setting,
        "code": code,
        "sentence": sentence,
        "settings": describe_settings,
        "score": score,
        "interval": interval,
        "duration": duration.in_words,
    }
    by, groups = groups_of(material.trials, material.plan)
    shown = [
        vars(f) | {"height": f.height, "caption": html.unescape(f.caption), "png": pngs.get(f.key)}
        for f in figures
    ]
    drawn = {f.key: f.figure.to_plotly_json() for f in figures if f.figure is not None}
    return environment.get_template("page.html").render(
        m=material,
        o=overview,
        claims=claims,
        by=by,
        groups=groups,
        quality=quality,
        arm_samples=arm_samples,
        directions=DIRECTIONS,
        rule=rule_for(claims),
        arms=arm_rows(material.plan, material.trials),
        carried=[str(row) for rows in (carried, one_rates) for row in rows(material.plan, material.trials)],
        edges=[str(edge) for edge in at_edges(material.plan, material.trials)],
        effect=effect,
        size=size,
        contrast_name=contrast_name,
        figures=[figure for figure in shown if not figure["of_search"]],
        search_figures=[figure for figure in shown if figure["of_search"]],
        pictures=pictures,
        sheet=sheet,
        png_note=png_note,
        columns=COLUMNS,
        numeric=NUMERIC,
        outcomes=sorted({trial.outcome for trial in material.trials}),
        phases=sorted({trial.phase for trial in material.trials}),
        run_url=material.run_url,
        tracker=material.tracker,
        # `to_json_plotly` writes <, > and / so that no text can end the script element.
        figure_json=to_json_plotly(drawn),
        row_json=_script_json([row(trial) for trial in material.trials]),
        plotlyjs=get_plotlyjs(),
    )


def row(trial: TrialView) -> list[Any]:
    """A trial in the order of COLUMNS; None where unknown."""
    params = {path: v for path, v in {**trial.params, **trial.settings}.items() if path != LR}
    return [
        trial.number,
        trial.phase,
        trial.arm,
        trial.outcome,
        _short(trial.objective),
        trial.seed,
        _short(trial.lr, 3),
        _short(trial.number_of(VOLATILITY), 3),
        trial.number_of("epochs"),
        None if trial.seconds is None else round(trial.seconds, 1),
        ", ".join(f"{path.rpartition('.')[2]} {setting(value)}" for path, value in params.items()),
        trial.reason,
        trial.run_id,
    ]


def number(value: float | None, form: str = ".1f") -> str:
    return "-" if value is None or not math.isfinite(value) else format(value, form)


def percent(ratio: float) -> str:
    """1.053 -> +5.3 %; large effects as a factor."""
    if ratio >= 3 or ratio <= 1 / 3:
        return f"× {ratio:.3g}"
    return f"{100 * (ratio - 1):+.1f} %"


def score(found: Score | None) -> str:
    """As 0.42 (0.39 to 0.45)."""
    if found is None or found.value is None:
        return "-"
    form = ".0f" if abs(found.value) >= 1000 else ".3g"
    if found.low is None or found.high is None:
        return f"{found.value:{form}}"
    return f"{found.value:{form}} ({found.low:{form}} to {found.high:{form}})"


def code(text: str) -> Markup:
    """`so` as code, all else as text."""
    parts = [Markup.escape(part) for part in text.split("`")]
    return Markup("").join(Markup("<code>{}</code>").format(p) if k % 2 else p for k, p in enumerate(parts))


def sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?")) else ".")


def setting(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def effect(finding: ContrastResult) -> str:
    if finding.ratio is None or finding.low is None or finding.high is None:
        return "not tested"
    return f"{percent(finding.ratio)} ({percent(finding.low)} to {percent(finding.high)})"


def size(finding: Finding) -> str:
    """The effect with its interval, of the first side against the second."""
    found = finding.effect
    if found is None or found.interval is None:
        return "-"
    return interval(found.interval, percent if found.kind == "ratio" else "{:.3g}".format)


def interval(found: Interval | None, form: Callable[[float], str] = "{:.2f}".format) -> str:
    if found is None:
        return "-"
    if found.low is None or found.high is None:
        return form(found.estimate)
    return f"{form(found.estimate)} ({form(found.low)} to {form(found.high)})"


def _short(value: float | None, digits: int = 6) -> float | None:
    return None if value is None else float(f"{value:.{digits}g}")


def _script_json(value: Any) -> str:
    """JSON that may stand in a script element."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
