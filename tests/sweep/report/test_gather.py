"""What a report is made of."""

from pathlib import Path

import pytest

from sweep.report.gather import browsed_at
from sweep.store.home import Home


@pytest.mark.parametrize(
    ("tracking", "address"),
    [
        (None, "http://127.0.0.1:5000"),
        ("sqlite:////data/mlflow.db", "http://127.0.0.1:5000"),
        ("http://runs.example:8080/", "http://runs.example:8080"),
        ("https://somebody:s3cret@runs.example/mlflow", "https://runs.example/mlflow"),
    ],
)
def test_runs_are_linked_where_they_are_browsed(tmp_path: Path, tracking: str | None, address: str) -> None:
    assert browsed_at(Home(tmp_path, tracking=tracking)) == address
