"""What requests and bytes cost."""

from collections.abc import Mapping

PRICED_ON = "2026-11"
"""When the prices below were taken from AWS's public price list (S3 Standard, eu-central-1, US dollars)."""

PER_LIST = 0.0054 / 1000
PER_GET = 0.00043 / 1000
PER_GB_OUT = 0.09
"""To the internet, the first 10 TB a month; within eu-central-1 it is free."""


def cost(requests: Mapping[str, int], received: int) -> float:
    """Dollars that a requester pays for these requests and bytes, read from outside AWS."""
    reads = sum(count for method, count in requests.items() if method != "LIST")
    return requests.get("LIST", 0) * PER_LIST + reads * PER_GET + received / 1e9 * PER_GB_OUT
