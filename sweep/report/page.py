"""The page: everything in one file that needs no network and no server."""

import html
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
from markupsafe import Markup
from plotly.io.json import to_json_plotly
from plotly.offline import get_plotlyjs

from sweep.report.evidence import Claim
from sweep.report.evidence.claim import RULE
from sweep.report.evidence.contrast import Finding
from sweep.report.evidence.tradeoff import VOLATILITY
from sweep.report.figures import Figure
from sweep.report.gather import Material
from sweep.report.overview import Overview
from sweep.report.pictures import Picture
from sweep.store.trials import Record

COLUMNS = (
    *("trial", "phase", "arm", "outcome", "objective", "seed", "learning rate", "volatility", "epochs"),
    *("seconds", "settings", "why", "run"),
)
NUMERIC = ("trial", "objective", "seed", "learning rate", "volatility", "epochs", "seconds")


def render(
    material: Material,
    overview: Overview,
    claims: Sequence[Claim],
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
    }
    drawn = {f.key: f.figure.to_plotly_json() for f in figures if f.figure is not None}
    return environment.get_template("page.html").render(
        m=material,
        o=overview,
        claims=claims,
        rule=RULE,
        effect=effect,
        figures=[
            vars(f) | {"height": f.height, "caption": html.unescape(f.caption), "png": pngs.get(f.key)}
            for f in figures
        ],
        pictures=pictures,
        sheet=sheet,
        png_note=png_note,
        columns=COLUMNS,
        numeric=NUMERIC,
        outcomes=sorted({record.outcome for record in material.records}),
        phases=sorted({record.phase for record in material.records}),
        run_url=material.run_url,
        tracker=material.tracker,
        # `to_json_plotly` writes <, > and / so that no text can end the script element.
        figure_json=to_json_plotly(drawn),
        row_json=_script_json([row(record) for record in material.records]),
        plotlyjs=get_plotlyjs(),
    )


def row(record: Record) -> list[Any]:
    """A trial in the order of COLUMNS; None where unknown."""
    params = {path: v for path, v in {**record.params, **record.settings}.items() if path != "optim.lr"}
    return [
        record.number,
        record.phase,
        record.arm,
        record.outcome,
        _short(record.objective),
        record.seed,
        _short(record.number_of("optim.lr"), 3),
        _short(record.number_of(VOLATILITY), 3),
        record.number_of("epochs"),
        None if record.seconds is None else round(record.seconds, 1),
        ", ".join(f"{path.rpartition('.')[2]} {setting(value)}" for path, value in params.items()),
        record.reason,
        record.run_id,
    ]


def number(value: float | None, form: str = ".1f") -> str:
    return "-" if value is None or not math.isfinite(value) else format(value, form)


def percent(ratio: float) -> str:
    """1.053 -> +5.3 %; large effects as a factor."""
    if ratio >= 3 or ratio <= 1 / 3:
        return f"× {ratio:.3g}"
    return f"{100 * (ratio - 1):+.1f} %"


def code(text: str) -> Markup:
    """`so` as code, all else as text."""
    parts = [Markup.escape(part) for part in text.split("`")]
    return Markup("").join(Markup("<code>{}</code>").format(p) if k % 2 else p for k, p in enumerate(parts))


def sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?")) else ".")


def setting(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def effect(finding: Finding) -> str:
    if finding.ratio is None or finding.low is None or finding.high is None:
        return "not tested"
    return f"{percent(finding.ratio)} ({percent(finding.low)} to {percent(finding.high)})"


def _short(value: float | None, digits: int = 6) -> float | None:
    return None if value is None else float(f"{value:.{digits}g}")


def _script_json(value: Any) -> str:
    """JSON that may stand in a script element."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
