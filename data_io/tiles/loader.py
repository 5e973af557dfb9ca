"""Shuffled batches of tiles, with a position that can be saved and restored."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor

from data_io.tiles.ahead import Ahead


class _Order(NamedTuple):
    """An epoch's rows (`BatchLoader._draw`), and the generator's state after they were drawn."""

    rows: Tensor
    following: Tensor


class BatchLoader:
    """Batches of `images`, in an order that the loader's own seeded generator draws for each epoch.

    images: (n, 3, height, width) uint8, n >= 1, on any device; batches come from the same device.
    batch_size: images per batch; if n is smaller, every batch is the whole set.
    flip: mirror each image left to right with probability 1/2, and independently top to bottom.
    rotate: turn each image by 0, 90, 180 or 270 degrees with equal probability; needs square images.
    drop_last: leave out the last batch of an epoch when it is smaller than the others.
    ahead: a device on which `epoch()` gives its batches, of images in main memory that it has no room for: a
        thread gathers and copies each while the one before is used (`data_io.tiles.ahead`).

    The loader is one stream of batches. `state_dict()` holds the stream's position: `epoch` (whole epochs
    served), `position` (batches served of the current one), `generator` (state of the generator when the
    current epoch was drawn), and the settings that the stream depends on.

    There are two ways to take the batches, which may change at any batch: `epoch()` gives them one by one;
    `plan()` says what they are made from, for a step that makes its own batch by `gather` on the device, and
    `served` counts them.
    """

    def __init__(
        self,
        images: Tensor,
        batch_size: int,
        seed: int,
        *,
        flip: bool = False,
        rotate: bool = False,
        drop_last: bool = True,
        ahead: torch.device | None = None,
    ) -> None:
        if images.dtype != torch.uint8 or images.dim() != 4 or len(images) == 0:
            raise ValueError(
                "images must be uint8 (n, 3, height, width) with n >= 1, "
                f"not {images.dtype} {tuple(images.shape)}"
            )
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        if rotate and images.shape[2] != images.shape[3]:
            raise ValueError(f"rotate needs square images, not {images.shape[2]} x {images.shape[3]}")
        if ahead and images.device.type != "cpu":
            raise ValueError(f"ahead={ahead} is for images in main memory: these are on {images.device}")
        self._images, self._ahead = images, ahead
        self._settings = {
            "images": len(images),
            "batch_size": batch_size,
            "flip": flip,
            "rotate": rotate,
            "drop_last": drop_last,
        }
        self._size = min(batch_size, len(images))
        self._flip, self._rotate, self._drop_last = flip, rotate, drop_last
        self._epoch = 0
        self._position = 0
        self._generator = torch.Generator().manual_seed(seed)
        self._drawn_from = self._generator.get_state()
        self._order: _Order | None = None

    @property
    def images(self) -> Tensor:
        """All images, (n, 3, height, width) uint8, in their own order."""
        return self._images

    def __len__(self) -> int:
        """Batches an epoch, at least 1."""
        whole, rest = divmod(len(self._images), self._size)
        return whole if self._drop_last or not rest else whole + 1

    def epoch(self) -> Iterator[Tensor]:
        """The batches left of the current epoch, (b, 3, height, width) uint8.

        These are all of them, unless the epoch was interrupted or a state restored: then the next batch is
        the one after the last that was served. A state taken after an epoch's last batch, before the iterator
        ended, continues with no batch and the end of that epoch. Use one iterator at a time.
        """
        epoch, size = self._epoch, self._size
        rows = torch.split(self._drawn().rows[: len(self) * size].to(self._images.device), size)
        with self._maker() as batch_of:
            while self._epoch == epoch and self._position < len(self):
                batch = batch_of(*rows[self._position : self._position + 2])
                self._position += 1
                yield batch
        if self._epoch == epoch:
            self.end_epoch()

    def plan(self) -> Tensor | None:
        """What `gather` makes each batch left of the current epoch from.

        (batches, batch, 4) int64 on the CPU: an image's index, then 0 or 1 for mirrored, flipped and
        transposed, in that order. None if the batches of an epoch are not all of one size. Asking changes
        nothing: tell with `served` how many of them were taken, and with `end_epoch` that the epoch is over.
        """
        if not self._drop_last and len(self._images) % self._size:
            return None
        rows = self._drawn().rows[: len(self) * self._size]
        return rows.view(len(self), self._size, 4)[self._position :]

    @staticmethod
    def gather(images: Tensor, rows: Tensor) -> Tensor:
        """A batch (b, 3, height, width) of `images` (n, 3, height, width), on their device.

        rows: (b, 4) int64 on the same device, of a `plan`. Nothing is read on the host and no shape depends
        on a value, so that it can be part of a CUDA graph.
        """
        batch = images.index_select(0, rows[:, 0])
        mirrored, flipped, transposed = rows[:, 1:].bool().T[..., None, None, None]
        batch = torch.where(mirrored, batch.flip(3), batch)
        batch = torch.where(flipped, batch.flip(2), batch)
        if images.shape[2] == images.shape[3]:
            batch = torch.where(transposed, batch.transpose(2, 3), batch)
        return batch

    def served(self, count: int) -> None:
        """`count` more batches of the current epoch were taken by `plan`.

        Raises ValueError if the epoch has fewer left.
        """
        if not 0 <= count <= len(self) - self._position:
            raise ValueError(f"{count} batches were served where {len(self) - self._position} are left")
        self._position += count

    def state_dict(self) -> dict[str, Any]:
        """The position in the stream: ints, bools and one tensor."""
        return {
            "epoch": self._epoch,
            "position": self._position,
            "generator": self._drawn_from.clone(),
            **self._settings,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state` was taken. Raises ValueError if it belongs to other data or settings."""
        for name, value in self._settings.items():
            if state.get(name) != value:
                raise ValueError(
                    f"the saved position was taken with {name} {state.get(name)}, but this loader has "
                    f"{value}: resume with the same data and settings"
                )
        if not 0 <= state["position"] <= len(self) or state["epoch"] < 0:
            raise ValueError(f"the saved position, batch {state['position']} of {len(self)}, does not exist")
        self._epoch, self._position = state["epoch"], state["position"]
        self._drawn_from = state["generator"].clone()
        self._order = None

    def _maker(self) -> AbstractContextManager[Callable[..., Tensor]]:
        """A function of a batch's rows, and of those of the batch after it, if there is one."""
        if self._ahead is not None:
            return Ahead(self._images, self._ahead, _gather_one_by_one)
        gather = _gather_one_by_one if self._images.device.type == "cpu" else self.gather
        return nullcontext(lambda rows, *following: gather(self._images, rows))

    def end_epoch(self) -> None:
        """Begin the next epoch, whatever is left of this one."""
        following = self._drawn().following
        self._epoch, self._position = self._epoch + 1, 0
        self._drawn_from, self._order = following, None

    def _drawn(self) -> _Order:
        """The current epoch's order, drawn once."""
        if self._order is None:
            self._generator.set_state(self._drawn_from)
            self._order = _Order(self._draw(), self._generator.get_state())
        return self._order

    def _draw(self) -> Tensor:
        """The order and augmentation of a whole epoch, so that one generator state fixes all its batches.

        (n, 4) int64: each image's index, whether to mirror it left to right, then whether to mirror it top to
        bottom, then whether to transpose it. The eight combinations are the symmetries of a square.
        """
        count = len(self._images)
        order = torch.randperm(count, generator=self._generator)
        mirrored, flipped = torch.randint(2, (2, count), generator=self._generator).bool() & self._flip
        turns = torch.randint(4, (count,), generator=self._generator) * self._rotate
        # A turn by 90 degrees is a mirroring left to right and a transposition; one by 180 mirrors both ways.
        mirrored, flipped = mirrored ^ ((turns == 1) | (turns == 2)), flipped ^ (turns >= 2)
        return torch.stack([order, mirrored, flipped, turns % 2], 1)


def _gather_one_by_one(images: Tensor, rows: Tensor, out: Tensor | None = None) -> Tensor:
    """`BatchLoader.gather`, image by image: on a CPU five times as fast as turning whole batches."""
    batch = images.new_empty(len(rows), *images.shape[1:]) if out is None else out
    for place, (index, mirror, flip, transpose) in enumerate(rows.tolist()):
        image = images[index]
        if mirror or flip:
            image = image.flip([2] * mirror + [1] * flip)
        batch[place] = image.transpose(1, 2) if transpose else image
    return batch
