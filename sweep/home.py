"""The folder that holds everything a run writes."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from sweep.errors import UserError


@dataclass(frozen=True)
class Home:
    """`mlruns/` in the current directory, or where SWEEP_HOME says; absolute."""

    root: Path

    @classmethod
    def find(cls) -> "Home":
        return cls(Path(os.environ.get("SWEEP_HOME") or "mlruns").expanduser().resolve())

    def create(self) -> "Home":
        """Make the folders.

        Raises:
            UserError: they cannot be written.
        """
        try:
            for folder in (self.artifacts, self.optuna_artifacts, self.checkpoints, self.cache, self.logs):
                folder.mkdir(parents=True, exist_ok=True)
            trial = self.root / f".writable.{os.getpid()}"
            trial.touch()
            trial.unlink()
        except OSError as error:
            raise UserError(
                f"cannot write to {self.root} ({error.strerror}): make it writable, "
                "or name another folder in the environment variable SWEEP_HOME"
            ) from error
        return self

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    @property
    def optuna_artifacts(self) -> Path:
        return self.root / "optuna_artifacts"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def optuna_url(self) -> str:
        return f"sqlite:///{self.root / 'optuna.db'}"

    @property
    def mlflow_url(self) -> str:
        return f"sqlite:///{self.root / 'mlflow.db'}"

    def has_stores(self) -> bool:
        with contextlib.suppress(OSError):
            return (self.root / "optuna.db").exists()
        return False

    def trial_folder(self, study: str, trial: int) -> Path:
        return self.checkpoints / study / str(trial)
