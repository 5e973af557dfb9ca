"""Kernel inception distance on ImageNet features, which detect blur."""

from vae.quality.metrics import Metric
from vae.quality.metrics._efficientnet import PACKAGE, efficientnet_features
from vae.quality.metrics.kid import kid

METRIC = Metric(efficientnet_features, kid, package=PACKAGE)
