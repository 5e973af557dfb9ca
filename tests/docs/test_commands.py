"""Every command line in README and docs is one that the program takes."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import typer

import data_io.__main__
import sweep.cli.app
from studies.base import LAPTOP
from sweep.study import load_preset, load_study
from sweep.study.config import parse_settings, paths, with_settings
from tests.docs.blocks import PAGES, ROOT, Command, blocks, commands, spans

GROUPS: dict[str, Any] = {
    "sweep": typer.main.get_command(sweep.cli.app.app),
    "data_io": typer.main.get_command(data_io.__main__.app),
}
ADDED = {Path(block.title).stem for block in blocks() if block.title}
"""Things that the docs show how to add: their names are not known here."""
PARSED = [command for command in commands() if command.program in GROUPS]
BENCHMARKS = [command for command in commands() if command.program not in GROUPS]


def parse(command: Command) -> Any:
    """The command's parameters by name, as the real command line reads them; nothing is run.

    Empty where the text names a command only, without what it needs.
    """
    group, (first, *rest) = GROUPS[command.program], [w for w in command.words if w != "--help"]
    if first.startswith("-"):
        assert first in options(group.params), f"{command.program} has no option {first}"
        return {}
    assert first in group.commands, f"{command.program} has no command {first}"
    return group.commands[first].make_context(first, rest).params if rest else {}


def options(parameters: Iterable[Any]) -> set[str]:
    return {name for parameter in parameters for name in (*parameter.opts, *parameter.secondary_opts)}


@pytest.fixture
def beside_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder with the files that the docs have their reader write, and the examples."""
    for block in blocks("python"):
        if block.title and "/" not in block.title:
            (tmp_path / block.title).write_text(block.text, encoding="utf-8")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("beside_the_files")
@pytest.mark.parametrize("command", PARSED, ids=str)
def test_commands_parse(command: Command) -> None:
    if command.words[0].isupper() or "..." in command.words:
        pytest.skip("a sketch of a command")
    given = parse(command)
    if command.program != "sweep" or command.words[0] not in ("run", "train") or not given:
        return
    chosen = parse_settings(given["settings"] or [])
    chosen = {path: value for path, value in chosen.items() if value not in ADDED}
    if command.words[0] == "train":
        load_preset()[0].plan(given["scale"] or "laptop").with_settings(chosen)
    elif given["study"].endswith(".py"):
        assert Path(given["study"]).stem in ADDED
    elif not given["study"].isupper():
        load_study(given["study"]).plan(given["scale"] or "laptop").with_settings(chosen)


@pytest.mark.parametrize("command", BENCHMARKS, ids=str)
def test_benchmark_commands_exist(command: Command) -> None:
    path = ROOT / command.program.replace(".", "/")
    source = (path / "__main__.py" if path.is_dir() else path.with_suffix(".py")).read_text(encoding="utf-8")
    for word in command.words:
        if word.startswith("--"):
            assert f'"{word}"' in source, f"{command.program} has no option {word}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_options_and_settings_in_the_text_exist(page: Path) -> None:
    known = {"--help"}
    for group in GROUPS.values():
        known |= options(group.params)
        for command in group.commands.values():
            known |= options(command.params)
    for block in blocks("sh"):  # options of other programs are introduced there
        known |= set(re.findall(r"--[\w-]+", block.text))
    for benchmark in (ROOT / "tests/benchmarks").glob("*.py"):
        known |= set(re.findall(r'"(--[\w-]+)"', benchmark.read_text(encoding="utf-8")))
    for span in spans(page):
        if span.startswith("--"):
            assert span.split()[0].split("=")[0] in known, f"{page.name} names an unknown option: {span}"
        path, equals, value = span.removeprefix("--set ").partition("=")
        if equals and path in paths() and re.fullmatch(r"[\w.-]+", value) and not value.isupper():
            check_setting(path, value)


def check_setting(path: str, value: str) -> None:
    """That value is one of that path; alone, so that it may need other settings beside it."""
    if value in ADDED:
        return
    try:
        with_settings(LAPTOP, parse_settings([f"{path}={value}"]))
    except Exception as error:
        if "needs" not in str(error) and "need each other" not in str(error):
            raise
