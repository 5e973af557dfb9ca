"""The loss: the likelihood of an image, the penalty on the KL, the KL weight's schedule, and their sum."""
