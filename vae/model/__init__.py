"""The network: from a depth to layers, and from uint8 tiles to what the layers see."""
