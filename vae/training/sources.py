"""Where the batches of a run come from."""

from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

from torch import Tensor


class BatchSource(Protocol):
    """Seeded, reshuffled batches of uint8 tiles whose position can be saved and restored."""

    @property
    def images(self) -> Tensor:
        """(N, 3, H, W) uint8, all of them."""
        ...

    def __len__(self) -> int:
        """Batches per epoch."""
        ...

    def epoch(self) -> Iterator[Tensor]:
        """(B, 3, H, W) uint8 batches of one epoch, or the rest of it after a restore."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@runtime_checkable
class IndexedSource(BatchSource, Protocol):
    """One that also says what its batches are made from, so that a step on a GPU can make its own."""

    def plan(self) -> Tensor | None:
        """(batches left of the epoch, batch, 4) int64 on the CPU; None if batches are not all of one size.

        Asking takes nothing.
        """
        ...

    def gather(self, images: Tensor, rows: Tensor) -> Tensor:
        """A batch of `images`, on their device, from rows (batch, 4) of a plan there.

        It asks no tensor for its value.
        """
        ...

    def served(self, count: int) -> None:
        """So many more batches of the epoch were taken by the plan."""
        ...

    def end_epoch(self) -> None:
        """Begin the next epoch."""
        ...
