"""What `sweep run` shows while it works: a live display on a terminal, elsewhere a line for each trial."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import optuna
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from sweep.engine.observer import Observer
from sweep.store.labels import describe_settings
from sweep.store.secrets import redact
from sweep.store.summary import best_of
from sweep.store.trials import TrialView

STYLES = {"budget": "green", "converged": "green", "collapsed": "yellow", "regressed": "yellow"}


class Display(Observer):
    """Shows a run on the console; with `quiet` (for --json) nothing."""

    def __init__(self, console: Console, quiet: bool = False) -> None:
        self.console, self.quiet = console, quiet
        self.live: Live | None = None
        self.study: optuna.Study | None = None
        self.running: dict[int, dict[str, Any]] = {}
        self.outcomes: dict[str, int] = {}
        self.durations: list[float] = []
        self.began = 0.0
        self.left: Callable[[], int] = lambda: 0
        self.total, self.workers = 0, 1
        self.best = "none yet"
        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=console
        )

    def say(self, text: str) -> None:
        if not self.quiet:
            self.console.print(redact(text), highlight=False, markup=False, soft_wrap=True)

    def start(self, study: optuna.Study, workers: int, left: Callable[[], int]) -> None:
        """`left`: how many trials are still to be started, as far as that is known at the time."""
        self.study, self.began = study, time.monotonic()
        self.left, self.workers = left, workers
        self.total = left()
        self.task = self.bar.add_task("trials", total=self.total)
        if self.console.is_terminal and not self.quiet:
            self.live = Live(self._picture(), console=self.console, refresh_per_second=4)
            self.live.start()

    def stop(self) -> None:
        if self.live:
            self.live.update(self._picture())
            self.live.stop()
            self.live = None

    def refresh(self) -> None:
        if self.live:
            self.live.update(self._picture())

    def progress(self, worker: int, facts: dict[str, Any]) -> None:
        if "trial" in facts:
            self.running[worker] = {"began": time.monotonic()}
        self.running.setdefault(worker, {"began": time.monotonic()}).update(facts)

    def trial_over(self, worker: int, number: int) -> None:
        assert self.study is not None
        facts = self.running.pop(worker, None)
        trials = self.study.get_trials(deepcopy=False)
        trial = TrialView(trials[number])
        self.outcomes[trial.outcome] = self.outcomes.get(trial.outcome, 0) + 1
        if facts:
            self.durations.append(time.monotonic() - facts["began"])
        done = sum(self.outcomes.values())
        self.total = done + len(self.running) + self.left()
        self.bar.update(self.task, completed=done, total=self.total)
        best = best_of(trials)
        self.best = "none yet" if best is None else f"{best.value:.2f} (trial {best.trial})"
        told = describe_trial(facts or {})
        self.say(
            f"[{done}/{self.total}] trial {number}: {f'{told}: ' if told else ''}{trial.outcome}"
            f"{'' if trial.objective is None else f', objective {trial.objective:.2f}'}"
            f" · best {self.best} · {self._time_left()}"
        )

    def _time_left(self) -> str:
        left = self.total - sum(self.outcomes.values())
        if not self.durations or left <= 0:
            return f"{_clock(time.monotonic() - self.began)} spent"
        # Each running trial counts for what is left of it; the workers share the rest.
        mean = statistics.mean(self.durations)
        spent = sum(time.monotonic() - r["began"] for r in self.running.values())
        return f"about {_clock(max(0.0, (left * mean - spent) / min(self.workers, left)))} left"

    def _picture(self) -> Group:
        table = Table.grid(padding=(0, 2))
        for worker, facts in sorted(self.running.items()):
            value = facts.get("objective")
            table.add_row(
                f"worker {worker}",
                f"trial {facts.get('trial', '?')}",
                describe_trial(facts),
                f"epoch {facts.get('epoch', 0)}/{facts.get('epochs', '?')}",
                "" if value is None else f"objective {value:.2f}",
            )
        counts = Text("outcomes: ")
        for outcome, count in sorted(self.outcomes.items()):
            counts.append(f"{outcome} {count}  ", STYLES.get(outcome, "red"))
        return Group(self.bar, table, counts, Text(f"best so far: {self.best} · {self._time_left()}"))


def describe_trial(facts: Mapping[str, Any]) -> str:
    """The trial's arm and what was searched for it, as far as its worker has told."""
    parts = [facts.get("arm", ""), describe_settings(facts.get("settings", {}))]
    return ", ".join(part for part in parts if part)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"
