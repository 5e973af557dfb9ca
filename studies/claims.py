"""The published claims (M. Heimerl, July 2023), as what must differ between which arms, and on what.

Fixed before the data that they judge. Each is judged on the loss on test tiles and on the samples, with a
verdict for each.
"""

from collections.abc import Sequence

from sweep.study import EPOCHS_TO_STOP, EPOCHS_TO_TARGET, VOLATILITY, Claim, Contrast, at_distance

MIDDLE = (4, 5)


def about_depth(depths: Sequence[int], where: str = "") -> tuple[Claim, ...]:
    """Of arms called "depth 4" and so on. where: further words of the statements."""
    middle = tuple(f"depth {d}" for d in MIDDLE)
    deep = [f"depth {d}" for d in sorted(depths) if d > max(MIDDLE)]
    shallow = [f"depth {d}" for d in sorted(depths) if d < min(MIDDLE)]
    words = f" {where}" if where else ""
    return (
        Claim(
            key="deeper_is_not_better",
            title="Depth: deeper is not better",
            statement=f"More layers than four or five do not give better models{words}, by 5 % or more.",
            contrasts=tuple(Contrast(worse=(arm,), better=middle, not_better=True) for arm in deep),
        ),
        Claim(
            key="middle_is_best",
            title="Depth: four or five layers are best",
            statement=f"More layers than four or five, and fewer, give worse models{words}.",
            contrasts=tuple(Contrast(worse=(arm,), better=middle) for arm in (*shallow, *deep)),
        ),
        Claim(
            key="deeper_is_slower",
            title="Depth: deeper takes longer",
            statement=f"More layers than four or five take more epochs to the same objective{words}.",
            contrasts=tuple(Contrast(worse=(arm,), better=middle) for arm in deep),
            endpoints=(EPOCHS_TO_TARGET,),
        ),
    )


def about_stopping(depths: Sequence[int]) -> tuple[Claim, ...]:
    """Of the same arms, at a length at which early stopping fires."""
    deep = [f"depth {d}" for d in sorted(depths) if d > max(MIDDLE)]
    middle = tuple(f"depth {d}" for d in MIDDLE)
    return (
        Claim(
            key="deeper_stops_later",
            title="Depth: deeper stops later",
            statement="More layers than four or five train for more epochs before early stopping.",
            contrasts=tuple(Contrast(worse=(arm,), better=middle) for arm in deep),
            endpoints=(EPOCHS_TO_STOP,),
        ),
    )


def about_clipping(doses: Sequence[float]) -> tuple[Claim, ...]:
    """Of the arms "no clipping" and "clip at 0.1 medians" and so on.

    The smallest dose, which acts at every step, against none and the largest, which acts on spikes alone.
    """
    clipped, gentle = (f"clip at {pick(doses):g} medians" for pick in (min, max))
    what = "Gradient clipping at every step"
    return _steadies("clipping", "Trade-off: clipping", what, ("no clipping", gentle), (clipped,))


def about_schedules(constant: str, decayed: str, in_steps: str) -> tuple[Claim, ...]:
    """A rate that falls early against one that is constant, and against one that falls at the end."""
    return _steadies(
        "schedules",
        "Trade-off: learning-rate schedules",
        "A learning rate that falls early",
        (constant, decayed),
        (in_steps,),
    )


def _steadies(
    key: str, title: str, what: str, plain: tuple[str, ...], steadied: tuple[str, ...]
) -> tuple[Claim, ...]:
    return (
        Claim(
            key=f"{key}_steadies",
            title=f"{title}, stability",
            statement=f"{what} makes gradient norms less volatile.",
            contrasts=(Contrast(worse=plain, better=steadied),),
            endpoints=(VOLATILITY,),
        ),
        Claim(
            key=f"{key}_costs_quality",
            title=f"{title}, quality",
            statement=f"{what} gives worse models.",
            contrasts=(Contrast(worse=steadied, better=plain),),
        ),
        Claim(
            key=f"{key}_costs_time",
            title=f"{title}, time",
            statement=f"{what} takes more epochs to the same objective.",
            contrasts=(Contrast(worse=steadied, better=plain),),
            endpoints=(EPOCHS_TO_TARGET,),
        ),
    )


def about_rates(slow: str, fast: str) -> tuple[Claim, ...]:
    """Two constant rates, of which `fast` is ten times as large."""
    return (
        Claim(
            key="larger_rate_is_better",
            title="Border: a larger rate, quality",
            statement="A constant rate of 1e-3 gives better models than one of 1e-4.",
            contrasts=(Contrast(worse=(slow,), better=(fast,)),),
        ),
        Claim(
            key="larger_rate_is_faster",
            title="Border: a larger rate, time",
            statement="A constant rate of 1e-3 takes fewer epochs to the same objective than one of 1e-4.",
            contrasts=(Contrast(worse=(slow,), better=(fast,)),),
            endpoints=(EPOCHS_TO_TARGET,),
        ),
        Claim(
            key="larger_rate_is_erratic",
            title="Border: a larger rate, stability",
            statement="A constant rate of 1e-3 has more volatile gradient norms than one of 1e-4.",
            contrasts=(Contrast(worse=(fast,), better=(slow,)),),
            endpoints=(VOLATILITY,),
        ),
    )


def about_distances(distances: Sequence[float]) -> tuple[Claim, ...]:
    """The nearest to the mapped border against each of the others, in every column."""
    near, *further = map(at_distance, sorted(distances))
    if not further:
        return ()
    return (
        Claim(
            key="near_is_best",
            title="Border: near it, quality",
            statement="The best models are trained close below the border of stability.",
            contrasts=tuple(Contrast(worse=(arm,), better=(near,)) for arm in further),
            paired="column",
        ),
        Claim(
            key="near_is_fastest",
            title="Border: near it, time",
            statement="Close below the border of stability the same objective takes the fewest epochs.",
            contrasts=tuple(Contrast(worse=(arm,), better=(near,)) for arm in further),
            endpoints=(EPOCHS_TO_TARGET,),
            paired="column",
        ),
        Claim(
            key="near_is_erratic",
            title="Border: near it, stability",
            statement="Close below the border of stability gradient norms are more volatile.",
            contrasts=tuple(Contrast(worse=(near,), better=(arm,)) for arm in further),
            endpoints=(VOLATILITY,),
            paired="column",
        ),
    )
