"""Images that are downloaded whole from a bucket, and then decoded."""

import threading
from collections.abc import Callable
from pathlib import Path

from data_io.sentinel2.catalogue import Scene
from data_io.sentinel2.convert import BadImageError
from data_io.sentinel2.decoder import Decoder
from data_io.sentinel2.download import download, partial_path
from data_io.sentinel2.images import FetchedImage
from data_io.sentinel2.s3 import Store


class WholeImages:
    """Images of `suffix` in a bucket, `side` pixels along each side; `keep` leaves them as they are."""

    def __init__(
        self,
        store: Store,
        decoder: Decoder,
        suffix: str,
        side: int,
        keep: bool,
        stop: threading.Event,
        received: Callable[[int], None],
    ) -> None:
        self.suffix = suffix if keep else ".png"
        self._stored, self._side, self._keep = suffix, side, keep
        self._store, self._decoder, self._stop, self._received = store, decoder, stop, received

    def size(self, scene: Scene) -> tuple[int, int]:
        return (scene.image.size if scene.image else 0), 1

    def partial(self, work: Path, name: str, etag: str) -> Path:
        return partial_path(work, name, etag)

    def fetch(self, scene: Scene, work: Path) -> FetchedImage:
        assert scene.image
        done = download(self._store, scene.image, work, scene.name, self._stop, self._received)
        try:
            file = self._decoder.convert(done.path, self._stored, work, scene.name, self._side, self._keep)
        except BadImageError:
            done.path.unlink(missing_ok=True)
            raise
        return FetchedImage(file, done.etag, done.bytes, done.sha256, done.checked, done.path)
