"""manifest.jsonl: what was decided about each scene that a fetch found, one line of JSON per scene."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError

MANIFEST = "manifest.jsonl"
WORK = ".fetch"
"""The folder beside the manifest for locks and unfinished files, none of which has an image's suffix."""

Decision = Literal["kept", "cloudy", "nodata", "duplicate", "missing", "corrupt"]


class Entry(BaseModel):
    """One scene.

    key, etag: of the image in the bucket; `etag` is None if the image was not reached.
    metadata_etag: of the document that holds the percentages.
    bytes, sha256: of the image in the bucket; None unless the scene was kept.
    file, file_bytes, file_sha256: of the image beside the manifest, which may have been converted.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    scene: str
    source: str
    resolution: int
    key: str
    decision: Decision
    reason: str
    etag: str | None = None
    metadata_etag: str | None = None
    sensing_time: str | None = None
    baseline: str | None = None
    product: str | None = None
    cloud_percent: float | None = None
    nodata_percent: float | None = None
    bytes: int | None = None
    sha256: str | None = None
    file: str | None = None
    file_bytes: int | None = None
    file_sha256: str | None = None


class Manifest:
    """The manifest of a folder, which several processes and threads may use at once.

    Lines are appended under a lock and synced to disk; of several lines about a scene the last one counts. A
    process killed while writing leaves at most a torn last line, which readers skip. `compact` leaves one
    line per scene.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / MANIFEST
        self._lock_path = folder / WORK / "manifest.lock"

    def entries(self) -> dict[str, Entry]:
        """The entries by scene, without unreadable lines; none if the file is missing. Raises OSError."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return {}
        found = {}
        for line in content.splitlines():
            try:
                entry = Entry.model_validate_json(line)
            except ValidationError:
                continue
            found[entry.scene] = entry
        return found

    def append(self, entries: Iterable[Entry]) -> None:
        """Add or replace the lines of these scenes. Raises OSError."""
        lines = "".join(entry.model_dump_json() + "\n" for entry in entries).encode()
        if not lines:
            return
        with self._locked(), self.path.open("a+b") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                lines = lines if file.read() == b"\n" else b"\n" + lines  # after a torn line
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())

    def compact(self) -> dict[str, Entry]:
        """Replace the file by one with a single line per scene, sorted by scene. Returns the entries."""
        with self._locked():
            entries = self.entries()
            content = b"".join(entries[scene].model_dump_json().encode() + b"\n" for scene in sorted(entries))
            if self.path.exists() and self.path.read_bytes() != content:
                temporary = self._lock_path.with_name("manifest.tmp")
                with temporary.open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(self.path)
        return entries

    def _locked(self) -> FileLock:
        self._lock_path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(self._lock_path)


def summary(entries: Mapping[str, Entry]) -> dict[str, object]:
    """What a manifest says as a whole, as JSON types: counts by decision, squares, dates, credit, ..."""
    decisions = Counter(entry.decision for entry in entries.values())
    kept = [entry for entry in entries.values() if entry.decision == "kept"]
    days = sorted((entry.sensing_time or "")[:10] for entry in kept)
    return {
        "scenes": len(entries),
        "decisions": dict(sorted(decisions.items())),
        "squares": len({entry.scene.split("_")[0] for entry in kept}),
        "first": days[0] if days else None,
        "last": days[-1] if days else None,
        "bytes": sum(entry.bytes or 0 for entry in kept),
        "sources": sorted({entry.source for entry in kept}),
        "resolutions": sorted({entry.resolution for entry in kept}),
        "credit": _credit(days),
    }


def _credit(days: list[str]) -> str | None:
    years = sorted({day[:4] for day in days if day})
    if not years:
        return None
    span = years[0] if len(years) == 1 else f"{years[0]}-{years[-1]}"
    return f"Contains modified Copernicus Sentinel data ({span})"
