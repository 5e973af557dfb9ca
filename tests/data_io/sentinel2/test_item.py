"""Items of several catalogues say the same things in other words, and what is no item does no harm."""

from datetime import date
from typing import Any

import pytest
from stac_api import item

from data_io.sentinel2.item import Item
from data_io.sentinel2.metadata import MetadataError

PRODUCT = "S2B_MSIL2A_20230416T075609_N0509_R035_T05QKB_20230416T101417"


def words(**changes: Any) -> dict[str, Any]:
    """An item whose name is its product's, as some catalogues have it."""
    usual = {"datetime": "2023-04-16T07:56:09.024Z", "eo:cloud_cover": 3, "s2:nodata_pixel_percentage": 0}
    href = "https://a.example.com/b/TCI_10m.tif"
    return {
        "id": PRODUCT,
        "collection": "c",
        "properties": usual,
        "assets": {"TCI_10m": {"href": href}},
    } | changes


@pytest.mark.parametrize("collection", ["sentinel-2-l2a", "sentinel-2-c1-l2a"])
def test_both_collections_of_earth_search_name_the_same_product(collection: str) -> None:
    found = Item.of(item("https://a/TCI.tif", collection=collection, square="05QKB", satellite="S2B"))
    assert found.product == "S2B_MSIL2A_20220501T103621_N0400_R008_T05QKB_20220501T163100"
    assert (found.square, found.satellite, found.day) == ("05QKB", "S2B", date(2022, 5, 1))
    assert found.number == ("0" if collection == "sentinel-2-l2a" else "104619")
    assert found.image == "https://a/TCI.tif"


def test_the_name_of_a_product_says_what_properties_do_not() -> None:
    found = Item.of(words())
    assert (found.product, found.square, found.satellite) == (PRODUCT, "05QKB", "S2B")
    assert found.number == "20230416101417"
    assert found.judgement().baseline == "05.09"
    assert found.image == "https://a.example.com/b/TCI_10m.tif"


def test_an_address_may_be_relative_to_the_item() -> None:
    own = [{"rel": "self", "href": "https://a.example.com/items/x.json"}]
    found = Item.of(words(assets={"visual": {"href": "../images/TCI.tif"}}, links=own))
    assert found.image == "https://a.example.com/images/TCI.tif"


@pytest.mark.parametrize(
    "assets",
    [
        {},
        [],
        {"visual": "x"},
        {"visual": {"href": 5}},
        {"visual": {"href": "https://a/b.jp2", "type": "image/jp2"}},
    ],
)
def test_what_is_no_geotiff_is_no_image(assets: object) -> None:
    assert Item.of(words(assets=assets)).image is None


@pytest.mark.parametrize(
    "document", [{}, {"properties": None}, {"id": 5, "properties": [], "links": {}, "assets": 1}]
)
def test_what_is_no_item_says_nothing(document: dict[str, Any]) -> None:
    found = Item.of(document)
    assert (found.square, found.day, found.product, found.image) == (None, None, "", None)
    with pytest.raises(MetadataError, match="no datetime"):
        found.judgement()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("datetime", "yesterday"),
        ("eo:cloud_cover", "5"),
        ("eo:cloud_cover", True),
        ("eo:cloud_cover", 101),
        ("s2:nodata_pixel_percentage", None),
        ("s2:nodata_pixel_percentage", float("nan")),
        ("s2:nodata_pixel_percentage", -1),
    ],
)
def test_a_value_that_is_none_is_refused_and_never_taken_for_0(name: str, value: object) -> None:
    properties = words()["properties"] | {name: value}
    with pytest.raises(MetadataError):
        Item.of(words(properties=properties)).judgement()
