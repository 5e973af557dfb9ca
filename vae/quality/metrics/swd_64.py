"""Sliced Wasserstein distance at the pyramid level of 64 to 127 px."""

from vae.quality.metrics._sliced_wasserstein import sliced_wasserstein

METRIC = sliced_wasserstein(64)
