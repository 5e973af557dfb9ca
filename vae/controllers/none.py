"""The schedule as it is."""

from vae.controllers import Controller


class Policy(Controller):
    pass
