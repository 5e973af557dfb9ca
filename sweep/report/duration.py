"""Durations as a reader says them: seconds below two minutes, minutes below an hour, then hours."""


def unit(seconds: float) -> tuple[float, str]:
    """Seconds in the unit that suits a duration, and its name."""
    if seconds < 120:
        return 1.0, "seconds"
    return (60.0, "minutes") if seconds < 3600 else (3600.0, "hours")


def part_in_words(part: float, whole: float) -> str:
    """As `1.8 of 8.3 minutes`, in the unit of the whole."""
    size, _ = unit(whole)
    shown = f"{part / size:.0f}" if size == 1 or part / size >= 10 else f"{part / size:.1f}"
    return f"{shown} of {in_words(whole)}"


def in_words(seconds: float) -> str:
    """As `45 seconds`, `4.2 minutes` or `2.5 hours`."""
    size, name = unit(seconds)
    value = seconds / size
    return f"{value:.0f} {name}" if size == 1 or value >= 10 else f"{value:.1f} {name}"
