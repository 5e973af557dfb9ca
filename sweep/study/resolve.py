"""The config that a trial trains with: the plan's base, what the trial sets, and nothing left to `auto`."""

from typing import Any

from sweep.study.config import TrialConfig, with_settings
from sweep.study.plan import Plan
from vae.training.hardware import resolve


def resolve_config(
    plan: Plan, params: dict[str, Any], seed: int, settings: dict[str, Any] | None = None
) -> TrialConfig:
    """The base with a trial's parameters, its further settings and seed, everything `auto` made explicit."""
    config = with_settings(plan.base, {**params, **(settings or {}), "seed": seed})
    resolved = resolve(config)
    assert isinstance(resolved, TrialConfig)
    return resolved
