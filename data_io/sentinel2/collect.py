"""Bring the image of one acquisition into the folder, and write what became of its scenes."""

import errno
import os
import threading
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock

from data_io.sentinel2.catalogue import Catalogue
from data_io.sentinel2.decoder import Decoder
from data_io.sentinel2.download import CorruptError, StoppedError, download
from data_io.sentinel2.manifest import WORK, Entry, Manifest
from data_io.sentinel2.raster import RasterError
from data_io.sentinel2.s3 import Store, StoreError
from data_io.sentinel2.selection import Candidate, entry_of, rejection

LOCKS = 256
"""Lock files of a folder; a scene's is told by its name."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


@dataclass
class Collected:
    """What became of an acquisition."""

    entries: list[Entry] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    downloaded: int = 0


@dataclass(frozen=True)
class Collector:
    """Settles acquisitions, from many threads. side: pixels of an image, reduced by `reduce` beforehand."""

    store: Store
    catalogue: Catalogue
    manifest: Manifest
    folder: Path
    decoder: Decoder
    resolution: int
    side: int
    reduce: int
    keep: bool
    max_cloud: float
    max_nodata: float
    stop: threading.Event
    received: Callable[[int], None] = lambda count: None

    def file_of(self, candidate: Candidate) -> str:
        """The name of the image of a scene."""
        return candidate.scene.name + (self.catalogue.suffix if self.keep else ".png")

    def has(self, candidate: Candidate, entry: Entry | None) -> bool:
        """The image is in the folder, as the bucket has it now."""
        image = candidate.scene.image
        if not entry or not image or entry.decision != "kept" or entry.etag != image.etag:
            return False
        path = self.folder / self.file_of(candidate)
        try:
            return entry.file == path.name and path.stat().st_size == entry.file_bytes
        except OSError:
            return False

    def decide(self, candidates: list[Candidate], known: Mapping[str, Entry]) -> list[Entry]:
        """The entries of an acquisition that needs no download: its image is there, or not wanted.

        An image that an earlier call brought with laxer limits stays, and stays written as kept.
        """
        first = candidates[0]
        entry = known.get(first.scene.name)
        if not entry or not self.has(first, entry):
            rejected = rejection(first.judgement, self.max_cloud, self.max_nodata)
            assert rejected
            entry = self._entry(first, *rejected)
        rest = [self._duplicate(candidate, first) for candidate in candidates[1:]]
        return [entry, *rest]

    def settle(self, candidates: list[Candidate]) -> Collected:
        """Bring the first of an acquisition's candidates that is sound, and write one entry for each.

        A failure is a sentence in the result and never an exception; only StoppedError is raised.
        """
        result = Collected()
        chosen: Candidate | None = None
        for candidate in candidates:
            if chosen:
                result.entries.append(self._duplicate(candidate, chosen))
                continue
            rejected = rejection(candidate.judgement, self.max_cloud, self.max_nodata)
            if rejected:
                chosen = candidate
                result.entries.append(self._entry(candidate, *rejected))
                continue
            name = candidate.scene.name
            try:
                entry, downloaded = self._bring(candidate)
                result.entries.append(entry)
                result.downloaded += downloaded
                chosen = candidate
            except (CorruptError, RasterError) as error:
                key = candidate.scene.image_key
                result.failures.append(f"{name}: s3://{self.store.bucket}/{key}: {error}")
                result.entries.append(self._entry(candidate, "corrupt", str(error)))
            except (StoreError, OSError) as error:
                told = str(error) if isinstance(error, StoreError) else self._local(error)
                result.failures.append(f"{name}: {told}")
                result.entries.append(self._entry(candidate, "missing", f"not fetched: {told}"))
                chosen = candidate
        try:
            self.manifest.append(entry for entry in result.entries if entry.decision != "kept")
            self._drop_superseded(result.entries)
        except OSError as error:
            result.failures.append(self._local(error))
        return result

    def _bring(self, candidate: Candidate) -> tuple[Entry, bool]:
        """The entry of a scene whose image is in the folder now, and whether this call downloaded it."""
        scene, name = candidate.scene, candidate.scene.name
        assert scene.image
        work = self.folder / WORK
        work.mkdir(parents=True, exist_ok=True)
        final = self.folder / self.file_of(candidate)
        with FileLock(work / f"{zlib.crc32(name.encode()) % LOCKS:02x}.lock"):
            if self.stop.is_set():
                raise StoppedError
            if final.exists():  # another process may have brought it meanwhile
                entry = self.manifest.entries().get(name)
                if entry and self.has(candidate, entry):
                    return entry, False
            for left_over in work.glob(f"{name}.*.tmp"):
                left_over.unlink(missing_ok=True)
            got = download(self.store, scene.image, work, name, self.stop, self.received)
            try:
                converted = self.decoder.convert(
                    got.path, self.catalogue.suffix, work, name, self.side, self.reduce, self.keep
                )
            except RasterError:
                got.path.unlink(missing_ok=True)
                raise
            Path(converted.path).replace(final)
            _sync(self.folder)
            entry = self._entry(candidate, "kept", f"verified by {got.checked}").model_copy(
                update={
                    "etag": got.etag,
                    "bytes": got.bytes,
                    "sha256": got.sha256,
                    "file": final.name,
                    "file_bytes": converted.bytes,
                    "file_sha256": converted.sha256,
                }
            )
            # Last, so that a process killed before finds the whole download and need not repeat it.
            self.manifest.append([entry])
            got.path.unlink(missing_ok=True)
            return entry, True

    def _drop_superseded(self, entries: list[Entry]) -> None:
        """Once an acquisition has its image, remove images of its other scenes and in other formats."""
        kept = {entry.file for entry in entries if entry.decision == "kept"}
        if not kept:
            return
        for entry in entries:
            for suffix in (".png", self.catalogue.suffix):
                file = entry.scene + suffix
                if file not in kept:
                    (self.folder / file).unlink(missing_ok=True)

    def _duplicate(self, candidate: Candidate, chosen: Candidate) -> Entry:
        baseline = chosen.judgement.baseline or "unknown"
        reason = f"sensed at the same time as {chosen.scene.name}, whose baseline is {baseline}"
        return self._entry(candidate, "duplicate", reason)

    def _entry(self, candidate: Candidate, decision: str, reason: str) -> Entry:
        entry = entry_of(candidate.scene, self.catalogue, decision, reason, candidate.judgement)  # type: ignore[arg-type]
        return entry.model_copy(update={"resolution": self.resolution})

    def _local(self, error: OSError) -> str:
        if error.errno in _FULL:
            self.stop.set()  # every other scene would end the same way
            return (
                f"{self.folder} takes no more ({error.strerror}): make room and run the command again, it "
                "goes on from there"
            )
        return f"{self.folder} cannot be written ({error.strerror or error}): check its permissions"


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
