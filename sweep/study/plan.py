"""The plan of a study at one scale: a base config, axes to search, arms to compare, what to confirm."""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from itertools import product
from typing import Annotated, Any

from pydantic import Field, model_validator

from sweep.errors import UserError
from sweep.study.axes import Axis, FloatAxis, IntAxis
from sweep.study.blocks import Blocks
from sweep.study.border_plan import BorderPlan
from sweep.study.claims import Claim
from sweep.study.config import (
    KIND,
    TrialConfig,
    check_path,
    flatten,
    has_path,
    network_of,
    with_settings,
)
from sweep.study.frozen import Frozen, Value
from vae.kinds import short

LR = "optim.lr"


class Arm(Frozen):
    """Values held fixed while the other axes are searched, so that arms can be compared fairly.

    Every arm gets an equal share of the trials and a sampler of its own.
    from_trial: the trial number from which the arm takes its turn, so that only larger budgets spend on it.
    settings: further settings of its trials, which are not axes.
    grid: the arm's first trials take the product of these values in turn; the sampler proposes the rest.
    confirm_only: the arm fixes every axis, so it is not explored, only repeated beside the others' best.
    """

    name: str
    fixed: Mapping[str, int | float | str | bool] = Field(default_factory=dict)
    from_trial: int = 0
    settings: Mapping[str, int | float | str | bool] = Field(default_factory=dict)
    grid: Mapping[str, tuple[Value, ...]] = Field(default_factory=dict)
    confirm_only: bool = False

    def point(self, number: int) -> dict[str, Any]:
        """The values of the arm's trial of that number (from 0) that are not left to the sampler."""
        points = [dict(zip(self.grid, values, strict=True)) for values in product(*self.grid.values())]
        return dict(self.fixed) | (points[number] if number < len(points) else {})

    def agrees(self, settings: Mapping[str, Any]) -> bool:
        """Whether the arm can be run with these settings: it sets none of them to another value."""
        own = {**self.settings, **self.fixed}
        return all(settings.get(path, value) == value for path, value in own.items())

    def without(self, paths: Collection[str]) -> "Arm":
        """A copy that leaves these axes alone."""
        return self.model_copy(
            update={
                "fixed": {path: value for path, value in self.fixed.items() if path not in paths},
                "grid": {path: values for path, values in self.grid.items() if path not in paths},
            }
        )


class Confirm(Frozen):
    """The phase after explore: the best setting of every arm, repeated over fresh seeds, the same for all.

    settings: further settings of a confirming trial, such as {"epochs": 12}; what its arm fixes goes first.
    shared: choice axes for which every arm takes the value that did best over all arms, so that runs paired
        by seed differ in the arm alone.
    """

    seeds: Annotated[int, Field(ge=2)] = 5
    settings: Mapping[str, int | float | str | bool] = Field(default_factory=dict)
    shared: tuple[str, ...] = ()

    def without(self, paths: Collection[str]) -> "Confirm":
        """A copy that does not touch these settings."""
        return self.model_copy(
            update={
                "settings": {path: value for path, value in self.settings.items() if path not in paths},
                "shared": tuple(path for path in self.shared if path not in paths),
            }
        )


class Plan(Frozen):
    """A study at one scale: `trials` is the default number of explore trials of a `run`.

    confirm: repeats the best setting of every arm; None: it does not.
    blocks: the runs that claims rest on; None: the study only explores. claims: what they are to decide.
    border: maps a border instead; its phases decide every trial, and arms, `trials`, `confirm` are unused.
    carries: groups of arms: whether the rate that the first of a group tunes in a block suits the others
        (`sweep.evidence.carried`).
    """

    base: TrialConfig
    axes: tuple[Axis, ...]
    arms: tuple[Arm, ...] = (Arm(name="all"),)
    trials: Annotated[int, Field(ge=1)]
    confirm: Confirm | None = None
    blocks: Blocks | None = None
    claims: tuple[Claim, ...] = ()
    border: BorderPlan | None = None
    carries: tuple[tuple[str, ...], ...] = ()
    caps: Mapping[str, float] = Field(default_factory=dict)
    """Arm -> largest learning rate inside the border that the study `capped_by` mapped; not in `identity`."""
    capped_by: str | None = None

    @classmethod
    def for_border(cls, base: TrialConfig, border: BorderPlan, claims: tuple[Claim, ...] = ()) -> "Plan":
        """The plan of a border study: its axes are those of the plane.

        claims: about runs at the plan's distances, which are arms called "0.3 decades below" (`at_distance`).
        """
        plane = border.plane
        axes: list[Axis] = [FloatAxis(path=plane.searched, low=plane.low, high=plane.high, log=True)]
        for across in plane.across:
            low, high = min(across.values), max(across.values)
            for path in across.paths:
                if all(isinstance(value, int) for value in across.values):
                    axes.append(IntAxis(path=path, low=int(low), high=int(high)))
                else:
                    axes.append(FloatAxis(path=path, low=low, high=high, log=across.log and low > 0))
        return cls(base=base, axes=tuple(axes), trials=1, border=border, claims=claims)

    @model_validator(mode="after")
    def _consistent(self) -> "Plan":
        axes = {axis.path: axis for axis in self.axes}
        for path in axes:
            self._check_path(path)
        if not any(arm.from_trial == 0 for arm in self._explored()):
            raise ValueError("a plan needs an arm that takes part from trial 0")
        for arm in self.arms:
            self._check(arm, axes)
        if self.confirm is not None:
            for path in self.confirm.settings:
                self._check_path(path)
            for path in self.confirm.shared:
                if path not in axes or axes[path].kind != "choice":
                    raise ValueError(f"confirm shares {path}, which is no axis of choices")
        self._check_claims()
        if self.blocks is not None:
            self._check_blocks(self.blocks, axes)
        return self

    def _check_path(self, path: str, settings: Mapping[str, Any] | None = None) -> None:
        check_path(path, network_of(self.base, settings or {}))

    def _check_claims(self) -> None:
        names = {arm.name for arm in self.arms}
        if unknown := sorted({name for group in self.carries for name in group} - names):
            raise ValueError(f"carries names {unknown[0]!r}, which is no arm of the plan")
        for claim in self.claims:
            if claim.paired == "block" and self.blocks is None:
                raise ValueError(f"claim {claim.key!r} is judged by blocks, and the plan has none")
            unknown = sorted(set(claim.arms) - names) if claim.paired == "block" else []
            if unknown:
                raise ValueError(f"claim {claim.key!r} compares {unknown[0]!r}, which is no arm of the plan")

    def _check_blocks(self, blocks: Blocks, axes: Mapping[str, Axis]) -> None:
        for path in (*blocks.grid, *blocks.settings):
            self._check_path(path)
        for arm in self.block_arms():
            for point in blocks.points(arm.fixed):
                for path, value in self.in_block(arm, point).items():
                    if path in axes and not axes[path].holds(value):
                        raise ValueError(
                            f"in blocks arm {arm.name!r} has {path}={value!r}, which is outside the axis: "
                            "give a value in the blocks' grid or settings"
                        )

    def block_arms(self) -> list[Arm]:
        """The arms that are compared in blocks, in the order in which a block runs them."""
        wanted = {name for claim in self.claims if claim.paired == "block" for name in claim.arms}
        wanted |= {name for group in self.carries for name in group}
        if self.blocks is not None and self.blocks.arms:
            wanted = set(self.blocks.arms)
        return [arm for arm in self.arms if arm.name in wanted]

    def tried_in_block(self, arm: Arm) -> dict[int, dict[str, Any]]:
        """What an arm tries in each block, by number.

        Of learning rates those inside a border that was mapped, or the smallest.
        """
        assert self.blocks is not None
        tried = dict(enumerate(self.blocks.points(arm.fixed)))
        cap = self.caps.get(arm.name)
        if cap is None or not all(LR in point for point in tried.values()):
            return tried
        inside = {number: point for number, point in tried.items() if point[LR] <= cap}
        smallest = min(tried, key=lambda number: tried[number][LR])
        return inside or {smallest: tried[smallest]}

    def in_block(self, arm: Arm, point: Mapping[str, Any]) -> dict[str, Any]:
        """All that a run of a block sets, path -> value: a value for every axis, and further settings.

        What the arm fixes goes before the grid, that before the blocks' settings, and they before the base.
        """
        assert self.blocks is not None
        base = flatten(self.base.model_dump(mode="json"))
        axes = {axis.path: base[axis.path] for axis in self.axes}
        return {**axes, **self.blocks.settings, **point, **arm.settings, **arm.fixed}

    def _check(self, arm: Arm, axes: Mapping[str, Axis]) -> None:
        points = [*arm.fixed.items(), *((path, v) for path, values in arm.grid.items() for v in values)]
        for path, value in points:
            if path not in axes or not axes[path].holds(value):
                raise ValueError(f"arm {arm.name!r} fixes {path}={value!r}, which no axis holds")
        for path in arm.settings:
            self._check_path(path, arm.settings)
            if path in axes:
                raise ValueError(f"arm {arm.name!r} sets {path}, which is an axis: fix it")
        if arm.confirm_only and (self.confirm is None or axes.keys() - arm.fixed.keys()):
            raise ValueError(
                f"arm {arm.name!r} is only confirmed: it must fix every axis, of a plan that confirms"
            )

    def _explored(self) -> list[Arm]:
        return [arm for arm in self.arms if not arm.confirm_only]

    def arm_of(self, trial: int) -> Arm:
        """The arm of an explored trial, by its number: arms take turns, so workers need not agree."""
        active = [arm for arm in self._explored() if arm.from_trial <= trial]
        return active[trial % len(active)]

    def configs(self) -> Iterator[TrialConfig]:
        """A config of every arm, its integer axes at their upper ends; in a border study, of every column.

        Raises:
            UserError: one of them is not valid, such as depths that do not fit the tiles.
        """
        apart: list[dict[str, Any]]
        if self.border:
            apart = [self.border.plane.settings(column) for column in self.border.plane.columns]
        else:
            largest: dict[str, Any] = {
                axis.path: axis.high for axis in self.axes if isinstance(axis, IntAxis)
            }
            apart = [{**largest, **arm.settings, **arm.fixed} for arm in self.arms]
        for settings in apart:
            yield with_settings(self.base, settings)

    def with_settings(self, settings: Mapping[str, Any]) -> "Plan":
        """A copy with settings applied: an axis that is set is not searched, and arms with another value go.

        Raises:
            UserError: no arm is left, a value is not valid, or the network has not what the study is about.
        """
        if KIND in settings:
            return self._of_network(settings)._with_settings(settings)
        return self._with_settings(settings)

    def _of_network(self, settings: Mapping[str, Any]) -> "Plan":
        """The plan for another network: of a plane those axes that it has, which may be none."""
        network = network_of(self.base, settings)

        def has(path: str) -> bool:
            return has_path(path, network)

        if self.border is not None:
            axes = tuple(axis for axis in self.axes if has(axis.path))
            return self.model_copy(update={"border": self.border.over(has), "axes": axes})
        own = [axis.path for axis in self.axes]
        own += [path for arm in self.arms for path in (*arm.settings, *arm.fixed, *arm.grid)]
        if missing := [path for path in own if not has(path)]:
            raise UserError(
                f"this study is about {missing[0]}, which {short(str(settings[KIND]))} has not: run "
                "border_study, or a study of your own"
            )
        return self

    def _with_settings(self, settings: Mapping[str, Any]) -> "Plan":
        pinned = {axis.path: settings[axis.path] for axis in self.axes if axis.path in settings}
        if pinned and self.border:
            raise UserError(f"{next(iter(pinned))} is what this study maps: it cannot be set")
        arms = [arm for arm in self.arms if arm.agrees(settings)]
        explored = [arm for arm in arms if not arm.confirm_only]
        if not any(arm.from_trial == 0 for arm in explored):
            arms = [arm.model_copy(update={"from_trial": 0}) for arm in arms]
        if not explored:
            own = {path for arm in self.arms for path in (*arm.fixed, *arm.settings)}
            asked = ", ".join(f"{k}={v}" for k, v in settings.items() if k in own)
            names = ", ".join(arm.name for arm in self._explored())
            raise UserError(f"no arm of the study has {asked}; its arms are {names}")
        left = {arm.name for arm in arms}
        carries = (tuple(name for name in group if name in left) for group in self.carries)
        return self.model_copy(
            update={
                "base": with_settings(self.base, settings),
                "confirm": None if self.confirm is None else self.confirm.without(settings),
                "blocks": None if self.blocks is None else self.blocks.without(settings),
                "claims": tuple(claim for claim in self.claims if claim.keeps(left)),
                "carries": tuple(group for group in carries if len(group) > 1),
                "axes": tuple(axis for axis in self.axes if axis.path not in pinned),
                "arms": tuple(arm.without(pinned) for arm in arms),
            }
        )

    def identity(self) -> dict[str, Any]:
        """What all trials of one stored study have in common, as flat JSON: the space and the base config.

        Left out is what may differ between them: the seed and where a trial runs (threads, device).
        """
        base = flatten(self.base.identity())
        for path in ("seed", "threads", "device", "data.source", "checkpoint_seconds"):
            base.pop(path)
        base.pop("quality_features", None)  # its hash says which features they are
        if KIND in base:  # its hash says which file it is, wherever that lies
            base[KIND] = short(base[KIND])
        for axis in self.axes:
            base.pop(axis.path, None)
        space = {f"axis {a.path}": json.dumps(a.model_dump(mode="json"), sort_keys=True) for a in self.axes}
        arms = {f"arm {a.name}": json.dumps(a.model_dump(mode="json"), sort_keys=True) for a in self.arms}
        border = {} if self.border is None else {"border": self.border.model_dump_json()}
        blocks = {} if self.blocks is None else {"blocks": self.blocks.model_dump_json(exclude={"most"})}
        return base | space | arms | border | blocks


def space_hash(identity: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
