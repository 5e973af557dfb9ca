"""What README and docs promise of themselves."""

import re
from pathlib import Path

import pytest

from docs import settings_table
from tests.docs.blocks import PAGES, ROOT, blocks, spans

MOST_WORDS = 1200
FINDINGS = (ROOT / "docs/findings.md").read_text(encoding="utf-8")
SECTIONS = re.split(r"^## ", FINDINGS, flags=re.MULTILINE)[1:]
IDS = [page.relative_to(ROOT).as_posix() for page in PAGES]


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= MOST_WORDS


def test_the_table_of_settings_is_current() -> None:
    page = settings_table.PAGE.read_text(encoding="utf-8")
    assert page == settings_table.renewed(page), "run python -m docs.settings_table"


def test_every_setting_has_one_meaning() -> None:
    for setting in settings_table.settings():
        assert setting.meaning, f"{setting.path} has no docstring"
        own = settings_table.MEANINGS.get(setting.path)
        assert own in (None, setting.meaning), f"{setting.path} has a docstring: drop it from MEANINGS"
    assert settings_table.MEANINGS.keys() <= {setting.path for setting in settings_table.settings()}


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.splitlines()[0])
def test_every_finding_names_its_one_command(section: str) -> None:
    fences = re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    assert len(fences) == 1, "a section of findings has one shell block"
    assert len(fences[0].strip().splitlines()) == 1, "with one command"


def test_findings_are_all_in_sections() -> None:
    before = re.split(r"^## ", FINDINGS, flags=re.MULTILINE)[0]
    assert not re.search(r"\d\.\d", before)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_lead_to_files(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_files_named_in_the_text_exist(page: Path) -> None:
    shown = {block.title for block in blocks() if block.title}
    for span in spans(page):
        path = re.fullmatch(r"(?:vae|data_io|sweep|studies|tests|docs|examples)/[\w/.]*", span)
        if path and "NAME" not in span and span not in shown:
            assert (ROOT / span).exists(), f"{page.name} names {span}"
