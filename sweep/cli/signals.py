"""Ctrl-C and SIGTERM while a study runs, and the exit code that tells of them."""

import signal
from types import FrameType

from sweep.engine.limits import Stop
from sweep.engine.run import Finished

EXIT_FAILED, EXIT_INTERRUPTED, EXIT_TERMINATED = 1, 130, 143
INSISTS = 3
"""Whoever sends more signals than this is obeyed at once, whatever the run is waiting for."""


class Signals:
    """Within `with`, SIGINT and SIGTERM are passed on to the run as `stop`.

    The first Ctrl-C finishes the running trials; the second, or SIGTERM, leaves them. While no trials run
    (data and stores are being prepared, results written), either signal ends the program.
    """

    def __init__(self) -> None:
        self.stop = Stop()
        self._received: list[int] = []

    def __enter__(self) -> "Signals":
        self._before = {s: signal.signal(s, self._receive) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self._received.append(number)
        if not self.stop.is_heard or len(self._received) > INSISTS:
            raise SystemExit(EXIT_TERMINATED) if number == signal.SIGTERM else KeyboardInterrupt
        if number == signal.SIGTERM:
            self.stop.leave()
        elif len(self._received) > 1:
            self.stop.leave("interrupted")
        else:
            self.stop.finish("interrupted", "finishing the running trials; press Ctrl-C again to stop now")

    @property
    def interrupted(self) -> bool:
        return bool(self._received)

    def exit_code(self, finished: Finished) -> int:
        if signal.SIGTERM in self._received:
            return EXIT_TERMINATED
        if self._received:
            return EXIT_INTERRUPTED
        return EXIT_FAILED if finished.failed else 0
