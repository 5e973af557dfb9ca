"""Images read by ranges: from a cloud-optimised GeoTIFF only the overview that fits the wanted resolution."""

import asyncio
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from PIL import Image

from data_io.images.png import PngWriter
from data_io.sentinel2.catalogue import Scene
from data_io.sentinel2.convert import BadImageError, Converted, NewImage
from data_io.sentinel2.decoder import Decoder
from data_io.sentinel2.download import StoppedError, partial_path
from data_io.sentinel2.failures import StoreError
from data_io.sentinel2.images import FetchedImage
from data_io.sentinel2.remote import Remote, RemoteFile

if TYPE_CHECKING:
    from async_geotiff import GeoTIFF, Overview

EXTENT = 109_800
"""Metres along a side of a square."""

HEAD = 1 << 15
"""Bytes read to see how an image is laid out."""

STRIP = 240
"""Least number of rows that are written at once."""

LARGE = 20
"""Up to so many metres per pixel, a strip of an image takes so much memory that few are read at once."""

T = TypeVar("T")


@dataclass(frozen=True)
class Level:
    """What is read of an image. reduce: by how many times it is shrunk. side: pixels of the result."""

    image: "GeoTIFF | Overview"
    reduce: int

    @property
    def side(self) -> int:
        return -(-self.image.width // self.reduce)

    @property
    def rows(self) -> list[tuple[int, int]]:
        """The first and last row of each row of its tiles."""
        height, step = self.image.height, self.image.tile_height
        return [(top, min(top + step, height)) for top in range(0, height, step)]


class RangeImages:
    """GeoTIFFs at http, https and s3 addresses, as PNG with pixels of `resolution` metres.

    side: pixels that a side of the result must have, where it is not a whole scene. keep: instead, store the
    file as it is. processes: how many large images are read at once.
    """

    def __init__(
        self,
        remote: Remote,
        decoder: Decoder,
        resolution: int,
        side: int | None,
        keep: bool,
        processes: int,
        stop: threading.Event,
    ) -> None:
        self.suffix = ".tif" if keep else ".png"
        self._remote, self._decoder, self._stop = remote, decoder, stop
        self._resolution, self._side, self._keep = resolution, side, keep
        self._turns = threading.Semaphore(processes if resolution <= LARGE else 1 << 20)

    def size(self, scene: Scene) -> tuple[int, int]:
        file = self._file(scene)
        level = _run(file, self._level(file))
        if self._keep:
            return file.size, 1 + -(-file.size // (1 << 22))
        tiles = level.image.ifd.tile_byte_counts or []
        return file.bytes + sum(tiles), 1 + len(level.rows)

    def partial(self, work: Path, name: str, etag: str) -> Path:
        return partial_path(work, name, f"{'whole' if self._keep else self._resolution}-{etag}")

    def fetch(self, scene: Scene, work: Path) -> FetchedImage:
        assert scene.image
        with self._turns:
            if self._stop.is_set():
                raise StoppedError
            partial = self.partial(work, scene.name, scene.image.etag)
            file = self._file(scene)
            try:
                if self._keep:
                    return self._keep_whole(file, scene, work, partial)
                level = _run(file, self._level(file))
                self._receive(file, level, partial)
                made = _encode(partial, level, work, scene.name)
            except BadImageError:
                partial.unlink(missing_ok=True)
                raise
        tiles = sum(level.image.ifd.tile_byte_counts or [])
        return FetchedImage(made, scene.image.etag, tiles, None, "the checksum of each tile", partial)

    def _file(self, scene: Scene) -> RemoteFile:
        assert scene.image
        return self._remote.open(scene.image.key)

    async def _level(self, file: RemoteFile) -> Level:
        """The smallest of the stored sizes from which the wanted one can be made. Raises BadImageError."""
        from async_geotiff import GeoTIFF

        tiff = await GeoTIFF.open("", store=file, prefetch=HEAD)
        if tiff.count not in {3, 4} or str(tiff.dtype) != "uint8":
            raise BadImageError(f"it has {tiff.count} bands of {tiff.dtype}, not 3 of uint8")
        if tiff.ifd.tile_byte_counts is None:
            raise BadImageError("it is a GeoTIFF without tiles, of which no part can be read")
        metres = abs(tiff.transform.a)
        factor = round(self._resolution / metres)
        if factor < 1 or abs(factor * metres - self._resolution) > 1e-6:
            raise BadImageError(
                f"its pixels cover {metres:g} m: give a --resolution that is a multiple of that"
            )
        expected = self._side * factor if self._side else round(EXTENT / metres)
        if not tiff.width == tiff.height == expected:
            raise BadImageError(f"it has {tiff.width} x {tiff.height} pixels, not {expected} x {expected}")
        best = Level(tiff, factor)
        for overview in tiff.overviews:
            times = round(tiff.width / overview.width)
            if factor % times == 0 and factor // times < best.reduce:
                best = Level(overview, factor // times)
        return best

    def _receive(self, file: RemoteFile, level: Level, partial: Path) -> None:
        """Append the rows of pixels that `partial` lacks, a row of tiles at a time."""
        width = level.image.width * 3
        have = partial.stat().st_size // width if partial.exists() else 0
        with partial.open("r+b" if partial.exists() else "wb") as out:
            for top, bottom in level.rows:
                if bottom <= have:
                    continue
                if self._stop.is_set():
                    raise StoppedError
                out.seek(top * width)
                out.truncate()
                out.write(_run(file, _strip(level, top, bottom)).tobytes())

    def _keep_whole(self, file: RemoteFile, scene: Scene, work: Path, partial: Path) -> FetchedImage:
        """Download all of the file, continuing where an earlier call ended, and decode it to check it."""
        assert scene.image
        level = _run(file, self._level(file))
        have = partial.stat().st_size if partial.exists() else 0
        with partial.open("ab") as out:
            while have < file.size:
                if self._stop.is_set():
                    raise StoppedError
                have += out.write(_run(file, file.get_range_async(start=have, end=have + (1 << 22))))
        made = self._decoder.convert(partial, ".tif", work, scene.name, level.side, keep=True)
        return FetchedImage(made, scene.image.etag, file.size, made.sha256, "its pixels", partial)


async def _strip(level: Level, top: int, bottom: int) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    """Rows of pixels, (rows, width, 3) uint8."""
    from async_geotiff import Window

    width = level.image.width
    found = await level.image.read(window=Window(col_off=0, row_off=top, width=width, height=bottom - top))
    return np.moveaxis(found.data[:3], 0, -1)


def _run(file: RemoteFile, work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that reads `file`. Raises StoreError and BadImageError."""
    file.error = None
    try:
        return asyncio.run(work)
    except (StoreError, BadImageError):
        raise
    except Exception as error:  # decoders raise all kinds for broken bytes
        if file.error:
            raise file.error from error
        reason = " ".join(str(error).split("Debug source")[0].split())[:120]
        raise BadImageError(f"it is not a readable GeoTIFF ({reason})") from error


def _encode(raw: Path, level: Level, work: Path, name: str) -> Converted:
    """A new PNG in `work` from a file of pixels; synced to disk. Raises OSError."""
    height, width, step = level.image.height, level.image.width, level.reduce
    with NewImage(work, name) as new, raw.open("rb") as pixels:
        png = PngWriter(new.file, -(-height // step), level.side)
        rows = -(-STRIP // step) * step
        for top in range(0, height, rows):
            count = min(rows, height - top)
            strip = np.fromfile(pixels, np.uint8, count * width * 3).reshape(count, width, 3)
            png.write(np.asarray(Image.fromarray(strip).reduce(step)) if step > 1 else strip)
        png.finish()
        return new.finish()
