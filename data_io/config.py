"""What to cut, how to split it and how to serve it."""

from difflib import get_close_matches
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

SERVING_FIELDS = frozenset({"source", "flip", "rotate", "memory_share"})
"""Fields that change neither pixels nor splits; for `source`, the images' names and bytes count instead."""

Fraction = Annotated[float, Field(ge=0, le=1)]
SplitFraction = Annotated[float, Field(gt=0, lt=1)]


class DataConfig(BaseModel):
    """How a source becomes tiles.

    source: "sample" for the two bundled scenes, or a path to a folder (searched with its subfolders) or to
        one image; PNG, JPEG, TIFF or JPEG 2000, 8 bits a channel. A folder called sample is "./sample".
    mode: "tile" cuts square tiles at full resolution; "resize" shrinks each whole image to one tile.
    tile_size: side of a tile in pixels.
    stride: pixels between tile origins in a block; None is `tile_size`, smaller gives overlapping crops.
    block_tiles: side of a block in tiles. A block goes whole to one split.
    gap: pixels between blocks that no tile touches.
    max_nodata_fraction: a tile is dropped when more than this share of its pixels is (0, 0, 0).
    min_std: a tile is featureless, and dropped, when the standard deviation of its grey levels (mean of the
        three channels, 0..255) is below this.
    validation_fraction, test_fraction: shares of the kept tiles; train gets the rest.
    split_seed: seeds which blocks go where.
    flip, rotate: for the batches: random mirrorings, random turns by 90 degrees.
    memory_share: a split larger than this share of the machine's memory is memory-mapped, not loaded.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(default="sample", min_length=1)
    mode: Literal["tile", "resize"] = "tile"
    tile_size: int = Field(default=64, ge=8)
    stride: int | None = Field(default=None, ge=1)
    block_tiles: int = Field(default=6, ge=1)
    gap: int = Field(default=16, ge=0)
    max_nodata_fraction: Fraction = 0.01
    min_std: float = Field(default=6.0, ge=0, allow_inf_nan=False)
    validation_fraction: SplitFraction = 0.15
    test_fraction: SplitFraction = 0.15
    split_seed: int = 0
    flip: bool = False
    rotate: bool = False
    memory_share: Fraction = 0.25

    @property
    def tile_stride(self) -> int:
        """Pixels between tile origins, with the default filled in."""
        return self.tile_size if self.stride is None else self.stride

    def fractions(self) -> dict[str, float]:
        """Target share of the kept tiles by split; they sum to 1."""
        held_out = self.validation_fraction + self.test_fraction
        return {"train": 1 - held_out, "validation": self.validation_fraction, "test": self.test_fraction}

    def cut_settings(self) -> dict[str, object]:
        """The settings that decide pixels and splits: with the images, they make the content hash."""
        return self.model_dump(exclude=set(SERVING_FIELDS)) | {"stride": self.tile_stride}

    @model_validator(mode="before")
    @classmethod
    def _name_the_nearest(cls, values: object) -> object:
        if isinstance(values, dict):
            for name in values.keys() - cls.model_fields.keys():
                near = get_close_matches(str(name), cls.model_fields, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(cls.model_fields)}."
                raise ValueError(f"there is no data setting {name!r}; {hint}")
        return values

    @model_validator(mode="after")
    def _leave_some_for_training(self) -> Self:
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("validation_fraction and test_fraction must sum to less than 1")
        return self
