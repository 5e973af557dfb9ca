"""An entry of the cache: the files that `build` writes, what its meta.json records, and how to open it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from data_io.config import DataConfig
from data_io.errors import DataError
from data_io.sources import LeftOut, find_source
from data_io.tiles.splits import SPLITS, far_message

META = "meta.json"

SHOWN = 3
"""Bad images that one line names."""


class DamagedEntryError(Exception):
    """A cache entry is missing, or its files do not match its name or its meta.json."""


class SceneRecord(BaseModel):
    """One image: its size in pixels, and what became of the tiles laid over it.

    `cut` counts all of them: nodata + featureless + train + validation + test.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    place: str
    height: int
    width: int
    blocks: int
    cut: int
    nodata: int
    featureless: int
    train: int
    validation: int
    test: int


class Record(BaseModel):
    """The content of meta.json.

    origins: by split and in the tiles' order, (scene index, y, x). stretch: for each band shown, the values
    that became black and white. skipped: images that were left out since they cannot be used, with reasons.
    layout: `LAYOUT` of the program that split the tiles. The last three are missing in older files.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    content_hash: str
    tile_size: int
    scenes: tuple[SceneRecord, ...]
    origins: dict[str, list[tuple[int, int, int]]]
    stretch: tuple[tuple[float, float], ...] | None = None
    skipped: dict[str, str] = {}
    layout: int = 1


@dataclass(frozen=True, eq=False)
class CacheEntry:
    """Cut tiles on disk; only the pages that are read take up memory.

    tiles: by split, memory-mapped (n, 3, tile_size, tile_size) uint8; writing to them does not change the
        files.
    left_out: files of the source that were not taken, by reason. unread: images whose files cannot be opened,
        with reasons. own: the split that its folder names, by image; empty where folders name none.
    """

    config: DataConfig
    record: Record
    tiles: Mapping[str, NDArray[np.uint8]]
    left_out: LeftOut = field(default_factory=LeftOut)
    unread: Mapping[str, str] = field(default_factory=dict)
    own: Mapping[str, str] = field(default_factory=dict)

    def summary(self) -> dict[str, object]:
        """See `summary`, and what was left out by reason, the stretch, and the notes."""
        about = summary(self.config, self.record.content_hash, self.record.scenes)
        return about | {
            "left_out": self.left_out.by_reason(),
            "skipped": self.skipped(),
            "stretch": self.record.stretch,
            "own_splits": bool(self.own),
            "notes": self.notes(),
        }

    def skipped(self) -> dict[str, str]:
        """Images that cannot be used, with reasons."""
        return {**self.unread, **self.record.skipped}

    def notes(self) -> list[str]:
        """What a user should know of the tiles: what was left out, one line a reason, and odd splits."""
        notes = self.left_out.lines()
        skipped = self.skipped()
        if skipped:
            names = ", ".join(list(skipped)[:SHOWN]) + (", ..." if len(skipped) > SHOWN else "")
            notes.append(
                f"skipped: {len(skipped)} bad images ({names}); the first: {next(iter(skipped.values()))}"
            )
        between = sum(scene.cut == 0 for scene in self.record.scenes)
        if between:
            notes.append(
                f"left out: {between} patches of a square, in the gaps between blocks (gap 0 takes them)"
            )
        counts = {split: len(tiles) for split, tiles in self.tiles.items()}
        if self.own:
            notes.append(_own_note(set(self.own.values())))
        elif far := far_message(counts, self.config):
            notes.append(far)
        return notes


def open_entry(entry: Path, config: DataConfig, content_hash: str) -> CacheEntry:
    """The entry in a folder. Raises DamagedEntryError when it is missing or damaged."""
    try:
        record = Record.model_validate_json((entry / META).read_bytes())
        tiles = {split: _map(entry / f"{split}.npy") for split in SPLITS}
    except (OSError, EOFError, ValueError) as error:
        raise DamagedEntryError(str(error)) from error
    side = config.tile_size
    for split, mapped in tiles.items():
        promised = (len(record.origins.get(split, ())), 3, side, side)
        if record.content_hash != content_hash or mapped.dtype != np.uint8 or mapped.shape != promised:
            raise DamagedEntryError(f"{entry / split}.npy does not match {META}")
    return CacheEntry(config, record, tiles)


def summary(config: DataConfig, content_hash: str, scenes: Sequence[SceneRecord]) -> dict[str, object]:
    """What was cut, as JSON types: scenes, tiles by split, rejections by reason, hash, credit."""
    by_split = {split: sum(getattr(scene, split) for scene in scenes) for split in SPLITS}
    return {
        "source": config.source,
        "mode": config.mode,
        "tile_size": config.tile_size,
        "hash": content_hash,
        "tiles": by_split | {"total": sum(by_split.values())},
        "rejected": {
            "nodata": sum(scene.nodata for scene in scenes),
            "featureless": sum(scene.featureless for scene in scenes),
        },
        "scenes": [scene.model_dump() for scene in scenes],
        "credit": _credit(config.source),
    }


def _own_note(named: set[str]) -> str:
    folders = ", ".join(split for split in SPLITS if split in named)
    missing = "".join(split for split in SPLITS if split not in named)
    shared = {"test": "validation", "validation": "training"}.get(missing)
    return f"splits: by the source's own folders for {folders}" + (
        f"; {missing} gets a part of the images for {shared}" if shared else ""
    )


def _credit(source: str) -> str | None:
    try:
        return find_source(source).credit
    except DataError:
        return None  # the images have gone since the tiles were cut


def _map(path: Path) -> NDArray[np.uint8]:
    # Copy-on-write: torch wants a writable array, and nothing written to it may reach the cache.
    tiles = np.load(path, mmap_mode="c", allow_pickle=False)
    if path.stat().st_size != tiles.offset + tiles.nbytes:
        raise ValueError(f"{path} has the wrong size")
    return tiles  # type: ignore[no-any-return]
