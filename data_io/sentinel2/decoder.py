"""Decode images while others are downloaded, in processes of their own if there are several."""

import os
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from types import TracebackType
from typing import Self

from data_io.sentinel2.convert import BadImageError, Converted, allow_large_scenes, convert


class Decoder:
    """Runs `convert` for many threads, in `processes` processes; if that is 1, in this one, one at a time."""

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._lock = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None
        allow_large_scenes()

    def convert(self, source: Path, suffix: str, folder: Path, name: str, side: int, keep: bool) -> Converted:
        """Convert one image. Raises BadImageError, also if the decoder crashes on it, and OSError."""
        arguments = (str(source), suffix, str(folder), name, side, keep)
        if self._processes == 1:
            with self._lock:  # decoding a scene of 10 m takes 150 MB
                return convert(*arguments)
        pool = self._shared_pool()
        try:
            return pool.submit(convert, *arguments).result()
        except (BrokenProcessPool, RuntimeError):
            with self._lock:
                if self._pool is pool:
                    pool.shutdown(wait=False)
                    self._pool = None
        # Another thread's file may have crashed the pool: decode this one alone to find out.
        with self._lock, _new_pool(1) as alone:
            try:
                return alone.submit(convert, *arguments).result()
            except BrokenProcessPool as error:
                raise BadImageError("the decoder crashed on it, or ran out of memory") from error

    def _shared_pool(self) -> ProcessPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = _new_pool(self._processes)
            return self._pool

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)


def _new_pool(processes: int) -> ProcessPoolExecutor:
    # Spawned rather than forked, to leave this process's threads and connections behind.
    return ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_initialize)


def _initialize() -> None:
    allow_large_scenes()
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = parent_process()
    if parent:
        connection.wait([parent.sentinel])
        os._exit(1)
