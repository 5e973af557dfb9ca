"""Stability sweeps of variational autoencoders: declare a study, run it, read its results.

    from sweep import Arm, FloatAxis, Plan, Study, TrialConfig, results, run

`import sweep` costs nothing: torch, Optuna and MLflow load when `run` or `results` is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sweep.api.events import RunEvent
    from sweep.api.results import Results, results
    from sweep.api.run import run
    from sweep.engine.limits import Stop
    from sweep.errors import UserError
    from sweep.study import (
        Arm,
        Blocks,
        ChoiceAxis,
        Claim,
        Confirm,
        Contrast,
        Endpoint,
        FloatAxis,
        IntAxis,
        Plan,
        Study,
    )
    from sweep.study.border_plan import Across, BorderPlan, Plane
    from sweep.study.config import TrialConfig

__version__ = "0.2.0"

_HOMES = {
    "Across": "sweep.study.border_plan",
    "Arm": "sweep.study",
    "Blocks": "sweep.study",
    "BorderPlan": "sweep.study.border_plan",
    "ChoiceAxis": "sweep.study",
    "Claim": "sweep.study",
    "Confirm": "sweep.study",
    "Contrast": "sweep.study",
    "Endpoint": "sweep.study",
    "FloatAxis": "sweep.study",
    "IntAxis": "sweep.study",
    "Plan": "sweep.study",
    "Plane": "sweep.study.border_plan",
    "Results": "sweep.api.results",
    "RunEvent": "sweep.api.events",
    "Stop": "sweep.engine.limits",
    "Study": "sweep.study",
    "TrialConfig": "sweep.study.config",
    "UserError": "sweep.errors",
    "results": "sweep.api.results",
    "run": "sweep.api.run",
}

__all__ = [
    "Across",
    "Arm",
    "Blocks",
    "BorderPlan",
    "ChoiceAxis",
    "Claim",
    "Confirm",
    "Contrast",
    "Endpoint",
    "FloatAxis",
    "IntAxis",
    "Plan",
    "Plane",
    "Results",
    "RunEvent",
    "Stop",
    "Study",
    "TrialConfig",
    "UserError",
    "results",
    "run",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'sweep' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
