"""Things that a setting selects by name, and the message for a name that is not there."""

import difflib
from collections.abc import Callable, Collection


def nearest(name: str, names: Collection[str]) -> str:
    """The known names as text, the one nearest to `name` first where one is near."""
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}(known: {', '.join(sorted(names))})"


def one_of(names: Collection[str]) -> Callable[[str], str]:
    """A validator that admits only `names` and proposes the nearest one otherwise."""

    def check(name: str) -> str:
        if name not in names:
            raise ValueError(f"there is no {name!r}; {nearest(name, names)}")
        return name

    return check
