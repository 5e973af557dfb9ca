"""What the settings `bands` and `stretch` say, and texts whose bytes are not UTF-8."""

import math
import re
from dataclasses import dataclass

VALUES = "values:"
"""In front of a stretch, says that its two numbers are values although they could be percentiles."""


@dataclass(frozen=True)
class Stretch:
    """What becomes black and what white: values, or percentiles of each band over all images."""

    low: float
    high: float
    percentiles: bool


def as_text(value: object) -> object:
    """`[4, 3, 2]`, `(4, 3, 2)` and `4` as the text that they stand for."""
    if isinstance(value, list | tuple):
        return ",".join(str(part) for part in value)
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def parse_bands(text: str | None) -> tuple[int | str, ...] | None:
    """Numbers from 1 and names, as `check_bands` leaves them."""
    return tuple(int(word) if word.isdecimal() else word for word in text.split(",")) if text else None


def check_bands(text: str) -> str:
    """The same bands without blanks. Raises ValueError unless they are one or three."""
    words = [word.strip() for word in text.split(",")]
    if len(words) not in (1, 3) or not all(words) or any(re.fullmatch(r"[-+]\d+|0+", word) for word in words):
        raise ValueError("give one band, or three for red, green and blue, counted from 1, such as 4,3,2")
    return ",".join(words)


def parse_stretch(text: str | None) -> Stretch | None:
    """Two numbers of 0 to 100 are percentiles if the second is above 1, as no one means less by it.

    Raises ValueError for anything but two rising numbers.
    """
    if text is None:
        return None
    words = text.removeprefix(VALUES).split(",")
    try:
        low, high = (float(word) for word in words)
    except ValueError:
        low = high = math.nan
    if not low < high or not math.isfinite(high - low):
        raise ValueError(
            "give two rising numbers, percentiles such as 2,98 or values such as 0,3000 (values:0,50 where "
            "they could be percentiles)"
        )
    return Stretch(low, high, not text.startswith(VALUES) and low >= 0 and 1 < high <= 100)


def check_stretch(text: str) -> str:
    """The same stretch without blanks. Raises ValueError as `parse_stretch` does."""
    text = "".join(text.split())
    parse_stretch(text)
    return text


def printable(text: object) -> object:
    """A text with the bytes of file names that are not UTF-8 written as `\\xe9`, so that it can be stored."""
    if not isinstance(text, str):
        return text
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
