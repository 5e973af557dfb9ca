"""How a scene's image gets from where it is stored into a checked file: whole, or by ranges."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from data_io.sentinel2.catalogue import Scene
from data_io.sentinel2.convert import Converted


@dataclass(frozen=True)
class FetchedImage:
    """An image that has arrived and is sound.

    file: what to rename to the image's final name. etag: of the stored image. bytes: how many of those were
    read. sha256: of the stored image; None if only parts were read. checked: what says that it is sound.
    partial: what to remove once the image is recorded, so that a killed process need not fetch it again.
    """

    file: Converted
    etag: str
    bytes: int
    sha256: str | None
    checked: str
    partial: Path


class Images(Protocol):
    """Fetches images, in many threads at once."""

    suffix: str
    """Suffix of the files it makes."""

    def size(self, scene: Scene) -> tuple[int, int]:
        """How many bytes `fetch` would receive, in how many requests. Raises what `fetch` raises."""

    def partial(self, work: Path, name: str, etag: str) -> Path:
        """The file in which a scene's image arrives."""

    def fetch(self, scene: Scene, work: Path) -> FetchedImage:
        """Fetch a scene's image into the folder `work`, and continue what an earlier call left there.

        Raises StoreError, CorruptError, BadImageError, StoppedError and OSError.
        """
