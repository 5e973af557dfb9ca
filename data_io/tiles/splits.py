"""Assign each block of ground to train, validation or test."""

import random
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import NamedTuple, TypeVar

from data_io.config import DataConfig
from data_io.errors import DataError

SPLITS = ("train", "validation", "test")

T = TypeVar("T")

ORDERS = 32
"""How many orders of a place's blocks are tried; the one that comes nearest to the fractions is used."""

# Zone 1..60, latitude band C..X and the 100 km square's letters; MGRS leaves out I and O.
_MGRS = re.compile(
    r"(?<![A-Za-z0-9])T?(0?[1-9]|[1-5][0-9]|60)([C-HJ-NP-X][A-HJ-NP-Z][A-HJ-NP-V])(?![A-Za-z0-9])"
)


class Unit(NamedTuple):
    """The unit that is assigned to a split: one block of one place, in all images (dates) of that place."""

    place: str
    row: int
    column: int


def place_of(name: str) -> str:
    """The ground that an image shows, derived from the image's name within its source.

    Images of one place never end up in different splits, block by block: two dates of one Sentinel-2 square
    show the same fields. A name that contains an MGRS square as a token (`32ULA`, `T33UUU`) gives that
    square. Any other name gives itself without its suffix, so that every image is a place of its own.
    """
    path = PurePath(name)
    square = _MGRS.search(path.stem)
    if square:
        zone, letters = square.groups()
        return f"{int(zone):02d}{letters}"
    return path.with_suffix("").as_posix()


def assign(kept: Mapping[Unit, int], config: DataConfig) -> dict[Unit, str]:
    """Assign each unit that has kept tiles to a split.

    kept: the number of kept tiles by unit. Places are dealt with one after the other, their units in a seeded
    order. Each unit goes to the split that is furthest below its share so far, so that a place with enough
    blocks contributes to every split and the totals come near the fractions. The result depends only on
    `kept`, the fractions and `split_seed`.

    Raises DataError when there are fewer units than splits.
    """
    places: dict[str, list[Unit]] = defaultdict(list)
    for unit in sorted(unit for unit, count in kept.items() if count):
        places[unit.place].append(unit)
    units_left = sum(map(len, places.values()))
    if units_left < len(SPLITS):
        raise DataError(_too_few_message(units_left, config))
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
    total = sum(totals.values()) + sum(kept[unit] for unit in units)
    result = {}
    for done, unit in enumerate(units):
        empty = [split for split in SPLITS if not counts[split]]
        # The last units are reserved for splits that would otherwise stay empty.
        open_to = empty if units_left - done <= len(empty) else SPLITS
        split = max(open_to, key=lambda name: fractions[name] * total - counts[name])
        counts[split] += kept[unit]
        result[unit] = split
    return result


def _misfit(
    split_of: Mapping[Unit, str], kept: Mapping[Unit, int], totals: Mapping[str, int], config: DataConfig
) -> tuple[int, float]:
    """How many splits this place should reach but does not, then how many tiles it is off the fractions."""
    fractions = config.fractions()
    reached = set(split_of.values())
    missed = sum(fractions[split] * len(split_of) >= 1 and split not in reached for split in SPLITS)
    counts = dict(totals)
    for unit, split in split_of.items():
        counts[split] += kept[unit]
    total = sum(counts.values())
    return missed, sum(abs(fractions[split] * total - counts[split]) for split in SPLITS)


def _shuffled(items: Sequence[T], seed: str) -> list[T]:
    # random() of a seeded Random is the same in every Python version; shuffle() may change.
    rng = random.Random(seed)
    keys = [rng.random() for _ in items]
    return [items[i] for i in sorted(range(len(items)), key=keys.__getitem__)]


def _too_few_message(units: int, config: DataConfig) -> str:
    what = "images of different places" if config.mode == "resize" else "blocks of ground"
    advice = "add images" if config.mode == "resize" else "add images or lower tile_size, block_tiles or gap"
    return (
        f"{config.source} gives usable tiles in {units} {what}, too few for a train, a validation and a test "
        f"split without shared pixels: {advice}, or lower min_std"
    )
