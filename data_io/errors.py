"""DataError, for mistakes that the user can correct, and DecodeError, for pixels that cannot be decoded."""

from data_io.reading import printable


class DataError(ValueError):
    """A source, an image, a setting or a cache folder cannot be used.

    The message is one sentence that says what is wrong, where, and how to correct it. Command lines print it
    and exit with code 2, without a traceback. Bytes of file names that are not UTF-8 are written as `\\xe9`.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class DecodeError(OSError):
    """The pixels of a file cannot be decoded. The message is the decoder's, without the file's name."""
