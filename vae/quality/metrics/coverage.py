"""Coverage (Naeem et al. 2020): do samples reach all real tiles?"""

from torch import Tensor

from vae.quality.metrics import Metric
from vae.quality.metrics._random_features import random_features
from vae.quality.metrics.density import inside_balls


def coverage(real: Tensor, fake: Tensor, seed: int = 0) -> float:
    """Share of the real balls that hold a sample (equation 5): real and fake (N, D); balls as for density.

    About 1 - 2^-k = 0.97 for equal numbers of one distribution (their appendix), less if modes are missing.
    """
    return float(inside_balls(real, fake).any(1).double().mean())


METRIC = Metric(random_features, coverage, better="higher")
