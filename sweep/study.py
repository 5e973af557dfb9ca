"""What a study is: a base config, axes to search, arms to compare; at several scales."""

import hashlib
import importlib
import importlib.util
import json
import pkgutil
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sweep.border.plan import BorderPlan
from sweep.config import TrialConfig, check_path, explain, flatten, with_settings
from sweep.errors import UserError
from vae.registry import nearest

SCALES = ("smoke", "laptop", "paper")
Scale = Literal["smoke", "laptop", "paper"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FloatAxis(_Frozen):
    kind: Literal["float"] = "float"
    path: str
    low: float
    high: float
    log: bool = False

    def holds(self, value: Any) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high


class IntAxis(_Frozen):
    kind: Literal["int"] = "int"
    path: str
    low: int
    high: int

    def holds(self, value: Any) -> bool:
        return isinstance(value, int) and self.low <= value <= self.high


class ChoiceAxis(_Frozen):
    kind: Literal["choice"] = "choice"
    path: str
    choices: tuple[str | float | int | bool, ...]

    def holds(self, value: Any) -> bool:
        return value in self.choices


# Told apart by `kind`: from JSON alone an integer range would pass for a float one.
Axis = Annotated[FloatAxis | IntAxis | ChoiceAxis, Field(discriminator="kind")]


class Arm(_Frozen):
    """Values held fixed while the other axes are searched, so that arms can be compared fairly.

    Every arm gets an equal share of the trials and a sampler of its own. `from_trial`: the arm joins
    the rotation at this trial number, so that only larger budgets spend on it.
    """

    name: str
    fixed: Mapping[str, int | float | str | bool] = Field(default_factory=dict)
    from_trial: int = 0


class Confirm(_Frozen):
    """After explore: the best setting of every arm, repeated over fresh seeds, the same for every arm.

    settings: what a confirming trial sets besides, such as {"epochs": 12}, but for what its arm fixes.
    shared: axes of choices for which every arm takes the value that did best over all arms, so that what is
        paired by seed differs in nothing but the arm.
    """

    seeds: Annotated[int, Field(ge=2)] = 5
    settings: Mapping[str, int | float | str | bool] = Field(default_factory=dict)
    shared: tuple[str, ...] = ()

    def without(self, paths: Collection[str]) -> "Confirm":
        """A copy that leaves these settings as they are."""
        return self.model_copy(
            update={
                "settings": {path: value for path, value in self.settings.items() if path not in paths},
                "shared": tuple(path for path in self.shared if path not in paths),
            }
        )


class Plan(_Frozen):
    """A study at one scale: `trials` is the default number of explore trials of a `run`.

    confirm: what claims rest on; None: the study only explores.
    border: its phases decide every trial, and arms, `trials` and `confirm` have no meaning then.
    """

    base: TrialConfig
    axes: tuple[Axis, ...]
    arms: tuple[Arm, ...] = (Arm(name="all"),)
    trials: Annotated[int, Field(ge=1)]
    confirm: Confirm | None = None
    border: BorderPlan | None = None
    caps: Mapping[str, float] = Field(default_factory=dict)
    """Arm -> largest learning rate inside the border that `capped_by` mapped; not of the identity."""
    capped_by: str | None = None

    @classmethod
    def for_border(cls, base: TrialConfig, border: BorderPlan) -> "Plan":
        """The plan of a border study: its axes are those of the plane."""
        plane = border.plane
        axes: list[Axis] = [FloatAxis(path=plane.searched, low=plane.low, high=plane.high, log=True)]
        for across in plane.across:
            low, high = min(across.values), max(across.values)
            for path in across.paths:
                if all(isinstance(value, int) for value in across.values):
                    axes.append(IntAxis(path=path, low=int(low), high=int(high)))
                else:
                    axes.append(FloatAxis(path=path, low=low, high=high, log=across.log and low > 0))
        return cls(base=base, axes=tuple(axes), trials=1, border=border)

    @model_validator(mode="after")
    def _consistent(self) -> "Plan":
        axes = {axis.path: axis for axis in self.axes}
        for path in axes:
            check_path(path)
        if not self.arms or all(arm.from_trial > 0 for arm in self.arms):
            raise ValueError("a plan needs an arm that takes part from trial 0")
        for arm in self.arms:
            for path, value in arm.fixed.items():
                if path not in axes or not axes[path].holds(value):
                    raise ValueError(f"arm {arm.name!r} fixes {path}={value!r}, which no axis holds")
        if self.confirm is not None:
            for path in self.confirm.settings:
                check_path(path)
            for path in self.confirm.shared:
                if path not in axes or axes[path].kind != "choice":
                    raise ValueError(f"confirm shares {path}, which is no axis of choices")
        return self

    def arm_of(self, trial: int) -> Arm:
        """The arm of a trial, by its number: a rotation, so that workers need not agree on anything."""
        active = [arm for arm in self.arms if arm.from_trial <= trial]
        return active[trial % len(active)]

    def with_settings(self, settings: Mapping[str, Any]) -> "Plan":
        """A copy with fields set: a searched one is searched no more, and arms that fix another value go.

        Raises:
            UserError: no arm is left, or a value does not fit.
        """
        pinned = {axis.path: settings[axis.path] for axis in self.axes if axis.path in settings}
        if pinned and self.border:
            raise UserError(f"{next(iter(pinned))} is what this study maps: it cannot be set")
        arms = [arm for arm in self.arms if all(pinned.get(k, v) == v for k, v in arm.fixed.items())]
        if not any(arm.from_trial == 0 for arm in arms):
            arms = [arm.model_copy(update={"from_trial": 0}) for arm in arms]
        if not arms:
            asked = ", ".join(f"{k}={v}" for k, v in pinned.items())
            names = ", ".join(arm.name for arm in self.arms)
            raise UserError(f"no arm of the study has {asked}; its arms are {names}")
        return self.model_copy(
            update={
                "base": with_settings(self.base, settings),
                "confirm": None if self.confirm is None else self.confirm.without(settings),
                "axes": tuple(axis for axis in self.axes if axis.path not in pinned),
                "arms": tuple(
                    arm.model_copy(update={"fixed": {k: v for k, v in arm.fixed.items() if k not in pinned}})
                    for arm in arms
                ),
            }
        )

    def identity(self) -> dict[str, Any]:
        """What trials of one stored study must share, as flat JSON: the space and the base config.

        The seed and where a trial runs (threads, device) may differ between trials.
        """
        base = flatten(self.base.model_dump(mode="json"))
        for path in ("seed", "threads", "device", "data.source", "checkpoint_seconds"):
            base.pop(path)
        for axis in self.axes:
            base.pop(axis.path, None)
        space = {f"axis {a.path}": json.dumps(a.model_dump(mode="json"), sort_keys=True) for a in self.axes}
        arms = {f"arm {a.name}": json.dumps(a.model_dump(mode="json"), sort_keys=True) for a in self.arms}
        border = {} if self.border is None else {"border": self.border.model_dump_json()}
        return base | space | arms | border


class Study(_Frozen):
    """A named question and its plans."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
    summary: str
    plans: Mapping[Scale, Plan]

    def plan(self, scale: str) -> Plan:
        for name, plan in self.plans.items():
            if name == scale:
                return plan
        raise UserError(f"study {self.name} has no scale {scale!r}; {nearest(scale, self.plans)}")


def space_hash(identity: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def _modules() -> dict[str, str]:
    """Name -> module of what the package `studies` holds."""
    import studies

    return {module.name: f"studies.{module.name}" for module in pkgutil.iter_modules(studies.__path__)}


def shipped() -> dict[str, str]:
    """Name -> module of the studies that come with the package."""
    return {name: module for name, module in _modules().items() if name.endswith("_study")}


def load_preset() -> tuple["Study", Mapping[str, Any]]:
    """The study of one run that `train` makes, and what it sets besides under SGD (`studies/stable.py`)."""
    module = importlib.import_module(_modules()["stable"])
    return module.STUDY, module.STABLE_SGD


def load_study(name: str) -> Study:
    """A shipped study by name, or one from a module that defines `STUDY`, by its path.

    Raises:
        UserError: there is none, or the module does not hold one.
    """
    if name.endswith(".py") or "/" in name:
        return _from_file(Path(name))
    # The commands that a report and `stop` name for what `train` recorded.
    modules = shipped() | {"train": _modules()["stable"]}
    if name not in modules:
        raise UserError(f"there is no study {name!r}; {nearest(name, modules)} or a path to a module")
    study = importlib.import_module(modules[name]).STUDY
    assert isinstance(study, Study)
    return study


def _from_file(path: Path) -> Study:
    if not path.is_file():
        raise UserError(f"there is no study module {path}")
    spec = importlib.util.spec_from_file_location(f"_study_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except ValidationError as error:
        raise UserError(f"{path}: {explain(error)}") from error
    except Exception as error:  # whatever the user's module raises is the user's to mend
        raise UserError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    study = getattr(module, "STUDY", None)
    if not isinstance(study, Study):
        raise UserError(f"{path} defines no STUDY = Study(...)")
    return study
