"""The loss: likelihood of the image, rule for the KL, and their sum."""
