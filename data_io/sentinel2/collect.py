"""Fetch the image of one acquisition into the folder, and record what became of its scenes.

An acquisition is one overpass of a square; the bucket may hold several scenes of it, processed at different
times. Candidates are those of its scenes that can be used, the newest processing first.
"""

import errno
import os
import threading
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock

from data_io.sentinel2.catalogue import Catalogue
from data_io.sentinel2.config import FetchConfig
from data_io.sentinel2.convert import BadImageError
from data_io.sentinel2.download import CorruptError, StoppedError
from data_io.sentinel2.failures import StoreError
from data_io.sentinel2.images import Images
from data_io.sentinel2.manifest import WORK, Decision, Entry, Manifest
from data_io.sentinel2.selection import Candidate, entry_of, rejection

LOCKS = 256
"""Number of lock files in a folder; a scene's name decides which one it takes."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


@dataclass
class Collected:
    """What became of an acquisition. failures: a sentence for each. downloaded: images that were fetched."""

    entries: list[Entry] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    downloaded: int = 0


@dataclass(frozen=True)
class Collector:
    """Settles acquisitions, in many threads at once."""

    config: FetchConfig
    catalogue: Catalogue
    images: Images
    manifest: Manifest
    stop: threading.Event

    @property
    def folder(self) -> Path:
        return self.config.out

    def file_of(self, candidate: Candidate) -> str:
        """The name of a scene's image in the folder."""
        return candidate.scene.name + self.images.suffix

    def has(self, candidate: Candidate, entry: Entry | None) -> bool:
        """Whether the folder has the image that the bucket has now."""
        image = candidate.scene.image
        if (
            not entry
            or not image
            or entry.decision != "kept"
            or image.etag not in (entry.etag, entry.product)
        ):
            return False
        path = self.folder / self.file_of(candidate)
        try:
            return entry.file == path.name and path.stat().st_size == entry.file_bytes
        except OSError:
            return False

    def decide(self, candidates: list[Candidate], known: Mapping[str, Entry]) -> list[Entry]:
        """The entries of an acquisition that needs no download, as its image is there or is not wanted.

        An image fetched by an earlier call with higher limits stays, and stays recorded as kept.
        """
        first = candidates[0]
        entry = known.get(first.scene.name)
        if not entry or not self.has(first, entry):
            rejected = self._rejection(first)
            assert rejected
            entry = self._entry(first, *rejected)
        rest = [self._duplicate(candidate, first) for candidate in candidates[1:]]
        return [entry, *rest]

    def settle(self, candidates: list[Candidate]) -> Collected:
        """Fetch the first sound image among an acquisition's candidates, and record an entry for each one.

        A failure becomes a sentence in the result. The only exception raised is StoppedError.
        """
        result = Collected()
        chosen: Candidate | None = None
        for candidate in candidates:
            if chosen:
                result.entries.append(self._duplicate(candidate, chosen))
                continue
            rejected = self._rejection(candidate)
            if rejected:
                chosen = candidate
                result.entries.append(self._entry(candidate, *rejected))
                continue
            name = candidate.scene.name
            try:
                entry, downloaded = self._fetch(candidate)
                result.entries.append(entry)
                result.downloaded += downloaded
                chosen = candidate
            except (CorruptError, BadImageError) as error:
                address = self.catalogue.address(candidate.scene.image_key)
                result.failures.append(f"{name}: {address}: {error}")
                result.entries.append(self._entry(candidate, "corrupt", str(error)))
            except (StoreError, OSError) as error:
                message = str(error) if isinstance(error, StoreError) else self._disk_message(error)
                result.failures.append(f"{name}: {message}")
                result.entries.append(self._entry(candidate, "missing", f"not fetched: {message}"))
                chosen = candidate
        try:
            self.manifest.append(entry for entry in result.entries if entry.decision != "kept")
            self._drop_superseded(result.entries)
        except OSError as error:
            result.failures.append(self._disk_message(error))
        return result

    def _fetch(self, candidate: Candidate) -> tuple[Entry, bool]:
        """Fetch a scene's image unless it is there. Returns its entry, and whether it was downloaded now."""
        scene, name = candidate.scene, candidate.scene.name
        assert scene.image
        work = self.folder / WORK
        work.mkdir(parents=True, exist_ok=True)
        final = self.folder / self.file_of(candidate)
        with FileLock(work / f"{zlib.crc32(name.encode()) % LOCKS:02x}.lock"):
            if self.stop.is_set():
                raise StoppedError
            if final.exists():  # another process may have fetched it meanwhile
                entry = self.manifest.entries().get(name)
                if entry and self.has(candidate, entry):
                    return entry, False
            for leftover in work.glob(f"{name}.*.tmp"):
                leftover.unlink(missing_ok=True)
            fetched = self.images.fetch(scene, work)
            Path(fetched.file.path).replace(final)
            _sync(self.folder)
            entry = self._entry(candidate, "kept", f"verified by {fetched.checked}").model_copy(
                update={
                    "etag": fetched.etag,
                    "bytes": fetched.bytes,
                    "sha256": fetched.sha256,
                    "file": final.name,
                    "file_bytes": fetched.file.bytes,
                    "file_sha256": fetched.file.sha256,
                }
            )
            # The download goes last: a process killed before this need not repeat it.
            self.manifest.append([entry])
            fetched.partial.unlink(missing_ok=True)
            return entry, True

    def _drop_superseded(self, entries: list[Entry]) -> None:
        """Once an acquisition has its image, remove those of its other scenes and those in other formats."""
        kept = {entry.file for entry in entries if entry.decision == "kept"}
        if not kept:
            return
        for entry in entries:
            for suffix in (".png", self.catalogue.suffix):
                file = entry.scene + suffix
                if file not in kept:
                    (self.folder / file).unlink(missing_ok=True)

    def _rejection(self, candidate: Candidate) -> tuple[Decision, str] | None:
        return rejection(candidate.judgement, self.config.max_cloud, self.config.max_nodata)

    def _duplicate(self, candidate: Candidate, chosen: Candidate) -> Entry:
        baseline = chosen.judgement.baseline or "unknown"
        reason = f"sensed at the same time as {chosen.scene.name}, whose baseline is {baseline}"
        return self._entry(candidate, "duplicate", reason)

    def _entry(self, candidate: Candidate, decision: Decision, reason: str) -> Entry:
        return entry_of(candidate.scene, self.catalogue, decision, reason, candidate.judgement)

    def _disk_message(self, error: OSError) -> str:
        if error.errno in _FULL:
            self.stop.set()  # every other scene would fail in the same way
            return (
                f"{self.folder} takes no more ({error.strerror}): make room and run the command again, it "
                "continues from there"
            )
        return f"{self.folder} cannot be written ({error.strerror or error}): check its permissions"


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
