"""What requests and bytes cost."""

import pytest

from data_io.sentinel2.report import PER_GB_OUT, PER_GET, PER_LIST, cost


def test_a_gigabyte_costs_its_transfer_and_every_request_its_price() -> None:
    assert cost({}, 0) == 0
    assert cost({}, 10**9) == pytest.approx(PER_GB_OUT)
    assert cost({"LIST": 1000}, 0) == pytest.approx(1000 * PER_LIST)
    assert cost({"GET": 700, "HEAD": 300}, 0) == pytest.approx(1000 * PER_GET)
    both = cost({"LIST": 1000, "GET": 1000}, 10**9)
    assert both == pytest.approx(PER_GB_OUT + 1000 * (PER_LIST + PER_GET))
