"""Workers that a cluster places, on Ray or on Slurm: each is one `sweep worker`.

A cluster decides only where they run: each joins the study by itself, and trials, retries and checkpoints
work as on any machine. The nodes must reach the stores, the data and the home.
"""

import ctypes
import os
import signal
import subprocess
import sys
from typing import Any

import optuna

from sweep.engine.options import Options
from sweep.engine.workers import package_path
from sweep.search.request import UNFINISHED
from sweep.store.home import Home
from sweep.store.study_view import StudyView
from sweep.store.trials import views

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def is_complete(study: optuna.Study) -> bool:
    """Whether no trial runs or waits, and the phases want no more."""
    from sweep.engine import agenda
    from sweep.evidence.verdicts import wanted_blocks

    trials = study.get_trials(deepcopy=False)
    if not trials or any(trial.state in UNFINISHED for trial in trials):
        return False
    view = StudyView.of(study)
    wanted = wanted_blocks(view.plan, views(trials, view.plan), view.blocks_total)
    parts = agenda.phases(view.plan, view.explore_total, wanted)
    return agenda.next_request(parts, trials) is None


def start(words: tuple[str, ...], environment: dict[str, str], **pipes: Any) -> "subprocess.Popen[str]":
    """`python -m sweep WORDS`, which gets SIGTERM when this process dies, and leaves its trials then."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "sweep", *words],
        env=os.environ | environment,
        text=True,
        preexec_fn=_prepare if sys.platform == "linux" else None,  # noqa: PLW1509 - libc and signals only
        **pipes,
    )


def _prepare() -> None:
    """The two signals that clusters let users choose as a warning are for the process that placed this one;
    Slurm sends them to every process of a job, and whoever does not listen would die of them."""
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def words_of(options: Options) -> list[str]:
    """What each `sweep worker` is told of the user's choices."""
    words = ["--max-retries", str(options.max_retries), "--max-failures", str(options.max_failures)]
    if options.device:
        words += ["--device", options.device]
    if options.lanes:
        words += ["--lanes", str(options.lanes)]
    return words


def environment(home: Home) -> dict[str, str]:
    """The home, its stores and the packages. Passwords travel here, never on a command line."""
    known = {
        "SWEEP_HOME": str(home.root),
        "SWEEP_STORAGE": home.storage,
        "SWEEP_TRACKING_URI": home.tracking,
        "SWEEP_CHECKPOINT_URI": home.checkpoint_uri,
        "SWEEP_TRACKER": home.tracker,
    }
    return {name: value for name, value in known.items() if value} | package_path()


def unshared(home: Home) -> str | None:
    """A caution where the trials are in a file of this machine; None where other nodes reach them."""
    if home.storage is not None and home.storage.partition(":")[0] != "sqlite":
        return None
    return (
        "the trials are in a database file, which only workers on this machine can share: for several nodes "
        "name a PostgreSQL server with --storage (docs/cluster.md says what else they must reach)"
    )
