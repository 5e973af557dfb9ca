"""Train a convolutional VAE of any depth and measure its stability at every step.

Tensors in, numbers out: this package knows no data source, no tracker and no sweep.
`vae.config` needs only pydantic; everything else imports torch when it is asked for.
"""
