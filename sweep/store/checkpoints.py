"""Where a trial's resumable state is kept: one folder for each root trial, and a copy for other machines."""

import contextlib
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sweep.store.home import Home

STATE = "state.pt"
PATTERNS = (STATE, f"{STATE}.*", "*.parquet", ".*.partial")
"""Files of a run under way; the weights of a finished run are kept."""


class Checkpoints:
    """The state of one trial, under the number of its first attempt, the root.

    Files are local. With `home.checkpoint_uri` they are also copied there, the checkpoint last, and fetched
    from there. A copy that fails is only logged: the local files are complete.
    """

    def __init__(self, home: Home, study: str, root: int) -> None:
        self.folder = home.trial_folder(study, root)
        self.state = self.folder / STATE
        self._remote: tuple[Any, str] | None = None
        if home.checkpoint_uri:
            import fsspec

            system, path = fsspec.core.url_to_fs(home.checkpoint_uri)
            self._remote = system, f"{path.rstrip('/')}/{study}/{root}"

    def fetch(self) -> bool:
        """Fetch the state from where other machines keep it; returns whether there is one here afterwards."""
        if self._remote:
            system, there = self._remote
            with _tolerated("read"):
                if system.exists(f"{there}/{STATE}"):
                    self.folder.mkdir(parents=True, exist_ok=True)
                    for path in system.ls(there, detail=False):
                        if not path.endswith(".partial"):
                            system.get_file(path, str(self.folder / Path(path).name))
        return self.state.exists()

    def write(self, path: Path, content: bytes) -> None:
        """Write one file of the state, atomically."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.partial")
        partial.write_bytes(content)
        partial.replace(path)

    def publish(self, parts: Sequence[Path]) -> None:
        """Copy the parts that the checkpoint needs, then the checkpoint."""
        if self._remote:
            system, there = self._remote
            with _tolerated("written"):
                system.makedirs(there, exist_ok=True)
                for path in (*parts, self.state):
                    system.put_file(str(path), f"{there}/{path.name}.partial")
                    system.mv(f"{there}/{path.name}.partial", f"{there}/{path.name}")

    def discard(self) -> None:
        """Delete the state of a trial that has its result."""
        for pattern in PATTERNS:
            for path in self.folder.glob(pattern):
                path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()  # where no weights are in it
        if self._remote:
            system, there = self._remote
            with _tolerated("removed"), contextlib.suppress(FileNotFoundError):
                system.rm(there, recursive=True)


@contextlib.contextmanager
def _tolerated(what: str) -> Any:
    try:
        yield
    except Exception as error:  # every file system of fsspec raises kinds of its own
        print(f"the checkpoint's copy could not be {what}: {error}", file=sys.stderr, flush=True)
