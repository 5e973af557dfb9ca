"""Faults of a machine, put into workers: memory that holds so many trials, a trial that kills its process.

A `sitecustomize.py` on PYTHONPATH, which every Python reads when it starts; the rest of a worker is as it is.
"""

import os
from pathlib import Path

IN_WORKERS = """
import os, sys

def _put_in():
    import signal, time, weakref
    while not hasattr(sys.modules.get("vae.training.state"), "TrainState"):
        time.sleep(0.001)
    import torch
    state = sys.modules["vae.training.state"].TrainState
    held, make = weakref.WeakSet(), state.__init__

    def faulty(self, config, *others, **named):
        if config.seed == {deadly!r}:
            os.kill(os.getpid(), signal.SIGKILL)
        if len(held) >= {room}:
            raise torch.OutOfMemoryError("this card is full")
        held.add(self)
        make(self, config, *others, **named)

    state.__init__ = faulty

if "sweep.engine.worker" in sys.orig_argv:
    import threading
    threading.Thread(target=_put_in, daemon=True).start()
"""


def put_in(folder: Path, deadly: int | None = None, room: int = 1000) -> dict[str, str]:
    """The environment of a run whose workers have the faults.

    deadly: seed of the trial that kills. room: trials that their memory holds at the same time.
    """
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(IN_WORKERS.format(deadly=deadly, room=room))
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))}
