"""A user's mistake."""


class UserError(Exception):
    """One sentence: what, where, and how to mend it. The command line prints it and exits with 2."""
