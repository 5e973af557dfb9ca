"""Decode images beside the downloads, in processes of their own where there are several."""

import os
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from types import TracebackType
from typing import Self

from data_io.sentinel2.raster import Converted, RasterError, allow_large_scenes, convert


class Decoder:
    """`raster.convert` for many threads: in `processes` processes, or one at a time in this one for 1."""

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._lock = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None
        allow_large_scenes()

    def convert(
        self, source: Path, suffix: str, folder: Path, name: str, side: int, reduce: int, keep: bool
    ) -> Converted:
        """Raises RasterError, also for a file on which the decoder crashes, and OSError."""
        arguments = (str(source), suffix, str(folder), name, side, reduce, keep)
        if self._processes == 1:
            with self._lock:  # a scene of 10 m takes 150 MB
                return convert(*arguments)
        pool = self._shared()
        try:
            return pool.submit(convert, *arguments).result()
        except (BrokenProcessPool, RuntimeError):
            with self._lock:
                if self._pool is pool:
                    pool.shutdown(wait=False)
                    self._pool = None
        # Another thread's file may have been the one: decide by decoding this one alone.
        with self._lock, _pool(1) as alone:
            try:
                return alone.submit(convert, *arguments).result()
            except BrokenProcessPool as error:
                raise RasterError("the decoder crashed on it, or ran out of memory") from error

    def _shared(self) -> ProcessPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = _pool(self._processes)
            return self._pool

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)


def _pool(processes: int) -> ProcessPoolExecutor:
    # Spawned and not forked: the threads and the connections of this process stay out of it.
    return ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_begin)


def _begin() -> None:
    allow_large_scenes()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent:
        connection.wait([parent.sentinel])
        os._exit(1)
