"""Kernel distance on random features: sensitive to fine detail, and no KID, which is of a trained network."""

from vae.quality.metrics import Metric
from vae.quality.metrics._kernel_distance import kernel_distance
from vae.quality.metrics._random_features import random_features

METRIC = Metric(random_features, kernel_distance)
"""0 is best. What it does not detect: what a tile shows. Its size means nothing beside a published KID."""
