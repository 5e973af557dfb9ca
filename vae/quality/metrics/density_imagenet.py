"""Density on features of a network trained on ImageNet."""

from vae.quality.metrics import Metric
from vae.quality.metrics._balls import density
from vae.quality.metrics._imagenet import imagenet_features

METRIC = Metric(imagenet_features, density, better="higher")
"""1 for real tiles. What it does not detect: a missing mode; copies of training tiles raise it."""
