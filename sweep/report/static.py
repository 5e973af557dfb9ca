"""PNG files of figures, where a Chromium is there to draw them."""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from sweep.report.figures import Figure

WIDTH = 1000
TIMEOUT_S = 60
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def write_pngs(figures: Sequence[Figure], folder: Path) -> tuple[dict[str, str], str]:
    """Figure key -> file name in `folder`, and one line that says why there are none (empty where there are).

    Stale files of earlier reports are removed first.
    """
    for old in folder.glob("*.png"):
        old.unlink()
    drawn = [figure for figure in figures if figure.figure is not None]
    if not drawn:
        return {}, ""
    if not any(map(shutil.which, BROWSERS)):
        return (
            {},
            "No PNG files of the figures: there is no Chromium here (Debian: `apt-get install chromium`).",
        )
    import kaleido

    logging.getLogger("kaleido").setLevel(logging.ERROR)
    logging.getLogger("choreographer").setLevel(logging.ERROR)
    folder.mkdir(parents=True, exist_ok=True)
    names = {figure.key: f"{figure.key}.png" for figure in drawn}
    jobs = [
        {
            "fig": _on_white(figure),
            "path": str(folder / names[figure.key]),
            "opts": {"format": "png", "width": WIDTH, "height": figure.height, "scale": 2},
        }
        for figure in drawn
    ]
    try:
        # Without mathjax=False it asks a CDN for it.
        kaleido.write_fig_from_object_sync(jobs, kopts={"mathjax": False, "timeout": TIMEOUT_S})
    except Exception as error:  # whatever a browser on this machine may lack: the page does without
        reason = " ".join(str(error).split())[:200]
        return (
            {},
            f"No PNG files of the figures: Chromium could not draw them ({type(error).__name__}: {reason}).",
        )
    return {key: name for key, name in names.items() if (folder / name).is_file()}, ""


def _on_white(figure: Figure) -> dict[str, object]:
    assert figure.figure is not None
    tree: dict[str, object] = figure.figure.to_plotly_json()
    layout = dict(figure.figure.layout.to_plotly_json()) | {
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "title": {"text": figure.title},
        "margin": {"t": 60, "l": 60, "r": 20, "b": 60},
    }
    return tree | {"layout": layout}
