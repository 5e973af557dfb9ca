"""meta.json: what a cache entry says about itself."""

from pydantic import BaseModel, ConfigDict

META = "meta.json"


class SceneRecord(BaseModel):
    """One image: its size in pixels, and how many tiles it gave to what.

    `cut` counts every tile laid over the image: nodata + featureless + train + validation + test.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    place: str
    height: int
    width: int
    blocks: int
    cut: int
    nodata: int
    featureless: int
    train: int
    validation: int
    test: int


class Record(BaseModel):
    """A cache entry. `origins` holds, by split and in the order of the tiles, (scene index, y, x)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    content_hash: str
    tile_size: int
    scenes: tuple[SceneRecord, ...]
    origins: dict[str, list[tuple[int, int, int]]]
