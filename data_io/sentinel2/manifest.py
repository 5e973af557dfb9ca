"""manifest.jsonl: what was decided about each scene that a fetch met, one JSON line a scene."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError

MANIFEST = "manifest.jsonl"
WORK = ".fetch"
"""The folder beside the manifest for locks and unfinished files; image listings skip it."""

Decision = Literal["kept", "cloudy", "nodata", "duplicate", "missing", "corrupt"]


class Entry(BaseModel):
    """One scene.

    key, etag: of the image in the bucket; `etag` is None where it was not reached. metadata_etag: of the
    document the percentages come from. bytes, sha256: of the bucket's image, None unless kept.
    file, file_bytes, file_sha256: of the image beside the manifest, the same where it was not converted.
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
    """The manifest of a folder, safe for several processes and threads.

    Lines are appended under a lock and synced, and the last line of a scene counts; a process killed while
    it writes leaves at most a torn last line, which is passed over. `compact` leaves one line a scene.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / MANIFEST
        self._lock_path = folder / WORK / "manifest.lock"

    def entries(self) -> dict[str, Entry]:
        """By scene. Lines that are no entries are passed over. Raises OSError, but not for a missing file."""
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
        """Leave one line a scene, sorted by scene, by replacing the file whole; the entries."""
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
    """What a manifest says, as JSON types: scenes, squares, dates, counts by decision, resolution, source."""
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
