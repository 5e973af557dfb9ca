"""Coverage on random features: comparable with itself only, not with published figures."""

from vae.quality.metrics import Metric
from vae.quality.metrics._balls import coverage
from vae.quality.metrics._random_features import random_features

METRIC = Metric(random_features, coverage, better="higher")
"""0.97 for real tiles. What it does not detect: what a tile shows."""
