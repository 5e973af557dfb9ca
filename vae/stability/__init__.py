"""How stable a run is, measured at every step, and how near it is to the edge of stability."""
