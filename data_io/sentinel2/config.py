"""The settings of a fetch: which scenes, how, and where to."""

import os
import re
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from data_io.sentinel2.access import Access
from data_io.sentinel2.l2a import SIDES
from data_io.sentinel2.squares import Square
from data_io.sentinel2.stac import COLLECTIONS, EARTH_SEARCH, StacAccess


class FetchConfig(BaseModel):
    """What to fetch, how and where to.

    first, last: days of sensing, both included.
    max_cloud, max_nodata: per cent; a scene at the limit passes.
    resolution: metres that a pixel covers; a multiple of 10, for l2a one of 60, 20 and 10.
    stac, collections: the STAC API of `cogs` and its collections, if not Earth Search and its two.
    limit: how many scenes to have in the end. threads: requests at once. processes: decoders at once.
    keep_jp2: keep the bucket's files instead of converting them to PNG.
    again: try scenes again that an earlier fetch found corrupt.
    side: pixels along a side that an image must have, where it is not a whole scene.
    attempts, connect_timeout, read_timeout: of one request; timeouts in seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    squares: tuple[Square, ...] = Field(min_length=1)
    first: date
    last: date
    out: Path
    max_cloud: float = Field(default=5, ge=0, le=100, allow_inf_nan=False)
    max_nodata: float = Field(default=5, ge=0, le=100, allow_inf_nan=False)
    resolution: int = Field(default=60, ge=10, le=1280, multiple_of=10)
    source: Literal["l2a", "cogs"] = "l2a"
    stac: str | None = None
    collections: tuple[str, ...] = ()
    limit: int | None = Field(default=None, ge=1)
    threads: int = Field(default=16, ge=1, le=256)
    processes: int = Field(default_factory=lambda: min(4, os.cpu_count() or 1), ge=1, le=256)
    keep_jp2: bool = False
    again: bool = False
    dry_run: bool = False
    requester_pays: bool = False
    unsigned: bool = False
    endpoint_url: str | None = None
    profile: str | None = None
    side: int | None = Field(default=None, ge=1)
    attempts: int = Field(default=6, ge=1, le=100)
    connect_timeout: float = Field(default=10, gt=0)
    read_timeout: float = Field(default=30, gt=0)

    @field_validator("first", "last", mode="before")
    @classmethod
    def _parse_date(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, str):
            try:
                return date.fromisoformat(value)
            except ValueError as error:
                raise ValueError("give a date such as 2022-05-01") from error
        return value

    @model_validator(mode="after")
    def _refuse_contradictions(self) -> Self:
        if self.first > self.last:
            raise ValueError(
                f"--from {self.first} is after --to {self.last}: give an earlier --from or a later --to"
            )
        if self.requester_pays and self.unsigned:
            raise ValueError("--requester-pays and --unsigned exclude each other: give one of them")
        if self.source == "l2a" and (self.stac or self.collections):
            raise ValueError("--stac and --collection are for --source cogs: leave out --source l2a")
        if self.source == "l2a" and self.resolution not in SIDES:
            raise ValueError(
                f"--resolution {self.resolution} is not one of --source l2a, which has 60, 20 and 10: give "
                "one of these, or --source cogs"
            )
        if self.stac and not self.collections:
            raise ValueError(f"--stac {self.stac} needs --collection NAME, once for each to be searched")
        if self.stac and not re.fullmatch(r"https?://[^/@\s]+(/\S*)?", self.stac):
            raise ValueError(
                "--stac is not an http:// or https:// address without a password: give that of a STAC API"
            )
        if self.source == "cogs" and self.keep_jp2 and self.resolution != 10:
            raise ValueError(
                "--source cogs has 10 m images only: give --resolution 10, or leave out --keep-jp2"
            )
        return self

    def stac_access(self) -> StacAccess:
        """How to reach the STAC API."""
        return StacAccess(
            url=self.stac or EARTH_SEARCH,
            collections=self.collections or COLLECTIONS,
            **self.model_dump(include={"attempts", "connect_timeout", "read_timeout"}),
        )

    def access(self, region: str) -> Access:
        """How to reach a bucket in a region."""
        names = {field.name for field in fields(Access)}
        return Access(region=region, **self.model_dump(include=names))
