"""Settings in words: short names for dotted paths, and values that fit a line."""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

LR_SHARE = "optim.lr_border_fraction"


def short_names(paths: Collection[str]) -> dict[str, str]:
    """Path -> its last component; the whole path where another one ends in the same."""
    last = {path: path.rpartition(".")[2] for path in paths}
    counts = Counter(last.values())
    return {path: name if counts[name] == 1 else path for path, name in last.items()}


def format_value(value: Any) -> str:
    return f"{value:.2g}" if isinstance(value, float) else str(value)


def settings_in_words(settings: Mapping[str, Any]) -> list[str]:
    """As `lr 0.0021`, `clip norm`, `latent_dim 32`, by short names."""
    names = short_names(settings.keys())
    return [
        f"lr {value:g} of the border" if path == LR_SHARE else f"{names[path]} {format_value(value)}"
        for path, value in settings.items()
    ]


def describe_settings(settings: Mapping[str, Any]) -> str:
    """As `lr 0.0021, clip norm, latent_dim 32`; empty where there are none."""
    return ", ".join(settings_in_words(settings))
