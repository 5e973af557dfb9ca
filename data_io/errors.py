"""DataError for a mistake that the user can mend, and DecodeError for the pixels of a file."""


class DataError(ValueError):
    """A source, an image, a setting or a cache folder is not usable.

    The message is one sentence: what is wrong, where, and how to mend it. Command lines print it and exit
    with code 2, without a traceback.
    """


class DecodeError(OSError):
    """A file's pixels cannot be decoded; the message is the decoder's reason, without the file's name."""
