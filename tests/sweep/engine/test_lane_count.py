"""How many lanes a run has: what was asked for, what a GPU bears, and what cannot share a process."""

import os
from pathlib import Path

import pytest

from sweep.engine.devices import free_bytes
from sweep.engine.lane_count import choose_lanes, one_lane_only, threads_of_a_lane, too_many_threads
from sweep.engine.lanes import lanes_that_pay
from sweep.engine.members import words_of
from sweep.engine.options import Options
from sweep.engine.step_cost import largest_step, step_cost
from sweep.errors import UserError
from sweep.study import Axis, ChoiceAxis, IntAxis, Plan, load_study
from tests.conftest import run_here
from tests.sweep.engine.tiny_study import PLAN
from tests.vae import networks
from vae.config import ModelConfig

GB = 1e9
LAPTOP = ModelConfig(image_size=64, base_channels=16, encoder_depth=4, decoder_depth=4)
PAPER = ModelConfig(
    image_size=224, base_channels=64, max_channels=512, latent_dim=256, encoder_depth=4, decoder_depth=4
)


@pytest.mark.parametrize(
    ("gflop", "trial_gb", "free_gb", "cores", "lanes"),
    [
        (2.75, 0.34, 80, 16, 16),  # laptop scale on a card of a data centre
        (501, 5.3, 80, 16, 1),  # paper scale, which fills it alone
        (0.1, 0.3, 80, 64, 32),  # never more than there are streams
        (2.75, 0.34, 1.5, 16, 2),  # a card that is nearly full
        (2.75, 0.34, 0, 16, 1),  # one whose free memory is not known
        (2.75, 0.34, 80, 4, 8),  # few cores
        (10, 0.5, 24, 8, 4),
    ],
)
def test_lanes_that_pay(gflop: float, trial_gb: float, free_gb: float, cores: int, lanes: int) -> None:
    assert lanes_that_pay(gflop, trial_gb * GB, free_gb * GB, cores) == lanes


def test_a_step_costs_what_was_counted_on_a_card() -> None:
    """2.7 and 501 GFLOP (H100, batch 32), and more weights and activations than there are bytes for."""
    laptop, paper = step_cost(LAPTOP, 32), step_cost(PAPER, 32)
    assert laptop.gflop == pytest.approx(2.7, rel=0.03)
    assert paper.gflop == pytest.approx(501, rel=0.01)
    assert 12 * 82.7e6 < paper.trial_bytes < 20e9
    assert laptop.trial_bytes < 0.5e9
    twice = step_cost(LAPTOP, 64)
    assert twice.gflop == pytest.approx(2 * laptop.gflop, rel=0.01)


def test_the_largest_network_of_a_plan_decides() -> None:
    plan = load_study("depth_study").plan("smoke")
    costs = [step_cost(config.model, config.batch_size) for config in plan.configs()]
    assert largest_step(plan).gflop == max(cost.gflop for cost in costs)
    assert largest_step(plan).trial_bytes == max(cost.trial_bytes for cost in costs)


def _smi(folder: Path, answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose nvidia-smi says this."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{answer}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/bin")


def test_without_a_word_a_cpu_has_one_lane_and_a_gpu_what_its_free_memory_bears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _smi(tmp_path, 'echo 80000; test "$4" = 1', monkeypatch)
    assert choose_lanes(PLAN, None, ["", ""], 8) == 1
    assert choose_lanes(PLAN, None, ["1"], 8) == 16
    assert choose_lanes(PLAN, None, ["1", "1"], 8) == 8, "two workers share the GPU and the cores"
    assert choose_lanes(PLAN.with_settings({"device": "cpu"}), None, ["1"], 8) == 1
    _smi(tmp_path, "echo 900", monkeypatch)
    assert choose_lanes(PLAN, None, ["1"], 8) == 2
    _smi(tmp_path, "echo No devices were found; exit 6", monkeypatch)
    assert free_bytes("1") is None
    assert choose_lanes(PLAN, None, ["1"], 8) == 1


def test_what_is_asked_for_is_given() -> None:
    assert choose_lanes(PLAN, 5, [""], 2) == 5
    assert choose_lanes(PLAN, 1, ["0"], 2) == 1


def _searched(path: str, *choices: str | int) -> Plan:
    axis: Axis = ChoiceAxis(path=path, choices=choices)
    return PLAN.model_copy(update={"axes": (*PLAN.axes, axis)})


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        (PLAN.with_settings({"compile": "default"}), "compile=default"),
        (_searched("threads", 1, 2), "differ in threads"),
        (_searched("compile", "none", "default"), "differ in threads or compile"),
    ],
)
def test_what_cannot_share_a_process_has_one_lane_and_more_are_refused(plan: Plan, reason: str) -> None:
    assert reason in (one_lane_only(plan) or "")
    assert choose_lanes(plan, None, ["0"], 8) == choose_lanes(plan, 1, [""], 8) == 1
    with pytest.raises(UserError, match=f"--lanes 2 .*{reason}"):
        choose_lanes(plan, 2, [""], 8)


def test_a_network_that_is_not_ours_has_one_lane_and_more_are_one_sentence(tmp_path: Path) -> None:
    kind, home = networks.write(tmp_path), tmp_path / "home"
    plan = load_study("border_study").plan("smoke").with_settings({"model.kind": kind})
    assert choose_lanes(plan, None, ["0"], 8) == choose_lanes(plan, 1, [""], 8) == 1
    words = ("--scale", "smoke", "--set", f"model.kind={kind}", "--lanes", "2")
    done = run_here("run", "border_study", *words, home=home)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert "--lanes 2 is not possible: mine.py:Net may draw from" in line
    assert not home.exists()


def test_lanes_share_the_cores_and_on_a_gpu_their_threads_do_not_depend_on_how_many_there_are() -> None:
    assert [threads_of_a_lane(16, 2, lanes, on_gpu=False) for lanes in (1, 2, 4, 32)] == [8, 4, 2, 1]
    assert [threads_of_a_lane(16, 2, lanes, on_gpu=True) for lanes in (1, 2, 4, 32)] == [8, 1, 1, 1]


def test_workers_that_a_cluster_places_are_told_how_many_lanes_were_asked_for() -> None:
    assert words_of(Options(lanes=8))[-2:] == ["--lanes", "8"]
    assert "--lanes" not in words_of(Options()), "each node finds out for itself"


def test_threads_that_do_not_fit_the_cores_are_told_of() -> None:
    free = PLAN.with_settings({"threads": None})
    of_two = PLAN.with_settings({"threads": 2})
    some = free.model_copy(update={"axes": (*free.axes, IntAxis(path="threads", low=1, high=2))})
    assert too_many_threads(free, cores=2, trials=32) is None
    assert too_many_threads(of_two, cores=4, trials=2) is None
    for plan in (of_two, some):
        said = too_many_threads(plan, cores=4, trials=3) or ""
        assert said.startswith("threads=2 in each of 3 trials at once are more than the 4 cores")
    assert (too_many_threads(of_two, cores=1, trials=1) or "").startswith("threads=2 are more")
