"""What a fetch says while it runs, and in the end."""

from typing import Protocol

from pydantic import BaseModel


class Report(BaseModel):
    """What a fetch did. decisions: of all scenes in its scope. failures: a sentence each."""

    decisions: dict[str, int]
    downloaded: int = 0
    already_there: int = 0
    to_download: int = 0
    to_download_bytes: int = 0
    failures: list[str]
    requests: dict[str, int]
    received_bytes: int
    estimated_requests: dict[str, int]
    estimated_bytes: int
    cost_requester_pays: float
    cost_otherwise: float = 0.0
    unsigned: bool
    dry_run: bool
    out: str


class Reporter(Protocol):
    """Hears of the progress, from several threads."""

    def stage(self, name: str, total: int) -> None: ...
    def advance(self) -> None: ...
    def received(self, count: int) -> None: ...


class Quiet:
    """Says nothing."""

    def stage(self, name: str, total: int) -> None: ...
    def advance(self) -> None: ...
    def received(self, count: int) -> None: ...
