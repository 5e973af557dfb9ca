"""Kernel inception distance, on features of a network trained on ImageNet."""

from vae.quality.metrics import Metric
from vae.quality.metrics._imagenet import imagenet_features
from vae.quality.metrics._kernel_distance import kernel_distance

METRIC = Metric(imagenet_features, kernel_distance)
"""0 is best. Of EfficientNet-Lite0, so its size means nothing beside a KID of Inception's features.

What it does not detect: copies of training tiles, and a shift of colour by a few grey levels.
"""
