"""MGRS squares, the 110 km squares into which Sentinel-2 scenes are divided."""

import re
from typing import NamedTuple

from data_io.errors import DataError

PAPER = (
    "LA LB LC LD LE LF LG LU LV MA MB MC MD ME MF MG MU MV NA NB NC ND NE NF NG NU NV "
    "PA PB PC PD PE PF PG PU PV QA QB QC QD QE QU QV"
)
"""The study's squares of zone 32U as the paper lists them; it counts 47 and names these 43."""

_SQUARE = re.compile(r"T?(0?[1-9]|[1-5][0-9]|60)([C-HJ-NP-X])([A-HJ-NP-Z][A-HJ-NP-V])?")


class Square(NamedTuple):
    """A square or, without `letters`, all squares of a zone and band."""

    zone: int
    band: str
    letters: str = ""

    @property
    def name(self) -> str:
        return f"{self.zone:02d}{self.band}{self.letters}"

    @property
    def path(self) -> str:
        """Its folder in the buckets; the zone has no leading zero, and a slash ends the path."""
        return "/".join([str(self.zone), self.band, *([self.letters] if self.letters else []), ""])


def parse_squares(text: str) -> tuple[Square, ...]:
    """Parse squares (`32ULA`), zones with bands (`32U`) and `paper`, separated by commas.

    Returns them sorted, without duplicates.

    Raises DataError for anything else.
    """
    squares: set[Square] = set()
    for word in filter(None, re.split(r"[,\s]+", text)):
        found = _SQUARE.fullmatch(word.upper())
        if word.lower() == "paper":
            squares |= {Square(32, "U", letters) for letters in PAPER.split()}
        elif found:
            squares.add(Square(int(found.group(1)), found.group(2), found.group(3) or ""))
        else:
            raise DataError(
                f"--squares {word!r} is not an MGRS square: give squares (32ULA,32ULB), a zone and band "
                "(32U), or paper"
            )
    if not squares:
        raise DataError("--squares is empty: give squares (32ULA,32ULB), a zone and band (32U), or paper")
    return tuple(sorted(squares))
