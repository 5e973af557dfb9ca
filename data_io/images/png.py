"""Write a PNG strip by strip; Pillow and GDAL only write whole images, or hide why a disk refused a write."""

import struct
import zlib
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

AVERAGE = 3
"""The filter that compresses satellite images best at compression level 1 (PNG 1.2, section 6.5)."""


class PngWriter:
    """Writes an 8-bit RGB PNG to `file`, which the caller closes after `finish`. Raises its OSError."""

    def __init__(self, file: BinaryIO, height: int, width: int) -> None:
        self._file = file
        self._above = np.zeros((1, width * 3), np.uint8)
        self._compressor = zlib.compressobj(1)
        file.write(b"\x89PNG\r\n\x1a\n")
        self._write_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))

    def write(self, rows: NDArray[np.uint8]) -> None:
        """Append rows, (n, width, 3) uint8 with n >= 1."""
        flat = rows.reshape(len(rows), -1)
        above = np.concatenate([self._above, flat[:-1]])
        left = np.zeros_like(flat)
        left[:, 3:] = flat[:, :-3]
        filtered = np.empty((len(flat), flat.shape[1] + 1), np.uint8)
        filtered[:, 0] = AVERAGE
        # Half the sum of two bytes, rounded down, without overflowing eight bits.
        filtered[:, 1:] = flat - ((left & above) + ((left ^ above) >> 1))
        self._above = flat[-1:].copy()
        self._write_chunk(b"IDAT", self._compressor.compress(filtered.tobytes()))

    def finish(self) -> None:
        """Write what ends the image."""
        self._write_chunk(b"IDAT", self._compressor.flush())
        self._write_chunk(b"IEND", b"")

    def _write_chunk(self, kind: bytes, data: bytes) -> None:
        self._file.write(struct.pack(">I", len(data)) + kind)
        self._file.write(data)
        self._file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))))
