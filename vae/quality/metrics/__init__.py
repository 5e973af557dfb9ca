"""Metrics of two sets of tiles, one module each, found by its name: `quality/<name>` in every run.

To add one, write `vae/quality/metrics/<name>.py` with a constant `METRIC`. Here the spread of brightness over
tiles, as `brightness_spread.py`:

    from torch import Tensor

    from vae.quality.metrics import Metric, of_each

    def brightness(images: Tensor) -> Tensor:  # (N, 3, H, W) uint8 -> (N, ...), one row per image
        return images.float().mean((1, 2, 3))

    def spread(real: Tensor, fake: Tensor, seed: int) -> float:  # any equal number of rows of each
        return float((real.std() - fake.std()).abs())

    METRIC = Metric(of_each(brightness), spread)

What it must keep: the same tiles and seed give the same number; the rows are features of single images, in
the order of the images, so that sub-samples can be taken of them; the score takes any equal numbers and moves
one way with the damage it claims to detect; its docstring gives the unit, the best value, the source and what
it does not detect; and a test shows, on disjoint halves of the bundled scenes, that two real halves score at
the floor and that the damage it claims to detect does not.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vae.names import METRICS

MIN_SIZE = 16
"""Tiles are at least this wide, in pixels."""


@dataclass(frozen=True)
class Metric:
    """A function of (real, fake, seed) -> float, in two parts so that every image is processed once.

    features: (real, fake, seed) -> the rows of both, (N, ...) each, one row per image. The whole real set is
        the reference for a normalisation; intervals are wrong if a row depends on anything else. `of_each`
        makes it from a function of images.
    score: (real features, fake features, seed) -> float, for any equal number of rows from each set.
    better: "lower", "higher", or "zero" if both signs are a departure.
    min_size: width of the smallest tiles it is defined on, in pixels.
    """

    features: Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]
    score: Callable[[Tensor, Tensor, int], float]
    better: str = "lower"
    min_size: int = MIN_SIZE

    def __call__(self, real: Tensor, fake: Tensor, seed: int = 0) -> float:
        """real and fake (N, 3, H, H) uint8, equal numbers; the same seed gives the same value.

        Raises:
            ValueError: a set is not of that shape and type, or the two do not match.
        """
        check_tiles(real, fake)
        if len(real) != len(fake):
            raise ValueError(f"take equal numbers: there are {len(real)} real tiles and {len(fake)} others")
        if real.shape[-1] < self.min_size:
            raise ValueError(f"tiles of {real.shape[-1]} px are too small: at least {self.min_size} px")
        return self.score(*self.features(real, fake, seed), seed)


def load_metrics() -> dict[str, Metric]:
    """All of them by name."""
    return {name: METRICS.load(name).METRIC for name in METRICS.names}


def of_each(rows: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]:
    """Features of single images, (N, 3, H, H) uint8 -> (N, ...), that need neither reference nor seed."""
    return lambda real, fake, seed: (rows(real), rows(fake))


def remembered(rows: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The same function of images, with the result for the last set of images remembered.

    For the real set, which is the same in every run of a study.
    """
    last: dict[object, Tensor] = {}

    def of(images: Tensor, *settings: object) -> Tensor:
        key = (content_of(images), images.device, *settings)
        if key not in last:
            found = rows(images, *settings)
            last.clear()
            last[key] = found
        return last[key]

    return of


def content_of(images: Tensor) -> tuple[bytes, torch.Size]:
    """What tells a set of images from another: a hash of its pixels, and its shape."""
    return hashlib.sha256(images.cpu().numpy().tobytes()).digest(), images.shape


def check_tiles(real: Tensor, fake: Tensor) -> None:
    """Raises ValueError unless both are sets of at least two square uint8 tiles, all of one size."""
    for name, tiles in (("real", real), ("fake", fake)):
        if str(tiles.dtype) != "torch.uint8" or tiles.ndim != 4 or tiles.shape[1] != 3:
            shape = tuple(tiles.shape)
            raise ValueError(f"{name} must be (N, 3, H, W) uint8 tiles, not {tiles.dtype} of shape {shape}")
        if tiles.shape[-1] != tiles.shape[-2] or tiles.shape[-1] < MIN_SIZE:
            height, width = tiles.shape[-2:]
            raise ValueError(
                f"{name} tiles must be square, {MIN_SIZE} px or more: they are {height} x {width}"
            )
        if len(tiles) < 2:
            raise ValueError(f"there must be two {name} tiles or more, not {len(tiles)}")
    if real.shape[1:] != fake.shape[1:]:
        raise ValueError(f"real tiles are {real.shape[-1]} px wide and the others {fake.shape[-1]} px")
