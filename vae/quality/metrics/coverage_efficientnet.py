"""Coverage on ImageNet features, which detect blur."""

from vae.quality.metrics import Metric
from vae.quality.metrics._efficientnet import PACKAGE, efficientnet_features
from vae.quality.metrics.coverage import coverage

METRIC = Metric(efficientnet_features, coverage, better="higher", package=PACKAGE)
