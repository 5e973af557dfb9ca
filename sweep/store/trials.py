"""A study's trials as plain records: all that the statistics, the figures and the page read."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.trial import FrozenTrial

from sweep.study import Arm, Plan

DEPTHS = ("model.encoder_depth", "model.decoder_depth")
UNSTABLE = ("nonfinite", "diverged", "regressed")


@dataclass(frozen=True)
class Record:
    """One trial. `objective` is None where it has none that is finite; `seconds` where it has not ended."""

    number: int
    state: str
    phase: str = "explore"
    arm: str = ""
    seed: int | None = None
    objective: float | None = None
    outcome: str = "unknown"
    reason: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    attrs: Mapping[str, Any] = field(default_factory=dict)
    run_id: str = ""
    seconds: float | None = None

    @property
    def finished(self) -> bool:
        """Ended with a result: a divergence is one, a crash is none."""
        return self.state == "complete"

    @property
    def ended(self) -> bool:
        """Finished, or stopped as soon as it had told what it was run for."""
        return self.state in ("complete", "pruned")

    @property
    def diverged(self) -> bool:
        """Finished without a finite objective."""
        return self.finished and self.objective is None

    def value(self, path: str) -> Any:
        """A setting as the trial had it: what a phase sets comes before a parameter."""
        return self.settings.get(path, self.params.get(path))

    def number_of(self, key: str) -> float | None:
        """A setting or a measured quantity, where it is a finite number."""
        value = self.attrs.get(key, self.value(key))
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return float(value) if math.isfinite(value) else None

    @property
    def depths(self) -> tuple[int, int] | None:
        """Encoder and decoder depth, where the study sets both."""
        encoder, decoder = (self.value(path) for path in DEPTHS)
        if isinstance(encoder, int) and isinstance(decoder, int):
            return encoder, decoder
        return None

    @property
    def depth(self) -> int | None:
        """The depth of both sides, where they are equal."""
        return self.depths[0] if self.depths and self.depths[0] == self.depths[1] else None


def records(trials: Iterable[FrozenTrial], plan: Plan | None) -> list[Record]:
    return [_record(trial, plan) for trial in trials]


def arm_of(params: Mapping[str, Any], arms: Sequence[Arm]) -> Arm | None:
    """The arm whose fixed values these parameters have; of several, the one that fixes most."""
    fitting = [arm for arm in arms if all(params.get(path) == v for path, v in arm.fixed.items())]
    return max(fitting, key=lambda arm: len(arm.fixed), default=None)


def _record(trial: FrozenTrial, plan: Plan | None) -> Record:
    attrs = trial.user_attrs
    value = trial.values[0] if trial.values else math.inf
    arm = None if plan is None else arm_of(trial.params, plan.arms)
    start, end = trial.datetime_start, trial.datetime_complete
    return Record(
        number=trial.number,
        state=trial.state.name.lower(),
        phase=str(attrs.get("phase", "explore")),
        arm=str(attrs.get("arm", arm.name if arm else "")),
        seed=attrs.get("seed"),
        objective=value if math.isfinite(value) else None,
        outcome=str(attrs.get("outcome", "unknown" if trial.state.is_finished() else "unfinished")),
        reason=str(attrs.get("reason", "")),
        params=trial.params,
        settings=json.loads(attrs.get("settings", "{}")),
        attrs=attrs,
        run_id=str(attrs.get("mlflow_run_id", "")),
        seconds=(end - start).total_seconds() if start and end else None,
    )


def confirmed(trials: Sequence[Record]) -> dict[str, list[Record]]:
    """Arm -> its finished confirming trials, of the setting that was confirmed most often (last, if equal).

    A study that is run on may find a better setting of an arm; runs of the two must not be mixed.
    """
    arms: dict[str, dict[str, list[Record]]] = {}
    for trial in trials:
        if trial.phase == "confirm" and trial.finished and trial.seed is not None:
            setting = str(trial.attrs.get("setting", ""))
            arms.setdefault(trial.arm, {}).setdefault(setting, []).append(trial)
    return {
        arm: max(settings.values(), key=lambda runs: (len(runs), runs[-1].number))
        for arm, settings in arms.items()
    }
