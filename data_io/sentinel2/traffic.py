"""How many requests were sent, and how many bytes came back."""

import threading


class Traffic:
    """Counts of all threads of a fetch. requests: by method; pages of a search count as LIST."""

    def __init__(self) -> None:
        self.requests: dict[str, int] = {"LIST": 0, "GET": 0, "HEAD": 0}
        self.received = 0
        self._lock = threading.Lock()

    def sent(self, method: str, count: int = 1) -> None:
        with self._lock:
            self.requests[method] += count

    def came(self, count: int) -> None:
        with self._lock:
            self.received += count
