"""A border map as files: JSON, a page, and a picture."""

import json
from pathlib import Path

from sweep.border.figure import as_html, as_png
from sweep.border.map import BorderMap
from sweep.store.home import Home


def write_map(home: Home, found: BorderMap) -> list[Path]:
    """Write map.json, map.html and map.png to the study's folder of reports; return their paths."""
    folder = home.root / "reports" / found.study
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "map.json", folder / "map.html", folder / "map.png"]
    paths[0].write_text(json.dumps(found.as_dict(), indent=1, allow_nan=False), encoding="utf-8")
    paths[1].write_text(as_html(found), encoding="utf-8")
    as_png(found, paths[2])
    return paths
