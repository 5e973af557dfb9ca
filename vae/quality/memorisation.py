"""Do samples copy training tiles?"""

import math
from functools import lru_cache, partial

import torch
from torch import Tensor
from torch.nn import functional as F

from vae.quality.metrics import MIN_SIZE, Metric, in_parts, of_each
from vae.quality.remembering import SETS, content_of

QUANTILE = 0.05
BATCH = 64


def memorisation(train: Tensor, quantile: float = QUANTILE) -> Metric:
    """Share of samples that are nearer to a training tile than all but 5 % of held-out tiles are.

    train (T, 3, H, H) uint8; the metric's real set must not be part of it. 0.05 by chance; a share p of
    pasted training tiles adds 0.95 p. After van den Burg and Williams 2021, who compare these two distances.

        measure(held_out, samples, metrics=METRICS | {"memorisation": memorisation(train)})

    What it does not detect: a few copies among many samples (look at the smallest `nearest_distance`), copies
    of part of a tile, and shifted copies. Samples with less contrast than real tiles are nearer to
    everything, copied or not.
    """
    return _of(_Small(_shrink(train).double()), quantile)


class _Small:
    """Shrunk training tiles, equal to others of the same content."""

    def __init__(self, tiles: Tensor) -> None:
        self.tiles = tiles
        # Reading them on the host also waits for them: other streams may use them from here on.
        self.key = (content_of(tiles), tiles.device)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Small) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@lru_cache(maxsize=SETS)
def _of(train: _Small, quantile: float) -> Metric:
    """One metric for all runs on the same tiles: its floor and the test tiles' distances are then known."""
    return Metric(of_each(partial(_nearest, small=train.tiles)), partial(_share, quantile=quantile))


def nearest_distance(images: Tensor, train: Tensor) -> Tensor:
    """(N, 3, H, H) and (T, 3, H, H) uint8 -> (N,): root mean square to the nearest tile, in grey levels.

    At 16 px, where a blurred copy is still a copy, and over the eight rotations and reflections of a training
    tile, which the model may have been trained on through augmentation.
    """
    return _nearest(images, _shrink(train).double())


def _nearest(images: Tensor, small: Tensor) -> Tensor:
    # In float64 the fast way to distances, by a matrix product, cancels nowhere that matters.
    rows = _shrink(images).flatten(1).double()
    small = small.to(rows.device)
    nearest = torch.full((len(rows),), float("inf"), dtype=torch.float64, device=rows.device)
    for turns in range(4):
        turned = torch.rot90(small, turns, (2, 3))
        for tiles in (turned, turned.flip(3)):
            distance = torch.cdist(rows, tiles.flatten(1), compute_mode="use_mm_for_euclid_dist")
            nearest = torch.minimum(nearest, distance.min(1).values)
    return nearest / math.sqrt(rows.shape[1])


def _shrink(images: Tensor) -> Tensor:
    small = [F.adaptive_avg_pool2d(batch.to(torch.float32), MIN_SIZE) for batch in in_parts(images, BATCH)]
    return torch.cat(small)


def _share(real: Tensor, fake: Tensor, seed: int, *, quantile: float) -> Tensor:
    # Tensor.quantile cannot be taken of many sub-samples at once.
    rank = quantile * (len(real) - 1)
    below = math.floor(rank)
    nearest = real.sort().values
    limit = torch.lerp(nearest[below], nearest[min(below + 1, len(real) - 1)], rank - below)
    return (fake < limit).double().mean()
