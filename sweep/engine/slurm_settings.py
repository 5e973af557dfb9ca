"""What `--slurm KEY=VALUE` says of the jobs, read before anything is written."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sweep.errors import UserError
from vae.names import nearest

TIME_MIN, SIGNAL_DELAY_S = 60, 120
"""Defaults: a job's time limit, and how long before it (or before preemption) its worker is told to leave."""
LEAST_WORK_S = 60
CLUSTERS = ("slurm", "local")
CLOCK = re.compile(r"(?:(?P<days>\d+)-)?(?P<clock>\d+(?::\d+){0,2})")
UNITS = {"s": 1 / 60, "m": 1.0, "h": 60.0}


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise ValueError("write a whole number from 1 on")
    return int(text)


def _gigabytes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ValueError("write the memory in GB, as 16 or 0.5")
    return value


def _text(text: str) -> str:
    if not text or "\n" in text:
        raise ValueError("write one line of text")
    return text


def _cluster(text: str) -> str:
    if text not in CLUSTERS:
        raise ValueError(f"write {' or '.join(CLUSTERS)}")
    return text


def _switch(text: str) -> bool | str:
    switches: dict[str, bool | str] = {"true": True, "user": "user", "mcs": "mcs"}
    if text not in switches:
        raise ValueError(f"write {', '.join(switches)}, or leave it out")
    return switches[text]


def minutes(text: str) -> int:
    """A time limit in whole minutes, rounded up.

    `90m`, `2h`, or as Slurm writes it: minutes, minutes:seconds, hours:minutes:seconds, days-hours,
    days-hours:minutes or days-hours:minutes:seconds.

    Raises:
        ValueError: it is none of these, or zero.
    """
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text):
        seconds = 60 * float(match[1]) * UNITS[match[2]]
    elif match := CLOCK.fullmatch(text):
        parts = [int(part) for part in match["clock"].split(":")]
        if match["days"] is None:  # what comes first is minutes, unless there are three
            parts = parts if len(parts) == 3 else [0, *parts]
        hours, mins, secs = (*parts, 0, 0)[:3]
        seconds = 86400 * int(match["days"] or 0) + 3600 * hours + 60 * mins + secs
    else:
        seconds = 0
    if seconds <= 0:
        raise ValueError("write 90m or 2h, or as Slurm does: 120, 02:00:00 or 1-12:00")
    return int(-(-seconds // 60))


KEYS: dict[str, Callable[[str], Any]] = {
    "cluster": _cluster,
    "time": minutes,
    "signal_delay_s": _whole,
    "mem_gb": _gigabytes,
    **dict.fromkeys(("gpus_per_node", "cpus_per_task", "cpus_per_gpu", "array_parallelism"), _whole),
    **dict.fromkeys(("partition", "account", "qos", "constraint", "nodelist", "exclude"), _text),
    **dict.fromkeys(("gres", "mem_per_gpu", "mem_per_cpu", "dependency", "wckey"), _text),
    **dict.fromkeys(("comment", "mail_type", "mail_user", "setup"), _text),
    "exclusive": _switch,
}
"""The keys, and what reads the value of each; ValueError says how to write it."""
GENERIC = ("mem_gb", "gpus_per_node", "cpus_per_task")
"""Those that submitit knows on every cluster; it wants the others with a prefix."""


@dataclass(frozen=True)
class JobSettings:
    """cluster: slurm, or local for jobs of this machine that submitit itself runs (for tests).

    parameters: what else was given, by key; `setup` is a list of shell lines.
    """

    cluster: str
    time_min: int
    signal_delay_s: int
    parameters: dict[str, Any]

    @classmethod
    def parse(cls, words: Sequence[str]) -> "JobSettings":
        """From words such as `partition=gpu`; a later word replaces an earlier one, but `setup` adds a line.

        Raises:
            UserError: an unknown key, or a value that cannot be one.
        """
        given: dict[str, Any] = {}
        for word in words:
            key, found, text = word.partition("=")
            if not found:
                raise UserError(f"--slurm {word}: write KEY=VALUE, as partition=gpu")
            if key not in KEYS:
                raise UserError(f"--slurm {word}: there is no {key!r}; {nearest(key, tuple(KEYS))}")
            try:
                value = KEYS[key](text)
            except ValueError as error:
                raise UserError(f"--slurm {word}: {error}") from None
            given[key] = [*given.get(key, []), value] if key == "setup" else value
        cluster = given.pop("cluster", CLUSTERS[0])
        time_min = given.pop("time", TIME_MIN)
        delay_s = given.pop("signal_delay_s", min(SIGNAL_DELAY_S, max(10, 60 * time_min - LEAST_WORK_S)))
        if 60 * time_min < delay_s + LEAST_WORK_S and cluster == "slurm":
            raise UserError(
                f"--slurm time={time_min} leaves no time for work: a job is told to leave {delay_s} s before "
                "its end, so give it more, or set signal_delay_s"
            )
        return cls(cluster, time_min, delay_s, given)

    def for_submitit(self) -> dict[str, Any]:
        """The arguments of `AutoExecutor.update_parameters`."""
        chosen = {key if key in GENERIC else f"slurm_{key}": v for key, v in self.parameters.items()}
        if "cpus_per_task" in chosen:  # since Slurm 22.05 a job's step does not ask for what its job has
            chosen["slurm_srun_args"] = [f"--cpus-per-task={chosen['cpus_per_task']}"]
        return chosen | {
            "timeout_min": self.time_min,
            "slurm_signal_delay_s": self.signal_delay_s,
            "slurm_additional_parameters": {"requeue": True, "export": "ALL"},
        }
