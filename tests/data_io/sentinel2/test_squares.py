"""Names of squares, and the folders and places that belong to them."""

import pytest

from data_io.errors import DataError
from data_io.sentinel2.squares import Square, parse_squares
from data_io.tiles.ground import ground_of


def test_squares_zones_and_the_paper() -> None:
    assert parse_squares("32ULB,t32ula, 5QKB") == (
        Square(5, "Q", "KB"),
        Square(32, "U", "LA"),
        Square(32, "U", "LB"),
    )
    assert parse_squares("32U") == (Square(32, "U"),)
    paper = parse_squares("paper")
    assert len(paper) == 43
    assert {square.name[:3] for square in paper} == {"32U"}


def test_folders_are_not_padded_and_end_with_a_slash() -> None:
    assert Square(5, "Q", "KB").path == "5/Q/KB/"
    assert Square(32, "U").path == "32/U/"


def test_the_name_of_an_image_gives_its_place() -> None:
    assert ground_of(f"{Square(5, 'Q', 'KB').name}_20220501_0.png").place == "05QKB"


@pytest.mark.parametrize("text", ["", "61UAA", "32", "32IAA", "32ULI", "32ULAA", "../..", "0UAA"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="--squares"):
        parse_squares(text)
