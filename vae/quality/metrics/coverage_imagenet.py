"""Coverage on features of a network trained on ImageNet."""

from vae.quality.metrics import Metric
from vae.quality.metrics._balls import coverage
from vae.quality.metrics._imagenet import imagenet_features

METRIC = Metric(imagenet_features, coverage, better="higher")
"""0.97 for real tiles. What it does not detect: copies of training tiles."""
