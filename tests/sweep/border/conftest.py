"""What the tests of border maps share."""

from collections.abc import Callable

import numpy as np
import pytest

from sweep.border.mapper import Task


@pytest.fixture
def make_task() -> Callable[..., Task]:
    """make_task(columns=4, seeds=3, ...): a line of columns, searched from 1e-5 to 1e-1."""

    def make(columns: int = 4, seeds: int = 3, **settings: float) -> Task:
        z = np.linspace(0, 1, columns)[:, None]
        values = {"precision": 0.15, "column_budget": 24} | settings
        return Task(z, tuple(range(seeds)), -5.0, -1.0, **values)  # type: ignore[arg-type]

    return make
