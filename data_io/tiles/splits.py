"""Assign each block of ground to train, validation or test."""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

from data_io.config import DataConfig
from data_io.errors import DataError

SPLITS = ("train", "validation", "test")

T = TypeVar("T")

ORDERS = 32
"""How many orders of a place's blocks are tried; the one that comes nearest to the fractions is used."""

FAR = 0.1
"""A split whose share is off by more than this is far from what was asked for."""


class Unit(NamedTuple):
    """The unit that is assigned to a split: one block of one place, in all images (dates) of that place."""

    place: str
    row: int
    column: int


def assign(kept: Mapping[Unit, int], config: DataConfig) -> dict[Unit, str]:
    """Assign each unit that has kept tiles to a split.

    kept: the number of kept tiles by unit. Places are dealt with one after the other, their units in a seeded
    order. Each unit goes to the split that is furthest below its share so far, so that a place with enough
    blocks contributes to every split and the totals come near the fractions; where training would get less
    than another split, other orders of the places are tried. The result depends only on `kept`, the fractions
    and `split_seed`.

    Raises DataError when there are fewer units than splits, or no order leaves most tiles for training.
    """
    fractions = config.fractions()
    units = sum(count > 0 for count in kept.values())
    if units < len(SPLITS):
        raise DataError(_too_few_message(units, config))
    result = _deal(kept, fractions, str(config.split_seed))
    if refuses(totals := totals_of(result, kept), config):
        seeds = [f"{config.split_seed}#{order}" for order in range(ORDERS)]
        tries = [result, *(_deal(kept, fractions, seed) for seed in seeds)]
        result = min(tries, key=lambda split_of: _distance(totals_of(split_of, kept), fractions))
        totals = totals_of(result, kept)
    if refuses(totals, config):
        counts = ", ".join(f"{count} {split}" for split, count in totals.items())
        raise DataError(
            f"{config.source} would give {counts} tiles, as the largest of its {units} "
            f"{_unit_word(config)} holds {max(kept.values())}: {_advice(config)}"
        )
    return result


def assign_own(kept: Mapping[Unit, int], own: Mapping[Unit, str], config: DataConfig) -> dict[Unit, str]:
    """Assign each unit to the split that its folder names.

    own: the split of each unit's folder. Where no folder is for the test, units of the validation folder are
    shared between the two, and where none is for validation, units of the training folder.

    Raises DataError when a split gets no tile.
    """
    units = {unit: own[unit] for unit, count in kept.items() if count}
    missing = [split for split in SPLITS if split not in own.values()]
    if missing:
        (lacking,) = missing
        donor = "validation" if lacking == "test" else "train"
        fractions = {split: config.fractions()[split] for split in SPLITS if split in (donor, lacking)}
        shared = {unit: kept[unit] for unit, split in units.items() if split == donor}
        units |= _deal(shared, fractions, str(config.split_seed))
    totals = totals_of(units, kept)
    for split, count in totals.items():
        if not count:
            raise DataError(
                f"the folders of {config.source} give no tile for the split {split}: add images there, lower "
                "min_std, or name another source"
            )
    return units


def totals_of(split_of: Mapping[Unit, str], kept: Mapping[Unit, int]) -> dict[str, int]:
    """Tiles by split."""
    totals = dict.fromkeys(SPLITS, 0)
    for unit, split in split_of.items():
        totals[split] += kept[unit]
    return totals


def is_far(totals: Mapping[str, int], config: DataConfig) -> bool:
    """Whether the shares of the tiles are far from the fractions."""
    total = sum(totals.values())
    return any(abs(totals[s] / total - fraction) > FAR for s, fraction in config.fractions().items())


def refuses(totals: Mapping[str, int], config: DataConfig) -> bool:
    """Whether a split that should be smaller than the training set is larger."""
    fractions = config.fractions()
    larger = [
        split for split in SPLITS if totals[split] > totals["train"] and fractions[split] < fractions["train"]
    ]
    return bool(larger) and is_far(totals, config)


def far_message(totals: Mapping[str, int], config: DataConfig) -> str | None:
    """What to say of shares far from the fractions; None where they are near."""
    if not is_far(totals, config):
        return None
    got = ", ".join(f"{split} {totals[split]}" for split in SPLITS)
    total = sum(totals.values())
    asked = ", ".join(f"{split} {round(fraction * total)}" for split, fraction in config.fractions().items())
    return f"the splits have {got} tiles, where {asked} were asked for: {_advice(config)}"


def _deal(kept: Mapping[Unit, int], fractions: Mapping[str, float], seed: str) -> dict[Unit, str]:
    places: dict[str, list[Unit]] = defaultdict(list)
    for unit in sorted(unit for unit, count in kept.items() if count):
        places[unit.place].append(unit)
    units_left = sum(map(len, places.values()))
    result: dict[Unit, str] = {}
    totals = dict.fromkeys(fractions, 0)
    for place in _shuffled(list(places), seed):
        units = places[place]
        orders = [_shuffled(units, f"{seed}/{place}/{i}") for i in range(ORDERS if units[1:] else 1)]
        tries = [_fill(order, kept, totals, units_left, fractions) for order in orders]
        chosen = min(tries, key=lambda split_of: _misfit(split_of, kept, totals, fractions))
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
    fractions: Mapping[str, float],
) -> dict[Unit, str]:
    counts = dict(totals)
    total = sum(totals.values()) + sum(kept[unit] for unit in units)
    result = {}
    for done, unit in enumerate(units):
        empty = [split for split in fractions if not counts[split]]
        # The last units are reserved for splits that would otherwise stay empty.
        open_to = empty if units_left - done <= len(empty) else fractions
        split = max(open_to, key=lambda name: fractions[name] * total - counts[name])
        counts[split] += kept[unit]
        result[unit] = split
    return result


def _misfit(
    split_of: Mapping[Unit, str],
    kept: Mapping[Unit, int],
    totals: Mapping[str, int],
    fractions: Mapping[str, float],
) -> tuple[int, float]:
    """How many splits this place should reach but does not, then how many tiles it is off the fractions."""
    reached = set(split_of.values())
    missed = sum(fractions[split] * len(split_of) >= 1 and split not in reached for split in fractions)
    counts = dict(totals)
    for unit, split in split_of.items():
        counts[split] += kept[unit]
    return missed, _distance(counts, fractions)


def _distance(counts: Mapping[str, int], fractions: Mapping[str, float]) -> float:
    total = sum(counts.values())
    return sum(abs(fractions[split] * total - counts[split]) for split in fractions)


def _shuffled(items: Sequence[T], seed: str) -> list[T]:
    # random() of a seeded Random is the same in every Python version; shuffle() may change.
    rng = random.Random(seed)
    keys = [rng.random() for _ in items]
    return [items[i] for i in sorted(range(len(items)), key=keys.__getitem__)]


def _unit_word(config: DataConfig) -> str:
    return "images of different places" if config.mode == "resize" else "blocks of ground"


def _advice(config: DataConfig) -> str:
    lower = "block_tiles or gap" if config.mode == "resize" else "tile_size, block_tiles or gap"
    return f"add images or lower {lower}"


def _too_few_message(units: int, config: DataConfig) -> str:
    return (
        f"{config.source} gives usable tiles in {units} {_unit_word(config)}, too few for a train, a "
        f"validation and a test split without shared pixels: {_advice(config)}, or lower min_std"
    )
