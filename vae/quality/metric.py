"""What a metric of two sets of tiles is made of, and what it may be given."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

SMALLEST = 16
"""Tiles are at least this wide, in pixels."""


@dataclass(frozen=True)
class Metric:
    """A function of (real, fake, seed) -> float, in two parts so that images are looked at once.

    features: (real, fake, seed) -> the rows of both, (N, ...) each, one row an image. The whole real set is
        the reference for a normalisation; what else a row depends on makes intervals wrong. `of_each`
        makes it from a function of images.
    score: (real features, fake features, seed) -> float, for any equal number of rows from each set.
    better: "lower", "higher", or "zero" where both signs are a departure.
    min_size: width of the smallest tiles it is defined on, in pixels.
    """

    features: Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]
    score: Callable[[Tensor, Tensor, int], float]
    better: str = "lower"
    min_size: int = SMALLEST

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


def of_each(rows: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]:
    """Features of single images, (N, 3, H, H) uint8 -> (N, ...), that need neither reference nor seed."""
    return lambda real, fake, seed: (rows(real), rows(fake))


def remembered(rows: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The same function of images, which does not look again at the set that it was given last.

    For the real set, which is one and the same in every run of a study.
    """
    last: dict[object, Tensor] = {}

    def of(images: Tensor, *settings: object) -> Tensor:
        content = hashlib.sha256(images.cpu().numpy().tobytes()).digest()
        key = (content, images.shape, images.device, *settings)
        if key not in last:
            found = rows(images, *settings)
            last.clear()
            last[key] = found
        return last[key]

    return of


def check_tiles(real: Tensor, fake: Tensor) -> None:
    """Raises ValueError unless both are sets of at least two square uint8 tiles, all of one size."""
    for name, tiles in (("real", real), ("fake", fake)):
        if str(tiles.dtype) != "torch.uint8" or tiles.ndim != 4 or tiles.shape[1] != 3:
            shape = tuple(tiles.shape)
            raise ValueError(f"{name} must be (N, 3, H, W) uint8 tiles, not {tiles.dtype} of shape {shape}")
        if tiles.shape[-1] != tiles.shape[-2] or tiles.shape[-1] < SMALLEST:
            height, width = tiles.shape[-2:]
            raise ValueError(
                f"{name} tiles must be square, {SMALLEST} px or more: they are {height} x {width}"
            )
        if len(tiles) < 2:
            raise ValueError(f"there must be two {name} tiles or more, not {len(tiles)}")
    if real.shape[1:] != fake.shape[1:]:
        raise ValueError(f"real tiles are {real.shape[-1]} px wide and the others {fake.shape[-1]} px")
