"""What the border of non-finite training hangs on, with rates as they are and with rates of layers.

    python -m tests.benchmarks.border_slopes              three seeds, two sets: about 25 minutes of a core
    python -m tests.benchmarks.border_slopes --seeds 5

The nine columns of `border_study` (depth, halvings, width), so that the latent head's fan-in, the halvings
and the depth each have a slope of their own, on the bundled scenes and on two photographs that come with
scikit-learn. A border is one seed's ladder (`tests.benchmarks.foretold`); the slopes are of least squares
over the columns' means, with 95 % t intervals of five degrees of freedom.
"""

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import gettempdir

import numpy as np
import sklearn.datasets
import torch
from scipy import stats

from studies.base import LAPTOP_32
from sweep.study.config import TrialConfig, with_settings
from tests.benchmarks.foretold import FITTED, border, loader, network
from vae.model.layout import head_fan_in
from vae.training.foretold import foretell

PHOTOGRAPHS = with_settings(
    LAPTOP_32,
    {"data.source": f"{Path(sklearn.datasets.__file__).parent}/images", "data.block_tiles": 2, "data.gap": 0},
)
SETS: Mapping[str, TrialConfig] = {"bundled scenes": LAPTOP_32, "photographs": PHOTOGRAPHS}
RULES: Mapping[str, Mapping[str, str]] = {
    "standard": {},
    "head_scale=mup": {"optim.head_scale": "mup"},
    "parametrisation=mup": {"optim.parametrisation": "mup"},
}
AXES = ("log10 fan-in", "halvings", "layers of a side")


def borders(base: TrialConfig, rule: Mapping[str, str], seeds: int, cache: Path) -> list[list[float]]:
    """log10 of the border, by column and seed."""
    found = []
    for column in FITTED:
        configs = [network(*column, base=base, seed=seed, **rule) for seed in range(seeds)]
        starts = [
            math.log10(foretell(config, loader(config, cache)).borders["nonfinite"].lr) for config in configs
        ]
        found.append([border(c, cache, start) for c, start in zip(configs, starts, strict=True)])
    return found


def slopes(columns: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    """Slope and half width of its interval, by axis."""
    fans = [head_fan_in(network(*column).model) for column in FITTED]
    places = [(1.0, math.log10(fan), halvings_of(*c), c[0]) for fan, c in zip(fans, FITTED, strict=True)]
    x, y = np.array(places), np.array([np.mean(column) for column in columns])
    found, *_ = np.linalg.lstsq(x, y, rcond=None)
    free = len(y) - x.shape[1]
    variance = float(np.sum((y - x @ found) ** 2)) / free * np.diag(np.linalg.inv(x.T @ x))
    half = float(stats.t.ppf(0.975, free)) * np.sqrt(variance)
    return [(float(found[i]), float(half[i])) for i in (1, 2, 3)]


def halvings_of(depth: int, most: int, width: int) -> int:
    return min(depth, most)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cache", type=Path, default=Path(gettempdir()) / "foretold_tiles")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print(f"| Set | Rates | Borders | {' | '.join(AXES)} |\n|{' --- |' * (3 + len(AXES))}", flush=True)
    for name, base in SETS.items():
        for rule, settings in RULES.items():
            found = borders(base, settings, asked.seeds, asked.cache)
            lines = [f"{s:+.2f} ({s - half:+.2f} to {s + half:+.2f})" for s, half in slopes(found)]
            low, high = (10 ** f(np.mean(column) for column in found) for f in (min, max))
            print(f"| {name} | {rule} | {low:.1e} to {high:.1e} | {' | '.join(lines)} |", flush=True)


if __name__ == "__main__":
    main()
