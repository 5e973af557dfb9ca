"""Keeping passwords, which are part of the stores' URLs, out of logs and messages."""

import contextlib
import re
from typing import TextIO
from urllib.parse import quote, quote_plus, unquote

HIDDEN = "***"
SHORTEST = 4
"""A shorter password is hidden in URLs only: it would black out half of any text."""
_PASSWORD = re.compile(r"(?<=://)([^:/?#@\s]*):([^\s]*)@(?=[^@]*$)")
_IN_TEXT = re.compile(r"(\w+://[^:/?#@\s]*):([^\s@/]+)@")
_QUERY = re.compile(r"([?&]password=)([^&\s]+)", re.IGNORECASE)
_known: set[str] = set()


def hide(url: str | None) -> None:
    """Make this URL's password known to `redact`, in every spelling."""
    if url is None:
        return
    found = _PASSWORD.search(url)
    words = [found[2]] if found else []
    words += [match[2] for match in _QUERY.finditer(url)]
    for word in words:
        plain = unquote(word)
        spellings = {word, plain, quote(plain, safe=""), quote_plus(plain), repr(plain)[1:-1]}
        _known.update(spelling for spelling in spellings if len(spelling) >= SHORTEST)


def redact(text: str) -> str:
    """`text` without passwords: those that are known, and whatever else looks like one in a URL."""
    for word in sorted(_known, key=len, reverse=True):
        text = text.replace(word, HIDDEN)
    return _QUERY.sub(rf"\1{HIDDEN}", _IN_TEXT.sub(rf"\1:{HIDDEN}@", text))


class RedactingStream:
    """A text stream in front of a log; what is written loses its passwords. A full disk is no error here."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(redact(text))
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return self._stream.isatty()

    @property
    def encoding(self) -> str:
        return self._stream.encoding
