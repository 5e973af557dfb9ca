"""Give each block of ground to train, validation or test."""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

from data_io.config import DataConfig
from data_io.errors import DataError

SPLITS = ("train", "validation", "test")

T = TypeVar("T")

ORDERS = 32
"""Orders of a place's blocks that are tried; the one that ends nearest to the fractions is taken."""


class Unit(NamedTuple):
    """What goes whole to a split: one block of one place, over all images (dates) of that place."""

    place: str
    row: int
    column: int


def assign(kept: Mapping[Unit, int], config: DataConfig) -> dict[Unit, str]:
    """The split of each unit with kept tiles.

    kept: number of kept tiles by unit. Places come one after the other, their units in a seeded order; each
    unit goes to the split that lacks most tiles of its share of what has come so far, so that a place with
    enough blocks contributes to every split, and the totals come near the fractions. The result depends on
    `kept`, the fractions and `split_seed` only.

    Raises DataError when there are fewer units than splits.
    """
    places: dict[str, list[Unit]] = defaultdict(list)
    for unit in sorted(unit for unit, count in kept.items() if count):
        places[unit.place].append(unit)
    units_left = sum(map(len, places.values()))
    if units_left < len(SPLITS):
        raise DataError(_too_few(units_left, config))
    result: dict[Unit, str] = {}
    totals = dict.fromkeys(SPLITS, 0)
    for place in _shuffled(list(places), f"{config.split_seed}"):
        units = places[place]
        orders = [
            _shuffled(units, f"{config.split_seed}/{place}/{i}") for i in range(ORDERS if units[1:] else 1)
        ]
        tries = [_fill(order, kept, totals, units_left, config) for order in orders]
        chosen = min(tries, key=lambda split_of: _misfit(split_of, kept, totals, config))
        for unit, split in chosen.items():
            totals[split] += kept[unit]
        result |= chosen
        units_left -= len(units)
    return result


def _fill(
    units: Sequence[Unit],
    kept: Mapping[Unit, int],
    totals: Mapping[str, int],
    units_left: int,
    config: DataConfig,
) -> dict[Unit, str]:
    counts = dict(totals)
    fractions = config.fractions()
    seen = sum(totals.values()) + sum(kept[unit] for unit in units)
    result = {}
    for done, unit in enumerate(units):
        empty = [split for split in SPLITS if not counts[split]]
        # The last units are kept for splits that would else stay empty.
        open_to = empty if units_left - done <= len(empty) else SPLITS
        split = max(open_to, key=lambda name: fractions[name] * seen - counts[name])
        counts[split] += kept[unit]
        result[unit] = split
    return result


def _misfit(
    split_of: Mapping[Unit, str], kept: Mapping[Unit, int], totals: Mapping[str, int], config: DataConfig
) -> tuple[int, float]:
    """Splits this place should reach and does not, then tiles away from the fractions."""
    fractions = config.fractions()
    reached = set(split_of.values())
    missed = sum(fractions[split] * len(split_of) >= 1 and split not in reached for split in SPLITS)
    counts = dict(totals)
    for unit, split in split_of.items():
        counts[split] += kept[unit]
    seen = sum(counts.values())
    return missed, sum(abs(fractions[split] * seen - counts[split]) for split in SPLITS)


def _shuffled(items: Sequence[T], seed: str) -> list[T]:
    # random() of a seeded Random is the same on every Python; shuffle() is not promised to be.
    rng = random.Random(seed)
    keys = [rng.random() for _ in items]
    return [items[i] for i in sorted(range(len(items)), key=keys.__getitem__)]


def _too_few(units: int, config: DataConfig) -> str:
    what = "images of different places" if config.mode == "resize" else "blocks of ground"
    mend = "add images" if config.mode == "resize" else "add images or lower tile_size, block_tiles or gap"
    return (
        f"{config.source} gives usable tiles in {units} {what}, too few for a train, a validation and a test "
        f"split without shared pixels: {mend}, or lower min_std"
    )
