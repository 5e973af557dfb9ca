"""The settings of the data: what to cut, how to split it, and how to serve it."""

from difflib import get_close_matches
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from data_io.reading import as_text, check_bands, check_stretch, printable

SERVING_FIELDS = frozenset({"source", "include", "exclude", "flip", "rotate", "memory_share"})
"""Fields that change neither pixels nor splits. The images' names and digests stand in for `source`,
`include` and `exclude`."""

READING_FIELDS = ("bands", "stretch", "skip_bad")
"""Later fields; they enter the content hash only when they are set, so that older caches are found."""

Fraction = Annotated[float, Field(ge=0, le=1)]
SplitFraction = Annotated[float, Field(gt=0, lt=1)]
Text = Annotated[str, BeforeValidator(as_text), Field(min_length=1)]
"""Words or numbers separated by commas; a list of them is taken too."""


class DataConfig(BaseModel):
    """How a source becomes tiles.

    source: "sample" for the two bundled scenes, or a path to a folder (searched with its subfolders), one
        image, a .zip or a stack in one .npy. Write "./sample" for a folder of that name. `data_io/sources`
        holds the kinds of sources.
    include, exclude: patterns, separated by commas, of the images that are taken and left out, such as
        `*_TCI_60m.jp2,Forest`; one without a slash may match the file or any of its folders.
    bands: the band to show as grey, or three to show as red, green and blue, separated by commas: numbers
        from 1, or names where the images have them (`B04,B03,B02` of a Sentinel-2 product).
    stretch: what becomes black and white: two percentiles of each band over all images (`2,98`), or two
        values (`0,3000`; with `values:` in front where they could be percentiles). None takes 8 bits as is.
    skip_bad: leave out images that cannot be read, or are smaller than a tile, instead of stopping.
    mode: "tile" cuts square tiles at full resolution; "resize" shrinks each whole image to one tile.
    tile_size: side of a tile in pixels.
    stride: pixels between tile origins in a block; None is `tile_size`, smaller gives overlapping crops.
    block_tiles: side of a block in tiles. All tiles of a block go to the same split.
    gap: pixels between blocks; no tile reaches into them.
    max_nodata_fraction: a tile is dropped if more than this share of its pixels is (0, 0, 0).
    min_std: a tile is featureless, and dropped, if the standard deviation of its grey levels (mean of the
        three channels, 0..255) is below this.
    validation_fraction, test_fraction: shares of the kept tiles; train gets the rest.
    split_seed: seed of the random order in which blocks are assigned to splits.
    flip, rotate: augmentation of the batches by random mirrorings, and by random turns of 90 degrees.
    memory_share: a split larger than this share of the machine's memory is memory-mapped instead of loaded.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Annotated[str, BeforeValidator(printable)] = Field(default="sample", min_length=1)
    include: Text | None = None
    exclude: Text | None = None
    bands: Annotated[Text, AfterValidator(check_bands)] | None = None
    stretch: Annotated[Text, AfterValidator(check_stretch)] | None = None
    skip_bad: bool = False
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
        """The target share of the kept tiles of each split; they sum to 1."""
        held_out = self.validation_fraction + self.test_fraction
        return {"train": 1 - held_out, "validation": self.validation_fraction, "test": self.test_fraction}

    def cut_settings(self) -> dict[str, object]:
        """The settings that decide pixels and splits; together with the images they give the content hash."""
        unset = {name for name in READING_FIELDS if not getattr(self, name)}
        return self.model_dump(exclude={*SERVING_FIELDS, *unset}) | {"stride": self.tile_stride}

    @model_validator(mode="before")
    @classmethod
    def _suggest_nearest_name(cls, values: object) -> object:
        if isinstance(values, dict):
            for name in values.keys() - cls.model_fields.keys():
                near = get_close_matches(str(name), cls.model_fields, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(cls.model_fields)}."
                raise ValueError(f"there is no data setting {name!r}; {hint}")
        return values

    @model_validator(mode="after")
    def _leave_tiles_for_training(self) -> Self:
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("validation_fraction and test_fraction must sum to less than 1")
        return self
