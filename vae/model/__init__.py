"""The network: from depths to layers, from uint8 tiles to its input range, and what it draws."""
