"""Tiles on the device that trains on them, one copy for all the trials of a process."""

from collections.abc import Callable
from dataclasses import replace
from threading import Lock
from weakref import WeakKeyDictionary

import torch

from data_io.tiles.splits import SPLITS
from data_io.tiles.tileset import TileSet

SHARE = 0.25
"""The part of a device's free memory that the tiles of one process may take; the rest is for training."""

Copies = dict[torch.device, TileSet]
_copies: WeakKeyDictionary[TileSet, Copies] = WeakKeyDictionary()
_lock = Lock()


def fits(wanted: int, held: int, free: int) -> bool:
    """Whether `wanted` bytes of tiles may join the `held` ones, where `free` bytes are left beside those."""
    return wanted + held <= SHARE * (free + held)


def free_memory(device: torch.device) -> int:
    """Bytes of a CUDA device that nobody has taken, in this process or another."""
    return torch.cuda.mem_get_info(device)[0]


def resident(
    tiles: TileSet, device: torch.device, free: Callable[[torch.device], int] = free_memory
) -> TileSet | None:
    """The same tiles with all splits on `device`, as uint8; None if they do not fit there (`SHARE`).

    On a CPU these are `tiles` themselves. Elsewhere all who ask with one `TileSet`, in any thread, share one
    copy, which is complete when it is returned and is freed with `tiles`: keep hold of `tiles` until the last
    result that was computed from the copy has been read.
    """
    if device.type == "cpu":
        return tiles
    device = torch.empty(0, device=device).device  # "cuda" with its number
    with _lock:
        copies = _copies.setdefault(tiles, {})
        if device not in copies:
            held = sum(size_of(others[device]) for others in _copies.values() if device in others)
            if not fits(size_of(tiles), held, free(device)):
                return None
            copies[device] = _copy(tiles, device)
        return copies[device]


def size_of(tiles: TileSet) -> int:
    """Bytes of all splits."""
    return sum(getattr(tiles, split).nbytes for split in SPLITS)


def _copy(tiles: TileSet, device: torch.device) -> TileSet:
    copy = replace(tiles, **{split: getattr(tiles, split).to(device) for split in SPLITS})
    if device.type == "cuda":
        # Other streams read the copy too. The whole device must not be waited for: a thread may be capturing.
        torch.cuda.current_stream(device).synchronize()
    return copy
