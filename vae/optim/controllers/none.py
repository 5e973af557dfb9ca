"""The schedule as it is."""

from vae.optim.controllers import Controller


class Policy(Controller):
    pass
