"""One typed view of a study in the store: the attributes that Optuna keeps by name, as properties."""

import json
import logging
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import optuna
from pydantic import ValidationError

from sweep.store import keys
from sweep.study import Plan

log = logging.getLogger(__name__)


class StudyView:
    """A study's attributes as they were when the view was made: Optuna reads the store for each look."""

    def __init__(self, name: str, attrs: Mapping[str, Any]) -> None:
        self.name, self.attrs = name, attrs

    @classmethod
    def of(cls, study: optuna.Study) -> "StudyView":
        return cls(study.study_name, study.user_attrs)

    @property
    def declared_name(self) -> str:
        """The name of the declaration, which may be recorded under another one."""
        return str(self.attrs.get(keys.STUDY, self.name))

    @property
    def module(self) -> str | None:
        """Path of the module that declares it, as it was given; None for a study that ships."""
        return self.attrs.get(keys.MODULE)

    @property
    def summary(self) -> str:
        return str(self.attrs.get(keys.SUMMARY, ""))

    @property
    def scale(self) -> str:
        return str(self.attrs.get(keys.SCALE, ""))

    @property
    def has_plan(self) -> bool:
        return keys.PLAN in self.attrs

    @cached_property
    def plan(self) -> Plan:
        """Raises ValidationError where another version stored it with other fields."""
        return Plan.model_validate_json(self.attrs[keys.PLAN])

    @cached_property
    def readable_plan(self) -> Plan | None:
        """None where there is none that this version reads: the study's trials are still shown."""
        if not self.has_plan:
            return None
        try:
            return self.plan
        except ValidationError as error:
            log.warning("the stored plan of %s cannot be read by this version: %s", self.name, error)
            return None

    @property
    def maps_border(self) -> bool:
        """Whether its plan maps a border; also of a plan that this version does not read."""
        return self.has_plan and json.loads(self.attrs[keys.PLAN]).get("border") is not None

    @property
    def searched(self) -> list[str]:
        """The paths of its plan's axes; also of a plan that this version does not read."""
        return [axis["path"] for axis in json.loads(self.attrs[keys.PLAN])["axes"]] if self.has_plan else []

    @property
    def identity(self) -> dict[str, Any] | None:
        """What all its trials share: space, base config, data and scale."""
        identity: dict[str, Any] | None = json.loads(self.attrs.get(keys.IDENTITY, "null"))
        return identity

    @property
    def data_hash(self) -> str:
        return str(self.attrs.get(keys.DATA_HASH, ""))

    @property
    def seed(self) -> int:
        return int(self.attrs.get(keys.SEED, 0))

    @property
    def explore_total(self) -> int:
        """Explore trials there should be in the end, over all runs of the study."""
        return int(self.attrs.get(keys.EXPLORE_TOTAL, 0))

    @property
    def blocks_total(self) -> int:
        """Blocks that were asked for by number; 0: as many as decide its claims."""
        return int(self.attrs.get(keys.BLOCKS_TOTAL, 0))

    @property
    def seconds(self) -> float:
        """For which the study was run."""
        return float(self.attrs.get(keys.SECONDS, 0.0))

    @property
    def is_asked_to_stop(self) -> bool:
        return bool(self.attrs.get(keys.STOP, False))

    @property
    def is_linked(self) -> bool:
        """Whether it has its run in the tracking store: the last thing that is set when it is made."""
        return keys.RUN_ID in self.attrs

    @property
    def run_id(self) -> str:
        """The id of the parent run; empty if there is none."""
        return str(self.attrs.get(keys.RUN_ID, ""))

    @property
    def run_key(self) -> str:
        return str(self.attrs[keys.RUN_KEY])

    @property
    def experiment_id(self) -> str:
        return str(self.attrs.get(keys.EXPERIMENT_ID, ""))

    @property
    def reconciled(self) -> int:
        """All trials below this number have ended and agree with their runs."""
        return int(self.attrs.get(keys.RECONCILED, 0))

    @property
    def noted_best(self) -> int | None:
        """The trial whose note says that it is the best."""
        return self.attrs.get(keys.NOTED_BEST)
