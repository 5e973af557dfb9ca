"""Images in and out: 8-bit RGB read whole or by rows, and PNGs written by rows."""
