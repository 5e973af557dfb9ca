"""docs/your_network.md works for someone who has nothing but the page: its files, its commands in order."""

from pathlib import Path

import pytest

from sweep.study import load_study
from tests.conftest import run_here
from tests.docs.blocks import blocks, commands
from vae.model.theirs import check_network
from vae.model_config import network_config

PAGE = "docs/your_network.md"
FILES = {block.title: block.text for block in blocks("python") if block.title and block.page == PAGE}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_the_module_is_about_forty_lines_and_passes_the_check(folder: Path) -> None:
    assert len(FILES["my_network.py"].splitlines()) <= 40
    config = network_config({"kind": f"{folder / 'my_network.py'}:MyNetwork", "image_size": 32})
    check_network(config)
    assert {"channels", "latent_channels", "dropout"} <= config.model_dump().keys()


def test_the_study_has_a_column_for_each_width(folder: Path) -> None:
    for plan in load_study(str(folder / "my_border_study.py")).plans.values():
        assert [config.model.model_dump()["channels"] for config in plan.configs()] == [16, 32, 64]


@pytest.mark.slow
def test_the_commands_work_in_order(folder: Path) -> None:
    """At smoke scale, on the bundled scenes: the page names images of its reader's."""
    done = []
    for command in commands():
        words = list(command.words)
        if not command.where.startswith(PAGE) or command.program != "sweep" or "examples" in " ".join(words):
            continue
        if "--data" in words:
            at = words.index("--data")
            words[at : at + 2] = []
        if words[0] == "run" and "--scale" not in words:
            words += ["--scale", "smoke"]
        result = run_here(*words, home=folder / "home", cwd=folder)
        assert result.returncode == 0, (words, result.stdout + result.stderr)
        done.append(words[0])
    assert done == ["run", "map", "train", "train", "run"]
