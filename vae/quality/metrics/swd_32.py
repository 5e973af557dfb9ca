"""Sliced Wasserstein distance at the pyramid level of 32 to 63 px."""

from vae.quality.metrics._sliced_wasserstein import sliced_wasserstein

METRIC = sliced_wasserstein(32)
