"""`optim.lr`, but never more than a tenth of the border of blowing up, which short runs find beforehand."""

from vae.optim.controllers import Controller, Setting

FRACTION = 0.1


class Policy(Controller):
    needs_border = True

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        if setting.border is None:
            raise ValueError("border_cap needs the border")
        self._factor = min(1.0, FRACTION * setting.border / setting.config.lr)

    def factor(self, step: int) -> float:
        return self._factor
