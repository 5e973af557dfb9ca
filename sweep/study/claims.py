"""Claims as a study declares them: which arms are compared, on what, and which way they should differ.

What is declared here is judged by `sweep.evidence`; it is fixed in a commit before the data that it judges.
"""

from collections.abc import Collection, Iterator
from typing import Annotated, Literal

from pydantic import Field

from sweep.study.frozen import Frozen

Names = Annotated[tuple[str, ...], Field(min_length=1)]


class Endpoint(Frozen):
    """A quantity that runs are compared by.

    key: the name under which every trial records it, or one of `EPOCHS_TO_TARGET`'s kind that is derived.
    better: which way is the better one. A run that diverged has the worst value, whichever way that is.
    """

    key: str
    title: str
    better: Literal["lower", "higher"] = "lower"


TEST_LOSS = Endpoint(key="test/objective", title="loss on test tiles")
SAMPLES = Endpoint(key="quality/kid_imagenet", title="KID of samples")
EPOCHS_TO_STOP = Endpoint(key="epochs_to_stop", title="epochs to early stopping")
EPOCHS_TO_TARGET = Endpoint(key="epochs_to_target", title="epochs to a fixed objective")
VOLATILITY = Endpoint(key="stability/grad_norm_volatility", title="gradient-norm volatility")
QUALITY = (TEST_LOSS, SAMPLES)
"""What a claim about quality is judged on, each for itself; where the two disagree, that is said."""


class Contrast(Frozen):
    """A prediction: the runs of the arms `worse` are worse than those of the arms `better`.

    not_better: only that they are not better by `margin` or more (non-superiority).
    endpoint: what this contrast is judged on; None: on each of its claim's.
    margin: the smallest difference of interest, as a share of the value.
    """

    worse: Names
    better: Names
    not_better: bool = False
    endpoint: Endpoint | None = None
    margin: Annotated[float, Field(ge=0)] = 0.05


def at_distance(decades: float) -> str:
    """What the runs of a border study at this distance below the border are called, as an arm."""
    return f"{decades:g} decades below"


class Claim(Frozen):
    """Predictions that must all hold.

    endpoints: the claim is judged on each for itself, with its own verdict.
    paired: what one value of an arm is paired with in the others: a block (a seed of the run and a seed of
        the split, in which every arm tuned its rate), or a column of a border map, with several seeds in it.
    """

    key: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    title: str
    statement: str
    contrasts: Annotated[tuple[Contrast, ...], Field(min_length=1)]
    endpoints: tuple[Endpoint, ...] = QUALITY
    paired: Literal["block", "column"] = "block"

    def on(self, endpoint: Endpoint) -> Iterator[tuple[Contrast, Endpoint]]:
        """Its contrasts and what each is judged on, where the claim is judged on `endpoint`."""
        for contrast in self.contrasts:
            yield contrast, contrast.endpoint or endpoint

    @property
    def arms(self) -> tuple[str, ...]:
        """All arms that it compares, each once."""
        named = (arm for contrast in self.contrasts for arm in (*contrast.worse, *contrast.better))
        return tuple(dict.fromkeys(named))

    @property
    def of_pairs(self) -> bool:
        """Whether every contrast is of one arm with one other."""
        return all(len(contrast.worse) == len(contrast.better) == 1 for contrast in self.contrasts)

    def keeps(self, arms: Collection[str]) -> bool:
        """Whether it can still be judged where only these arms of a plan are left."""
        return self.paired != "block" or set(self.arms) <= set(arms)
