"""How many of a worker's lanes may be at work at once, by what has happened in it."""


class Room:
    """The lanes of one worker, and of those that replace it.

    A process that dies takes the trials of all its lanes with it, and one of them at most was at fault; the
    memory of a GPU that ran out was full of all of them. So fewer are at work then: what is at fault is soon
    alone, and only what was alone is charged with it.
    """

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        self._most, self._well = lanes, 0
        self._closed: list[int] = []

    @property
    def open(self) -> int:
        """Lanes that may be at work at once; at least 1."""
        return max(1, min(self._most, self.lanes - len(self._closed)))

    def crashed(self, at_work: int) -> None:
        """The process died with so many trials at work: half as many from now on."""
        self._well = 0
        if at_work > 1:
            self._most = max(1, at_work // 2)

    def succeeded(self) -> None:
        """A trial ended with a result. After as many as lanes are open, twice as many are."""
        self._well += 1
        if self._most < self.lanes and self._well >= self._most:
            self._most, self._well = min(self.lanes, 2 * self._most), 0

    def out_of_memory(self, root: int, was_beside: bool) -> bool:
        """A trial did not fit. Returns whether that may be the fault of those beside it.

        If so, one lane is closed. If not, those that were closed for the same trial are opened again.

        root: the trial's first attempt. was_beside: whether another was at work during any part of it.
        """
        if not was_beside:
            self._closed = [other for other in self._closed if other != root]
            return False
        if self.open > 1:
            self._closed.append(root)
        return True
