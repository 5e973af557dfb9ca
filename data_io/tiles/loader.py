"""Shuffled batches of tiles, with a position that can be saved and restored."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor


class BatchLoader:
    """Batches of `images`, in an order that the loader's own seeded generator draws for each epoch.

    images: (n, 3, height, width) uint8, n >= 1, on any device; batches come from the same device.
    batch_size: images per batch; if n is smaller, every batch is the whole set.
    flip: mirror each image left to right with probability 1/2, and independently top to bottom.
    rotate: turn each image by 0, 90, 180 or 270 degrees with equal probability; needs square images.
    drop_last: leave out the last batch of an epoch when it is smaller than the others.

    The loader is one stream of batches. `state_dict()` holds the stream's position: `epoch` (whole epochs
    served), `position` (batches served of the current one), `generator` (state of the generator when the
    current epoch was drawn), and the settings that the stream depends on.
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
        self._images = images
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
        self._generator.set_state(self._drawn_from)
        order, *symmetry = self._draw()
        while self._position < len(self):
            chosen = slice(self._position * self._size, (self._position + 1) * self._size)
            parts = [part[chosen] for part in (order, *symmetry)]
            on_cpu = self._images.device.type == "cpu"
            batch = _gather(self._images, *parts) if on_cpu else _gather_on_device(self._images, *parts)
            self._position += 1
            yield batch
        self._epoch += 1
        self._position = 0
        self._drawn_from = self._generator.get_state()

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

    def _draw(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The order and augmentation of a whole epoch, so that one generator state fixes all its batches.

        Four tensors of length n: each image's index, whether to mirror it left to right, then whether to
        mirror it top to bottom, then whether to transpose it. The eight combinations are the symmetries of a
        square.
        """
        count, device = len(self._images), self._images.device
        order = torch.randperm(count, generator=self._generator)
        mirrored, flipped = torch.randint(2, (2, count), generator=self._generator).bool() & self._flip
        turns = torch.randint(4, (count,), generator=self._generator) * self._rotate
        # A turn by 90 degrees is a mirroring left to right and a transposition; one by 180 mirrors both ways.
        mirrored, flipped = mirrored ^ ((turns == 1) | (turns == 2)), flipped ^ (turns >= 2)
        transposed = turns % 2 == 1
        return order.to(device), mirrored.to(device), flipped.to(device), transposed.to(device)


def _gather(images: Tensor, order: Tensor, mirrored: Tensor, flipped: Tensor, transposed: Tensor) -> Tensor:
    """A batch built image by image: one copy each, five times as fast as turning masked parts of a batch."""
    batch = images.new_empty(len(order), *images.shape[1:])
    parts = (part.tolist() for part in (order, mirrored, flipped, transposed))
    for place, (index, mirror, flip, transpose) in enumerate(zip(*parts, strict=True)):
        image = images[index]
        if mirror or flip:
            image = image.flip([2] * mirror + [1] * flip)
        batch[place] = image.transpose(1, 2) if transpose else image
    return batch


def _gather_on_device(
    images: Tensor, order: Tensor, mirrored: Tensor, flipped: Tensor, transposed: Tensor
) -> Tensor:
    """A batch built without indexing by a mask, which would make the host wait for the device."""
    batch = images.index_select(0, order)
    batch = torch.where(mirrored.view(-1, 1, 1, 1), batch.flip(3), batch)
    batch = torch.where(flipped.view(-1, 1, 1, 1), batch.flip(2), batch)
    if images.shape[2] == images.shape[3]:
        batch = torch.where(transposed.view(-1, 1, 1, 1), batch.transpose(2, 3), batch)
    return batch
