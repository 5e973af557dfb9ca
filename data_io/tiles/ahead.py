"""Batches made one ahead of their use, in a thread, and copied to a device while it computes."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from types import TracebackType

import torch
from torch import Tensor


class Ahead(AbstractContextManager[Callable[..., Tensor]]):
    """Makes batches of `images`, which lie in main memory, for `device`; a context that
    gives `take`, and whose thread ends with it.

    gather: (images, rows, out) -> out, the batch (b, 3, height, width) uint8 of rows (b, 4).

    On CUDA a batch is gathered into pinned memory and copied on a stream of its own; on a CPU both steps are
    ordinary copies.
    """

    def __init__(
        self, images: Tensor, device: torch.device, gather: Callable[[Tensor, Tensor, Tensor], Tensor]
    ) -> None:
        self._images, self._device, self._gather = images, device, gather
        self._stream: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._buffer: Tensor | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batch ahead")
        self._pending: tuple[Tensor, Future[Tensor]] | None = None

    def take(self, rows: Tensor, following: Tensor | None = None) -> Tensor:
        """The batch of `rows`, on the device; that of the `following` rows is begun.

        What was begun for other rows than are asked for now is thrown away. Raises what gathering raised.
        """
        begun, self._pending = self._pending, None
        future = begun[1] if begun and torch.equal(begun[0], rows) else self._thread.submit(self._make, rows)
        batch = future.result()
        if following is not None:
            self._pending = following, self._thread.submit(self._make, following)
        if self._stream is not None:
            # Its memory belongs to the other stream, which would take it back while this one still reads.
            batch.record_stream(torch.cuda.current_stream(self._device))
        return batch

    def _make(self, rows: Tensor) -> Tensor:
        """In the thread: one batch at a time, so that one buffer is enough."""
        if self._buffer is None or len(self._buffer) < len(rows):
            shape = (len(rows), *self._images.shape[1:])
            self._buffer = torch.empty(shape, dtype=torch.uint8, pin_memory=self._stream is not None)
        batch = self._gather(self._images, rows, self._buffer[: len(rows)])
        if self._stream is None:
            return batch.to(self._device, copy=True)
        with torch.cuda.stream(self._stream):
            batch = batch.to(self._device, non_blocking=True, copy=True)
        self._stream.synchronize()
        return batch

    def __enter__(self) -> Callable[..., Tensor]:
        return self.take

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)
