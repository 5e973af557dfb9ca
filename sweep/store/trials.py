"""One typed view of a trial in the store: the attributes that Optuna keeps by name, as properties.

Nothing is read before it is asked for, so that a view of each of ten thousand trials costs little.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from sweep.store import keys
from sweep.study import Arm, Plan

EXPLORE = "explore"
"""The phase of a trial that names none."""
BLOCK = "block"
"""The phase whose runs claims rest on."""
DISTANCE = "distance"
"""The phase of whole runs at set distances below a mapped border."""
DEPTHS = ("model.encoder_depth", "model.decoder_depth")
LR = "optim.lr"
DIVERGED = ("nonfinite", "diverged")
UNSTABLE = (*DIVERGED, "regressed")
"""Outcomes of runs that were not stable; those that diverged have no objective."""


class TrialView:
    """A trial as the store has it, with the names of its attributes known here and nowhere else.

    plan: of its study; it names the arm of trials that do not name it themselves (those of old stores).
    """

    def __init__(self, stored: FrozenTrial, plan: Plan | None = None) -> None:
        self.stored, self.plan = stored, plan

    def __repr__(self) -> str:
        return f"TrialView({self.number}, {self.state.name}, {self.phase}, {self.arm!r})"

    @property
    def attrs(self) -> Mapping[str, Any]:
        """All attributes, for those that have no name here."""
        return self.stored.user_attrs

    @property
    def number(self) -> int:
        return self.stored.number

    @property
    def state(self) -> TrialState:
        return self.stored.state

    @property
    def params(self) -> Mapping[str, Any]:
        """The values of the plan's axes."""
        return self.stored.params

    # What it was asked for.

    @property
    def phase(self) -> str:
        return str(self.attrs.get(keys.PHASE, EXPLORE))

    @property
    def is_explored(self) -> bool:
        """Asked for by the explore phase. Other phases run for other lengths: objectives do not compare."""
        return self.phase == EXPLORE

    @cached_property
    def arm(self) -> str:
        """Empty where neither the trial nor its plan says."""
        named = self.attrs.get(keys.ARM)
        if named is not None:
            return str(named)
        arm = None if self.plan is None else arm_of(self.params, self.plan.arms)
        return arm.name if arm else ""

    @property
    def names_arm(self) -> bool:
        return keys.ARM in self.attrs

    @property
    def group(self) -> tuple[str, str]:
        """Phase and arm, as its request named them: others differ in settings that are no parameters."""
        return self.phase, str(self.attrs.get(keys.ARM, ""))

    @property
    def seed(self) -> int | None:
        return self.attrs.get(keys.SEED)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What the trial sets beyond the axes, by dotted path."""
        settings: dict[str, Any] = json.loads(self.attrs.get(keys.SETTINGS, "{}"))
        return settings

    @property
    def confirms(self) -> int | None:
        """The explored trial whose setting it repeats."""
        return self.attrs.get(keys.CONFIRMS)

    @property
    def setting(self) -> str:
        """For a confirming trial, a hash of everything it sets except the seed."""
        return str(self.attrs.get(keys.SETTING, ""))

    @property
    def block(self) -> int | None:
        """The block that it is of, from 0; None for a trial of another phase."""
        return self.attrs.get(keys.BLOCK)

    @property
    def point(self) -> int:
        """Which of the settings that its arm tries in the block, from 0."""
        return int(self.attrs.get(keys.POINT, 0))

    @property
    def points(self) -> int:
        """How many settings its arm tries in the block."""
        return int(self.attrs.get(keys.POINTS, 1))

    @property
    def lr_cap(self) -> float | None:
        """The largest learning rate that it may draw."""
        return self.attrs.get(keys.LR_CAP)

    @property
    def capped_by(self) -> str | None:
        """The border study whose map gave the cap."""
        return self.attrs.get(keys.CAPPED_BY)

    # Its attempts.

    @property
    def claimed(self) -> Mapping[str, Any] | None:
        """`by`: the supervisor that took it; `given`: the attributes it had then."""
        return self.attrs.get(keys.CLAIMED)

    @property
    def root(self) -> int:
        """The number of the first attempt."""
        return int(self.attrs.get(keys.ROOT, self.number))

    @property
    def retry_of(self) -> int | None:
        """The attempt before this one."""
        return self.attrs.get(keys.RETRY_OF)

    @property
    def retries(self) -> int:
        """How often it failed by its own doing."""
        return int(self.attrs.get(keys.RETRIES, 0))

    @property
    def next_attempt(self) -> int | None:
        """`retries` of the attempt that follows this failed one; None where none does."""
        return self.attrs.get(keys.NEXT_ATTEMPT)

    @property
    def run_before(self) -> tuple[str | None, str | None]:
        """Key and id of the run of the attempt before."""
        key, run_id = self.attrs.get(keys.RUN_BEFORE, (None, None))
        return key, run_id

    @property
    def run_key(self) -> str | None:
        """Our own name of its run, known before the tracking store gives an id."""
        return self.attrs.get(keys.RUN_KEY)

    @property
    def run_id(self) -> str:
        """Empty while it has none."""
        return str(self.attrs.get(keys.RUN_ID, ""))

    # How it ended.

    @property
    def finished(self) -> bool:
        """Ended with a result: a divergence is one, a crash is none."""
        return self.state is TrialState.COMPLETE

    @property
    def ended(self) -> bool:
        """Finished, or ended early on purpose: a probe, or a pruned trial."""
        return self.state in (TrialState.COMPLETE, TrialState.PRUNED)

    @cached_property
    def objective(self) -> float | None:
        """None where it has none that is finite."""
        value = self.stored.values[0] if self.stored.values else math.inf
        return value if math.isfinite(value) else None

    @property
    def diverged(self) -> bool:
        """Finished without a finite objective."""
        return self.finished and self.objective is None

    @property
    def outcome(self) -> str:
        return str(self.attrs.get(keys.OUTCOME, "unknown" if self.state.is_finished() else "unfinished"))

    @property
    def reason(self) -> str:
        """Why it ended so, in words; empty where nobody said."""
        return str(self.attrs.get(keys.REASON, ""))

    @property
    def outcome_step(self) -> int | None:
        """The optimizer step at which it diverged."""
        return self.attrs.get(keys.OUTCOME_STEP)

    @property
    def best_epoch(self) -> int | None:
        """Counted from 1."""
        return self.attrs.get(keys.BEST_EPOCH)

    @property
    def quality_intervals(self) -> Mapping[str, tuple[float, float]]:
        """Metric -> ends of the 95 % interval of its image quality; empty in old stores."""
        found: Mapping[str, tuple[float, float]] = self.attrs.get(keys.QUALITY_INTERVALS, {})
        return found

    @property
    def steps(self) -> int:
        return int(self.attrs.get(keys.STEPS, 0))

    @property
    def epochs(self) -> int | None:
        return self.attrs.get(keys.EPOCHS)

    @property
    def train_seconds(self) -> float:
        """Seconds of training, without those of earlier attempts."""
        return float(self.attrs.get(keys.TRAIN_SECONDS, 0.0))

    @property
    def seconds(self) -> float | None:
        """From start to end; None where it has not ended."""
        start, end = self.stored.datetime_start, self.stored.datetime_complete
        return (end - start).total_seconds() if start and end else None

    # Its place on a border map.

    @property
    def border_at(self) -> tuple[Any, ...]:
        """Values of its column; empty for a trial of another study."""
        return tuple(self.attrs.get(keys.BORDER_AT, ()))

    @property
    def border_x(self) -> float:
        """log10 of the searched setting."""
        return float(self.attrs[keys.BORDER_X])

    @property
    def border_label(self) -> Any:
        """What a probe was asked about; None for a normal run."""
        return self.attrs.get(keys.BORDER_LABEL)

    @property
    def border_horizon(self) -> int | None:
        """For how many steps a probe is followed; None: to its end."""
        return self.attrs.get(keys.BORDER_HORIZON)

    @property
    def border_distance(self) -> float | None:
        """Decades below the border at which it was trained, as the border was known then."""
        return self.attrs.get(keys.BORDER_DISTANCE)

    @property
    def border_facts(self) -> dict[str, Any]:
        """All of these and the observation, without the prefix."""
        prefix = keys.BORDER
        return {k.removeprefix(prefix): value for k, value in self.attrs.items() if k.startswith(prefix)}

    # Settings and measured quantities by name.

    def value(self, path: str) -> Any:
        """A setting as the trial had it: what a phase sets comes before a parameter."""
        return self.settings.get(path, self.params.get(path))

    def number_of(self, key: str) -> float | None:
        """A setting or a measured quantity, where it is a finite number."""
        value = self.attrs[key] if key in self.attrs else self.value(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return float(value) if math.isfinite(value) else None

    @property
    def lr(self) -> float | None:
        """The learning rate it was given."""
        return self.number_of(LR)

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


def views(trials: Iterable[FrozenTrial], plan: Plan | None = None) -> list[TrialView]:
    return [TrialView(trial, plan) for trial in trials]


def arm_of(params: Mapping[str, Any], arms: Sequence[Arm]) -> Arm | None:
    """The arm whose fixed values these parameters have; of several, the one that fixes most."""
    fitting = [arm for arm in arms if all(params.get(path) == v for path, v in arm.fixed.items())]
    return max(fitting, key=lambda arm: len(arm.fixed), default=None)


def confirmed(trials: Sequence[TrialView]) -> dict[str, list[TrialView]]:
    """Arm -> its finished confirming trials, of the setting that was confirmed most often (last, if equal).

    A study that is run on may find a better setting of an arm; runs of the two must not be mixed.
    """
    arms: dict[str, dict[str, list[TrialView]]] = {}
    for trial in trials:
        if trial.phase == "confirm" and trial.finished and trial.seed is not None:
            arms.setdefault(trial.arm, {}).setdefault(trial.setting, []).append(trial)
    return {
        arm: max(settings.values(), key=lambda runs: (len(runs), runs[-1].number))
        for arm, settings in arms.items()
    }
