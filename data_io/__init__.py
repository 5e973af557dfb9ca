"""Turn a source of images into a cached, seeded, leak-free set of tiles, and serve them in batches.

`import data_io` loads no heavy library but pydantic; torch, numpy and Pillow are loaded by the first use of
`prepare`, `TileSet` or `BatchLoader`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from data_io.config import DataConfig
from data_io.errors import DataError

if TYPE_CHECKING:
    from data_io.tiles.cache import prepare
    from data_io.tiles.loader import BatchLoader
    from data_io.tiles.tileset import TileSet

__all__ = ["BatchLoader", "DataConfig", "DataError", "TileSet", "prepare"]

_HOMES = {
    "prepare": "data_io.tiles.cache",
    "TileSet": "data_io.tiles.tileset",
    "BatchLoader": "data_io.tiles.loader",
}


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'data_io' has no attribute {name!r}")
