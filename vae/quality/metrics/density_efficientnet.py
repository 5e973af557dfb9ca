"""Density on ImageNet features, which detect blur."""

from vae.quality.metrics import Metric
from vae.quality.metrics._efficientnet import PACKAGE, efficientnet_features
from vae.quality.metrics.density import density

METRIC = Metric(efficientnet_features, density, better="higher", package=PACKAGE)
