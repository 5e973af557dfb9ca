"""Sliced Wasserstein distance at the pyramid level of 16 to 31 px."""

from vae.quality.metrics._sliced_wasserstein import sliced_wasserstein

METRIC = sliced_wasserstein(16)
