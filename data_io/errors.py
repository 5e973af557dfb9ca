"""DataError, for mistakes that the user can correct, and DecodeError, for pixels that cannot be decoded."""


class DataError(ValueError):
    """A source, an image, a setting or a cache folder cannot be used.

    The message is one sentence that says what is wrong, where, and how to correct it. Command lines print it
    and exit with code 2, without a traceback.
    """


class DecodeError(OSError):
    """The pixels of a file cannot be decoded. The message is the decoder's, without the file's name."""
