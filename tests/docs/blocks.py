"""The fenced blocks and code spans of README and docs.

A Python block is a snippet that stands alone. Before its fence, `<!-- run -->` has it executed, and
`<!-- run slow -->` among the slow tests. With `title="vae/optim/clipping/half.py"` it is that file.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

_FENCE = re.compile(r"^( *)```(\w*)(.*)$")
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    """Of the fence, from 1."""
    language: str
    title: str | None
    run: str
    """"" (not executed), "fast" or "slow"."""
    text: str

    @property
    def name(self) -> str:
        """A module name for it, unique among all blocks."""
        return re.sub(r"\W", "_", f"{self.page.removesuffix('.md')}_{self.line}")

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(language: str | None = None) -> list[Block]:
    return [b for page in PAGES for b in _of_page(page) if language is None or b.language == language]


def _of_page(page: Path) -> Iterator[Block]:
    lines = page.read_text(encoding="utf-8").splitlines()
    start: int | None = None
    for number, line in enumerate(lines):
        fence = _FENCE.match(line)
        if fence is None:
            continue
        if start is None:
            start, language, info = number, fence[2], fence[3]
            continue
        mark = re.fullmatch(r"<!-- run( slow)? -->", lines[start - 1]) if start else None
        title = re.search(r'title="([^"]+)"', info)
        yield Block(
            page=page.relative_to(ROOT).as_posix(),
            line=start + 1,
            language=language,
            title=title[1] if title else None,
            run="" if mark is None else "slow" if mark[1] else "fast",
            text="\n".join(lines[start + 1 : number]) + "\n",
        )
        start = None
    assert start is None, f"{page}:{start} opens a fence that is never closed"


def spans(page: Path) -> list[str]:
    """The code spans outside of fenced blocks."""
    text, inside = [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        if _FENCE.match(line):
            inside = not inside
        elif not inside:
            text.append(line)
    return [span.replace(r"\|", "|") for span in _SPAN.findall("\n".join(text))]


@dataclass(frozen=True)
class Command:
    where: str
    words: tuple[str, ...]
    """Without what runs it: ("run", "depth_study") of `python -m sweep run depth_study`."""
    program: str
    """sweep, data_io, or a module of tests.benchmarks."""

    def __str__(self) -> str:
        return f"{self.where} {self.program} {' '.join(self.words)}"


_PROGRAM = re.compile(r"(?:\.venv/bin/)?(?:python -m (sweep|data_io|tests\.benchmarks[\w.]*)|(sweep))(?: |$)")


def commands() -> list[Command]:
    """Every command line of shell blocks and code spans that this project's programs would take."""
    found = []
    for block in blocks("sh"):
        for line in block.text.replace("\\\n", " ").splitlines():
            for part in line.split("&&"):
                found += _command(str(block), part.strip())
    for page in PAGES:
        for span in spans(page):
            found += _command(page.relative_to(ROOT).as_posix(), span)
    return found


def _command(where: str, text: str) -> list[Command]:
    program = _PROGRAM.match(text)
    if program is None:
        return []
    words = shlex.split(text[program.end() :], comments=True)
    return [Command(where, tuple(words), program[1] or program[2])] if words else []
