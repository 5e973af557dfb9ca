"""The `foretell` command: borders of stability in seconds, without a run."""

from sweep.cli.terminal import print_json
from sweep.engine.options import Options
from sweep.engine.planning import check_plan, choose_plan
from sweep.engine.run import load_tiles
from sweep.errors import UserError
from sweep.store.home import Home
from sweep.study import load_study
from sweep.study.config import with_settings


def foretell_command(name: str, options: Options, home: Home, as_json: bool) -> None:
    """Raises UserError where it cannot be foretold."""
    from rich.console import Console
    from rich.table import Table

    from sweep.border.foretell import foretold
    from vae.training.foretold import STEPS, why_not

    study = load_study(name)
    _, plan = choose_plan(study, options)
    check_plan(plan, options.device)
    for config in plan.configs():
        if reason := why_not(config):
            raise UserError(reason)
    home.create()
    plan = plan.model_copy(update={"base": with_settings(plan.base, {"seed": options.seed})})
    rows = list(foretold(plan, load_tiles(plan, home)))
    if as_json:
        print_json({"study": study.name, "seed": options.seed, "arms": [row.as_dict() for row in rows]})
        return
    table = Table(title="foretold borders of stability: learning rate (90 % band)")
    for title in ("", "head fan-in", *(f"{label} border" for label in STEPS), "log-variance a step, at 1e-3"):
        table.add_column(title, justify="left" if not title else "right")
    for row in rows:
        found = [f"{b.lr:.2g} ({b.low:.2g} to {b.high:.2g})" for b in row.foretold.borders.values()]
        table.add_row(row.name, str(row.fan_in), *found, f"{1e-3 * row.foretold.speed:.2g}")
    Console().print(table)
