"""Sliced Wasserstein distance at the pyramid level of 256 to 511 px."""

from vae.quality.metrics._sliced_wasserstein import sliced_wasserstein

METRIC = sliced_wasserstein(256)
