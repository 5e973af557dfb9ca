"""The one exception for a mistake that the user can mend."""


class DataError(ValueError):
    """A source, an image, a setting or a cache folder is not usable.

    The message is one sentence: what is wrong, where, and how to mend it. Command lines print it and exit
    with code 2, without a traceback.
    """
