"""Scenes found through a STAC API: the same filters, applied to its items."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from bucket import SIDE, cog
from conftest import Fetch, Put, entries, files
from proxy import Proxy
from stac_api import CORE, QUERY, StacApi

from data_io.errors import DataError
from data_io.images.files import decode
from data_io.sentinel2.squares import PAPER, Square, parse_squares
from data_io.sentinel2.stac import bounds

NEW, OLD = "sentinel-2-c1-l2a", "sentinel-2-l2a"


def days(*numbers: int) -> list[date]:
    return [date(2022, 5, number) for number in numbers]


def test_items_are_filtered_and_a_missing_value_is_not_0(
    put_item: Put, search: Fetch, tmp_path: Path
) -> None:
    one, six, eleven, sixteen, none, later = days(1, 6, 11, 16, 21, 30)
    put_item(1, day=one)
    put_item(2, day=six, **{"eo:cloud_cover": 5.01})
    put_item(3, day=eleven, **{"s2:nodata_pixel_percentage": 99})
    put_item(4, day=sixteen, without=("s2:nodata_pixel_percentage",))
    put_item(5, day=none, **{"eo:cloud_cover": True})
    put_item(6, day=later)
    report = search(last="2022-05-29")
    assert report.decisions == {"cloudy": 1, "corrupt": 2, "kept": 1, "nodata": 1}
    found = entries(tmp_path / "out")
    assert "no s2:nodata_pixel_percentage" in found["32ULA_20220516_S2A-0"].reason
    assert decode(tmp_path / "out" / "32ULA_20220501_S2A-0.png").shape == (SIDE, SIDE, 3)
    assert (
        found["32ULA_20220501_S2A-0"].product
        == "S2A_MSIL2A_20220501T103621_N0400_R008_T32ULA_20220501T163100"
    )
    again = search(last="2022-05-29")
    assert (again.downloaded, again.already_there) == (0, 1)


def test_both_collections_are_searched_and_give_one_image_of_each_overpass(
    put_item: Put, search: Fetch, tmp_path: Path
) -> None:
    one, six, eleven, sixteen = days(1, 6, 11, 16)
    put_item(1, day=one, collection=NEW)  # the same product in both
    put_item(1, day=one, collection=OLD)
    put_item(2, day=six, collection=NEW, baseline="05.10")  # processed again
    put_item(3, day=six, collection=OLD, baseline="02.14")
    put_item(4, day=eleven, collection=NEW)  # in one of them only
    put_item(5, day=sixteen, collection=OLD)
    assert search().decisions == {"duplicate": 1, "kept": 4}
    found = entries(tmp_path / "out")
    assert "baseline is 05.10" in found["32ULA_20220506_S2A-0"].reason
    assert {name for name in files(tmp_path / "out") if name.endswith("png")} == {
        "32ULA_20220501_S2A-104619.png", "32ULA_20220506_S2A-104619.png",
        "32ULA_20220511_S2A-104619.png", "32ULA_20220516_S2A-0.png",
    }  # fmt: skip


def test_two_satellites_over_a_square_on_one_day_are_two_overpasses(put_item: Put, search: Fetch) -> None:
    put_item(1, satellite="S2A")
    put_item(2, satellite="S2B")
    assert search().decisions == {"kept": 2}


def test_of_an_overpass_cut_in_two_the_fuller_part_is_judged(
    put_item: Put, search: Fetch, tmp_path: Path
) -> None:
    put_item(1, number="0", made="163100", **{"s2:nodata_pixel_percentage": 3})
    put_item(2, number="1", made="163200", **{"s2:nodata_pixel_percentage": 96})
    assert search().decisions == {"duplicate": 1, "kept": 1}
    assert entries(tmp_path / "out")["32ULA_20220501_S2A-0"].decision == "kept"


@pytest.mark.parametrize("methods", [("GET",), ("GET", "POST")])
@pytest.mark.parametrize("conforms", [CORE, (*CORE, QUERY)])
def test_all_pages_are_read_by_get_and_by_post_with_and_without_query(
    api: StacApi, put_item: Put, search: Fetch, methods: tuple[str, ...], conforms: tuple[str, ...]
) -> None:
    api.methods, api.conforms, api.page = methods, list(conforms), 2
    for number, day in enumerate(days(1, 6, 11, 16, 21), 1):
        put_item(number, day=day, content=b"never read", **{"eo:cloud_cover": 50})
    put_item(6, square="32ULB", content=b"never read")  # its bounds touch those of 32ULA
    report = search()
    assert report.decisions == {"cloudy": 5}
    assert {method for method, _ in api.log} == {methods[-1]}
    assert (
        report.requests["LIST"] == len(api.log) + 1
    )  # to learn that a page was the last one takes no request
    assert all(("query" in asked) == (QUERY in conforms) for _, asked in api.log)


def test_a_server_that_knows_squares_by_another_name_is_searched_by_bounds(
    api: StacApi, put_item: Put, search: Fetch
) -> None:
    put_item(1, without=("grid:code",), **{"s2:mgrs_tile": "32ULA", "s2:product_uri": None})
    assert search().decisions == {"kept": 1}
    assert ["bbox" in asked for _, asked in api.log] == [False, True]


def test_a_zone_is_searched_at_once_and_squares_within_it_are_not_searched_again(
    api: StacApi, put_item: Put, search: Fetch
) -> None:
    put_item(1, square="32ULA")
    put_item(2, square="32ULB")
    put_item(3, square="05QKB")
    assert search(squares="32U,32ULA").decisions == {"kept": 2}
    assert len(api.log) == 1
    assert search(squares="5QKB").decisions == {"kept": 1}


def test_an_item_without_a_true_colour_image_is_missing(
    api: StacApi, put_item: Put, search: Fetch, tmp_path: Path
) -> None:
    put_item(1)
    path = next(api.folder.glob("*/*.json"))
    path.write_text(path.read_text().replace('"visual"', '"other"'))
    assert search().decisions == {"missing": 1}
    assert "GeoTIFF of the true colours" in entries(tmp_path / "out")["32ULA_20220501_S2A-0"].reason


def test_images_in_a_bucket_are_read_through_s3(put_item: Put, search: Fetch, faulty: Proxy) -> None:
    put_item(1, scheme="s3")
    assert search(endpoint_url=faulty.url).decisions == {"kept": 1}


def test_requests_that_fail_for_a_while_are_made_again(api: StacApi, put_item: Put, search: Fetch) -> None:
    put_item(1)
    api.fault = lambda count: (503, None, 429, None)[count % 4]
    report = search(attempts=2)
    assert (report.decisions, report.failures) == ({"kept": 1}, [])


def test_a_search_that_breaks_off_is_made_once_more(api: StacApi, put_item: Put, search: Fetch) -> None:
    put_item(1, day=days(1)[0])
    put_item(2, day=days(6)[0])
    api.page = 1
    api.fault = lambda count: 500 if count in {4, 5} else None
    assert search(attempts=2).decisions == {"kept": 2}


def test_a_search_that_always_fails_is_a_failure_that_says_so(api: StacApi, search: Fetch) -> None:
    api.fault = lambda count: 500 if count > 2 else None
    report = search(attempts=2)
    assert "the server answered 500 at every attempt" in report.failures[0]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (403, "the server answered 403: give a --stac that anybody may read"),
        (404, "the server answered 404: check --stac"),
        (b"<html>", "it is not a STAC API"),
        (b"{}", "it is not a STAC API"),
        (
            b'{"type": "Catalog", "id": "a", "description": "a", "stac_version": "1.0.0", "links": []}',
            "no search",
        ),
    ],
)
def test_what_is_no_open_stac_api_is_one_sentence(
    api: StacApi, search: Fetch, fault: int | bytes, message: str, tmp_path: Path
) -> None:
    api.fault = lambda count: fault
    with pytest.raises(DataError, match=message):
        search(attempts=1)
    assert not (tmp_path / "out").exists()


def test_a_server_that_cannot_be_reached_is_named(search: Fetch) -> None:
    with pytest.raises(DataError, match=r"http://127.0.0.1:9: no answer; check the network and --stac"):
        search(stac="http://127.0.0.1:9", attempts=1)


def test_a_collection_that_is_not_there_is_named(search: Fetch) -> None:
    with pytest.raises(DataError, match="has no collection sentinel-3: check --collection"):
        search(collections=(NEW, "sentinel-3"))


def test_a_folder_of_an_older_version_is_continued_without_reading_its_images_again(
    put_item: Put, search: Fetch, tmp_path: Path, faulty: Proxy
) -> None:
    put_item(1)
    search()
    path = tmp_path / "out" / "manifest.jsonl"
    kept = entries(tmp_path / "out")["32ULA_20220501_S2A-0"]
    # Its entries had the ETag of the whole file.
    path.write_text(
        kept.model_copy(update={"etag": "0" * 32, "metadata_etag": "1" * 32}).model_dump_json() + "\n"
    )
    faulty.clear()
    assert search().already_there == 1
    assert faulty.log == []


def test_the_bounds_of_a_square_are_about_those_of_100_km() -> None:
    for square in parse_squares("paper"):
        west, south, east, north = bounds(square)
        assert 0.85 < north - south < 1.05
        assert 1.2 < east - west < 1.8
        assert 3 < west < east < 15
    assert len(PAPER.split()) == 43
    west, south, east, north = bounds(Square(60, "V", "XH"))
    assert west > 178
    assert east < -179
    assert bounds(Square(32, "U")) == [3, 48, 15, 56]
    assert bounds(Square(1, "X")) == [-180, 72, -171, 84]


def test_a_square_that_does_not_exist_is_named(api: StacApi, search: Fetch) -> None:
    report = search(squares="32UAA")
    assert "there is no square 32UAA" in report.failures[0]


def test_pixels_are_those_of_the_image(put_item: Put, search: Fetch, tmp_path: Path) -> None:
    put_item(1)
    search(resolution=10, side=6 * SIDE)
    (tmp_path / "a.tif").write_bytes(cog(1))
    np.testing.assert_array_equal(
        decode(tmp_path / "out" / "32ULA_20220501_S2A-0.png"), decode(tmp_path / "a.tif")
    )
