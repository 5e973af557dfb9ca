"""`optim.lr`, capped at a tenth of the blow-up border, which short runs find beforehand."""

from vae.optim.controllers import Controller, Setting

FRACTION = 0.1


class Policy(Controller):
    needs_border = True
    on_device = True

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        if setting.border_lr is None:
            raise ValueError("border_cap needs the border's learning rate")
        self._factor = min(1.0, FRACTION * setting.border_lr / setting.config.lr)

    def factor(self, step: int) -> float:
        return self._factor
