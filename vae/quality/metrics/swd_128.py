"""Sliced Wasserstein distance at the pyramid level of 128 to 255 px."""

from vae.quality.metrics._sliced_wasserstein import sliced_wasserstein

METRIC = sliced_wasserstein(128)
