"""A study's processes: workers train, supervisors give them trials, and the dead are dealt with."""
