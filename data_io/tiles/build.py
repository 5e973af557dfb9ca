"""Cut a source into the files of a cache entry."""

import json
import logging
import math
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_io.config import DataConfig
from data_io.errors import DataError
from data_io.sources import SourceImage
from data_io.tiles.cut import cut
from data_io.tiles.entry import META, Record, SceneRecord
from data_io.tiles.splits import SPLITS, Unit, assign, place_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Scene:
    image: SourceImage
    place: str
    height: int
    width: int
    aligned: bool
    """Whether all images of the place have this size, so that equal blocks show equal ground."""


def build(
    directory: Path,
    config: DataConfig,
    images: Sequence[SourceImage],
    digests: Mapping[str, str],
    content_hash: str,
) -> None:
    """Write train.npy, validation.npy, test.npy (n, 3, tile_size, tile_size) uint8 and meta.json.

    directory: exists and is empty. Each image is decoded once, a large one in strips. The tiles are first
    collected in one file on disk, so that sources larger than memory can be cut.

    Raises DataError for an unusable image or too few tiles, and OSError when `directory` cannot be written.
    """
    scenes = _survey(images, digests, config)
    pile = directory / "pile"
    units: list[Unit] = []  # one for each kept tile, in the order of the pile
    origins: list[tuple[int, int, int]] = []
    counts: list[Counter[str]] = []
    with pile.open("wb") as file:
        for index, scene in enumerate(scenes):
            log.info("cutting %s (%d of %d)", scene.image.name, index + 1, len(scenes))
            count: Counter[str] = Counter()
            with closing(scene.image.open()) as image:
                for part in cut(image, config):
                    file.write(part.tiles.tobytes())
                    block = (part.row, part.column) if scene.aligned else (0, 0)
                    units += [Unit(scene.place, *block)] * len(part.origins)
                    origins += [(index, y, x) for y, x in part.origins]
                    count += Counter(
                        blocks=1,
                        cut=len(part.origins) + part.nodata + part.featureless,
                        nodata=part.nodata,
                        featureless=part.featureless,
                    )
            counts.append(count)
    if not units:
        raise DataError(_no_tile_message(config, counts))
    split_of = assign(Counter(units), config)
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
        scenes=tuple(_record(scene, count) for scene, count in zip(scenes, counts, strict=True)),
        origins={split: [origins[tile] for tile in members[split]] for split in SPLITS},
    )
    _write_synced(directory / META, json.dumps(record.model_dump()).encode())


def _survey(images: Sequence[SourceImage], digests: Mapping[str, str], config: DataConfig) -> list[_Scene]:
    """Read every size first, so that a mistake shows before minutes of cutting."""
    place_by_digest: dict[str, str] = {}
    sizes: dict[str, tuple[int, int]] = {}
    places: dict[str, str] = {}
    sizes_at: dict[str, set[tuple[int, int]]] = defaultdict(set)
    for image in images:
        size = image.size()
        if config.mode == "tile" and min(size) < config.tile_size:
            raise DataError(
                f"{image} is {size[1]} x {size[0]} pixels, smaller than a tile of {config.tile_size}: "
                "use mode resize or a smaller tile_size, or take it out of the source"
            )
        # A copy of an image under another name shows the same ground.
        place = place_by_digest.setdefault(digests[image.name], place_of(image.name))
        sizes[image.name], places[image.name] = size, place
        sizes_at[place].add(size)
    return [
        _Scene(
            image=image,
            place=places[image.name],
            height=sizes[image.name][0],
            width=sizes[image.name][1],
            aligned=len(sizes_at[places[image.name]]) == 1,
        )
        for image in images
    ]


def _record(scene: _Scene, count: Counter[str]) -> SceneRecord:
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


def _no_tile_message(config: DataConfig, counts: Sequence[Counter[str]]) -> str:
    total = sum(counts, Counter[str]())
    return (
        f"{config.source} gives no usable tile: of {total['cut']}, {total['nodata']} have more nodata than "
        f"max_nodata_fraction {config.max_nodata_fraction:g} and {total['featureless']} are below min_std "
        f"{config.min_std:g}; change these, or use other images"
    )
