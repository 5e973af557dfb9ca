"""When a claim is looked at, and at which level: fixed here, before any data.

Looking at every block and stopping at the first p below .05 finds what is not there in far more than one of
twenty studies. The levels below add up to .05 over all looks.
"""

import numpy as np
from numpy.typing import NDArray

LEVELS = {6: 0.010, 9: 0.012, 13: 0.013, 20: 0.015}
"""Number of blocks at each look, and the one-sided level of p there."""
LOOKS = tuple(LEVELS)

COLUMNS_LEVEL = 0.05
"""Of the one look at seeds in columns; p is two-sided there, twice the one-sided."""
STRATA, SEEDS_IN_STRATA = 3, 3
SEEDS_ALONE = 5
"""Columns are judged from 3 columns with 3 runs a side each on, or with 5 runs a side in each."""


def next_look(blocks: int, pairs: bool = False) -> int | None:
    """The first look that needs more than `blocks` blocks; None after the last.

    pairs: one arm is compared with one, so that the smallest p of so many blocks is 2^-blocks: looks at which
    that is above the level cannot decide.
    """
    deciding = (look for look, level in LEVELS.items() if not pairs or 0.5**look <= level)
    return next((look for look in deciding if look > blocks), None)


def holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjusted p over the last axis, each to be compared with the level of all together (Holm 1979)."""
    tests = p.shape[-1]
    order = p.argsort(-1)
    times = np.arange(tests, 0, -1)
    ordered = np.maximum.accumulate(np.minimum(1.0, np.take_along_axis(p, order, -1) * times), axis=-1)
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, ordered, -1)
    return adjusted
