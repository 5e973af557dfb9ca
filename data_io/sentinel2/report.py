"""What a fetch reports: its progress, its results, and what its requests and bytes cost."""

from collections.abc import Mapping
from typing import Protocol

from pydantic import BaseModel

PRICED_ON = "2026-11"
"""When these prices were taken from AWS's public price list (S3 Standard, eu-central-1, US dollars)."""

PER_LIST = 0.0054 / 1000
PER_GET = 0.00043 / 1000
PER_GB_OUT = 0.09
"""For the first 10 TB a month to the internet; traffic within eu-central-1 is free."""


class Report(BaseModel):
    """What a fetch did, or a dry run found out.

    decisions: number of scenes in its scope by decision. failures: a sentence for each. Costs are in dollars.
    """

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
    """Receives the progress of a fetch, from several threads at once."""

    def stage(self, name: str, total: int) -> None:
        """A stage of `total` steps begins."""

    def advance(self) -> None:
        """One step of the stage is done."""

    def received(self, count: int) -> None:
        """`count` more bytes of images have arrived."""


class Quiet:
    """A Reporter that reports nothing."""

    def stage(self, name: str, total: int) -> None: ...
    def advance(self) -> None: ...
    def received(self, count: int) -> None: ...


def cost(requests: Mapping[str, int], received: int) -> float:
    """Dollars that a requester outside AWS pays for these requests (by method) and received bytes."""
    reads = sum(count for method, count in requests.items() if method != "LIST")
    return requests.get("LIST", 0) * PER_LIST + reads * PER_GET + received / 1e9 * PER_GB_OUT
