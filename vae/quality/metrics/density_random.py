"""Density on random features: comparable with itself only, not with published figures."""

from vae.quality.metrics import Metric
from vae.quality.metrics._balls import density
from vae.quality.metrics._random_features import random_features

METRIC = Metric(random_features, density, better="higher")
"""1 for real tiles. What it does not detect: a missing mode, and what a tile shows."""
