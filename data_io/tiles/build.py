"""Cut a source into the files of a cache entry."""

import json
import logging
import math
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from data_io.config import DataConfig
from data_io.errors import DataError
from data_io.sources import SourceImage
from data_io.tiles.cut import BlockTiles, cut
from data_io.tiles.digests import LAYOUT, Facts
from data_io.tiles.entry import META, Record, SceneRecord
from data_io.tiles.ground import own_splits
from data_io.tiles.splits import SPLITS, Unit, assign, assign_own
from data_io.tiles.stretch import open_image, resolve
from data_io.tiles.survey import Bad, Scene, survey

log = logging.getLogger(__name__)


def build(
    directory: Path,
    config: DataConfig,
    images: Sequence[SourceImage],
    facts: Mapping[str, Facts],
    content_hash: str,
) -> None:
    """Write train.npy, validation.npy, test.npy (n, 3, tile_size, tile_size) uint8 and meta.json.

    directory: exists and is empty. Each image is decoded once, a large one in strips, and once more where
    percentiles are asked for. The tiles are first collected in one file on disk, so that sources larger than
    memory can be cut.

    Raises DataError for an unusable image (unless bad ones are skipped) or too few tiles, and OSError when
    `directory` cannot be written.
    """
    bad = Bad(config.skip_bad)
    own = own_splits(image.name for image in images)
    scenes = survey(images, facts, config, own, bad)
    pixels = sum(scene.height * scene.width for scene in scenes)
    limits = resolve([scene.image for scene in scenes], pixels, config, bad.allowed)
    pile = directory / "pile"
    units: list[Unit] = []  # one for each kept tile, in the order of the pile
    origins: list[tuple[int, int, int]] = []
    counts: list[Counter[str]] = []
    used: list[Scene] = []
    named: dict[Unit, str] = {}
    with pile.open("wb") as file:
        for index, scene in enumerate(scenes):
            log.info("cutting %s (%d of %d)", scene.image.name, index + 1, len(scenes))
            start = file.tell()
            parts: list[BlockTiles] = []
            if scene.image.name not in bad.reasons:
                with bad.allowed(scene.image), closing(open_image(scene.image, config, limits)) as image:
                    for part in cut(image, config, scene.corner):
                        file.write(part.tiles.tobytes())
                        # A copy, as an empty view would keep the tiles in memory.
                        parts.append(replace(part, tiles=part.tiles[:0].copy()))
            if scene.image.name in bad.reasons:
                file.seek(start)
                file.truncate()
                continue
            count: Counter[str] = Counter()
            for part in parts:
                unit = Unit(scene.unit_place, *((part.row, part.column) if scene.aligned else (0, 0)))
                units += [unit] * len(part.origins)
                origins += [(len(used), y, x) for y, x in part.origins]
                named[unit] = own.get(scene.image.name, "")
                count += Counter(
                    blocks=1,
                    cut=len(part.origins) + part.nodata + part.featureless,
                    nodata=part.nodata,
                    featureless=part.featureless,
                )
            used.append(scene)
            counts.append(count)
    if not units:
        raise DataError(_no_tile_message(config, counts, bad.reasons))
    kept = Counter(units)
    split_of = assign_own(kept, named, config) if own else assign(kept, config)
    members: dict[str, list[int]] = defaultdict(list)
    for tile, unit in enumerate(units):
        split = split_of[unit]
        members[split].append(tile)
        counts[origins[tile][0]][split] += 1
    side = config.tile_size
    for split in SPLITS:
        _write_npy(directory / f"{split}.npy", pile, members[split], (3, side, side))
    pile.unlink()
    record = Record(
        content_hash=content_hash,
        tile_size=side,
        scenes=tuple(_record(scene, count) for scene, count in zip(used, counts, strict=True)),
        origins={split: [origins[tile] for tile in members[split]] for split in SPLITS},
        stretch=limits,
        skipped=bad.reasons,
        layout=LAYOUT,
    )
    _write_synced(directory / META, json.dumps(record.model_dump(exclude_defaults=True)).encode())


def _record(scene: Scene, count: Counter[str]) -> SceneRecord:
    names = ("blocks", "cut", "nodata", "featureless", *SPLITS)
    return SceneRecord(
        name=scene.image.name,
        place=scene.place,
        height=scene.height,
        width=scene.width,
        **{name: count[name] for name in names},
    )


def _write_npy(path: Path, pile: Path, members: Sequence[int], shape: tuple[int, ...]) -> None:
    # Plain reads and writes rather than a memory map: a full disk is then an OSError instead of a bus error,
    # and the pile's pages do not count as this process's memory.
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(members), *shape)}
    size = math.prod(shape)
    with path.open("wb") as file, pile.open("rb") as tiles:
        np.lib.format.write_array_header_1_0(file, header)
        for tile in members:
            tiles.seek(tile * size)
            file.write(tiles.read(size))
        file.flush()
        os.fsync(file.fileno())


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _no_tile_message(config: DataConfig, counts: Sequence[Counter[str]], bad: Mapping[str, str]) -> str:
    total = sum(counts, Counter[str]())
    if not counts and bad:
        return f"{config.source} holds no usable image, but {len(bad)} bad ones: {next(iter(bad.values()))}"
    return (
        f"{config.source} gives no usable tile: of {total['cut']}, {total['nodata']} have more nodata than "
        f"max_nodata_fraction {config.max_nodata_fraction:g} and {total['featureless']} are below min_std "
        f"{config.min_std:g}; change these, or use other images"
    )
