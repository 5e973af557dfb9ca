"""Bands and stretches are read from texts and lists; what cannot be meant is refused."""

import os
from typing import Any

import pytest
from pydantic import ValidationError

from data_io import DataConfig, DataError
from data_io.reading import Stretch, parse_bands, parse_stretch, printable


@pytest.mark.parametrize("given", ["4,3,2", " 4, 3 ,2", [4, 3, 2], (4, 3, 2), ["4", "3", "2"]])
def test_a_list_and_a_text_say_the_same(given: Any) -> None:
    config = DataConfig(bands=given)
    assert config.bands == "4,3,2"
    assert parse_bands(config.bands) == (4, 3, 2)
    assert DataConfig.model_validate_json(config.model_dump_json()) == config


def test_one_band_and_names() -> None:
    assert parse_bands(DataConfig(bands=5).bands) == (5,)  # type: ignore[arg-type]
    assert parse_bands("B04,B03,8") == ("B04", "B03", 8)
    assert parse_bands(None) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2,98", Stretch(2, 98, True)),
        ("0,100", Stretch(0, 100, True)),
        ("0,3000", Stretch(0, 3000, False)),
        ("0,101", Stretch(0, 101, False)),
        ("0,1", Stretch(0, 1, False)),  # reflectance; no one means the first percentile as white
        ("0,0.3", Stretch(0, 0.3, False)),
        ("-25,0", Stretch(-25, 0, False)),
        ("values:0,50", Stretch(0, 50, False)),
        ([2, 98], Stretch(2, 98, True)),
        ("1e2, 1e3", Stretch(100, 1000, False)),
    ],
)
def test_two_numbers_are_percentiles_where_they_can_be(text: Any, expected: Stretch) -> None:
    assert parse_stretch(DataConfig(stretch=text).stretch) == expected


@pytest.mark.parametrize(
    "bad",
    [
        *({"bands": value} for value in ("", "1,2", "1,2,3,4", "0,1,2", "-1", "1,,3", True)),
        *({"stretch": value} for value in ("", "2", "98,2", "2,2", "a,b", "0,inf", "nan,1", "1,2,3")),
    ],
)
def test_what_cannot_be_meant_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DataConfig.model_validate(bad)


@pytest.mark.parametrize("field", ["bands", "stretch", "skip_bad"])
def test_the_hash_knows_later_settings_only_when_they_are_set(field: str) -> None:
    assert field not in DataConfig().cut_settings()
    assert field in DataConfig(bands="1", stretch="2,98", skip_bad=True).cut_settings()
    assert not {"include", "exclude"} & DataConfig(include="a", exclude="b").cut_settings().keys()


def test_bytes_that_are_no_text_are_written_so_that_they_can_be_stored() -> None:
    name = os.fsdecode(b"caf\xe9")
    assert printable(name) == r"caf\xe9"
    assert printable("café") == "café"
    assert str(DataError(f"{name} is bad")) == r"caf\xe9 is bad"
    assert DataConfig(source=name).source == r"caf\xe9"
