"""A network of someone else's on the command line: what is wrong with it, and what it ends with."""

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import run_here
from tests.vae import networks

BROKEN = networks.GOOD.replace
WRONG = {
    "no such file": ("nowhere/mine.py:Net", (), "nowhere/mine.py cannot be read"),
    "no such module": ("nowhere.mine:Net", (), "there is no module 'nowhere.mine'"),
    "not a kind": ("resnet", (), "neither vae nor the name of a class"),
    "not importable": ("import nothing_of_that_name\n", (), "cannot be imported (ModuleNotFoundError"),
    "no such class": (BROKEN("class Net", "class Nett"), (), "no class 'Net' in"),
    "no decode": (BROKEN("def decode", "def decoder"), (), "Net has no method 'decode'"),
    "no config": (BROKEN("class Config", "class Settings"), (), "has no Config"),
    "not hashable": (BROKEN("weight: float = 0.0", "weight: list[int] = [1]"), (), "must be hashable"),
    "encode's shapes": (BROKEN("return mu, logvar", "return mu, logvar[:1]"), (), "encode gives mu"),
    "decode's shapes": (
        BROKEN("return self.up(z)", "return self.up(z)[:, :2]"),
        (),
        "decode gives (2, 2, 32, 32)",
    ),
    "not finite": (
        BROKEN("return self.up(z)", "return self.up(z) / 0"),
        (),
        "at initialisation decode gives",
    ),
    "no such setting": (networks.GOOD, ("model.nonsense=1",), "there is no setting 'model.nonsense'"),
    "no such value": (networks.GOOD, ("model.channels=0",), "model.channels=0 is not possible"),
    "no head": (networks.GOOD, ("optim.head_scale=mup",), "optim.head_scale=mup needs latent heads"),
}


@pytest.mark.parametrize(("text", "settings", "said"), WRONG.values(), ids=WRONG)
def test_a_wrong_network_is_one_sentence_before_anything_is_written(
    tmp_path: Path, text: str, settings: tuple[str, ...], said: str
) -> None:
    kind = networks.write(tmp_path, text) if "\n" in text else text
    words = [word for setting in (f"model.kind={kind}", *settings) for word in ("--set", setting)]
    done = run_here("run", "border_study", "--scale", "smoke", *words, home=tmp_path / "home")
    assert done.returncode == 2, done.stdout + done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert said in line
    assert "Traceback" not in done.stdout
    assert not (tmp_path / "home").exists()


def test_foretell_says_that_it_cannot(tmp_path: Path) -> None:
    kind = networks.write(tmp_path)
    done = run_here("foretell", "border_study", "--set", f"model.kind={kind}", home=tmp_path / "home")
    assert done.returncode == 2
    assert "the log-variance's head of mine.py:Net is not known" in done.stderr


@pytest.mark.slow
def test_it_is_mapped_reported_drawn_and_replayed_and_its_study_outlives_its_file(tmp_path: Path) -> None:
    kind, home = networks.write(tmp_path), tmp_path / "home"

    def sweep(*words: str) -> str:
        done = run_here(*words, home=home)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    chosen = ("--set", f"model.kind={kind}", "--set", "model.channels=4", "--workers", "2")
    said = sweep("run", "border_study", "--scale", "smoke", *chosen)
    assert said.count("mine.py:Net has no depth or halvings or width: it is mapped as it is, in") == 1
    assert "the network" in sweep("map", "border_study")
    assert "head fan-in" not in sweep("map", "border_study")
    found = json.loads((home / "reports/border_study/map.json").read_text())
    assert found["head_fan_in"] == [None]
    assert found["labels"]["nonfinite"]["columns"][0]["status"] == "found"
    (trained, *_) = [run["trial"] for run in found["trained"] if run["objective"] is not None]
    assert "0 metrics differ" in sweep("replay", "border_study", str(trained))
    sweep("report", "border_study")
    sweep("generate", "border_study", "--trial", str(trained), "--out", str(tmp_path / "drawn.png"))
    assert (tmp_path / "drawn.png").exists()

    shutil.move(tmp_path / "mine.py", tmp_path / "gone.py")
    sweep("report", "border_study")
    sweep("status", "border_study")
    assert "the network" in sweep("map", "border_study")
    for words in (
        ("generate", "border_study", "--trial", str(trained)),
        ("replay", "border_study", str(trained)),
    ):
        done = run_here(*words, home=home)
        assert done.returncode == 2
        assert "cannot be read" in done.stderr
