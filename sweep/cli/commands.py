"""The shorter commands; `run`, `train`, `doctor` and `ui` have modules of their own."""

import sys
from pathlib import Path

import optuna

from sweep.cli.terminal import print_json
from sweep.errors import UserError
from sweep.store import storage
from sweep.store.home import Home
from sweep.store.summary import summarise
from sweep.study import load_study, shipped


def stored_study(name: str, home: Home) -> optuna.Study:
    """The study of that name in this home; raises UserError where there is none."""
    if not home.has_stores():
        raise UserError(f"there is no store in {home.root}: `python -m sweep run {name}` makes one")
    return storage.load(storage.open_optuna(home), name)


def list_studies(as_json: bool) -> None:
    from sweep.store.sql_summary import count

    available = {name: load_study(name) for name in shipped()}
    home = Home.find()
    recorded = []
    if home.has_stores():
        store = storage.open_optuna(home)
        recorded = [count(storage.load(store, name)) for name in storage.stored_names(store)]
    if as_json:
        print_json(
            {
                "available": [
                    {"name": s.name, "summary": s.summary, "scales": list(s.plans)}
                    for s in available.values()
                ],
                "recorded": [summary.as_dict() for summary in recorded],
            }
        )
        return
    print("Studies that can be run (python -m sweep run NAME):")
    for study in available.values():
        print(f"  {study.name:20} {study.summary} Scales: {', '.join(study.plans)}.")
    print(f"\nStudies in {home.root}:")
    for summary in recorded:
        best = "none" if summary.best is None else f"{summary.best.value:.2f} (trial {summary.best.trial})"
        done = sum(summary.outcomes.values())
        print(f"  {summary.study:20} {done} trials, scale {summary.scale}, best objective {best}")
    if not recorded:
        print("  none yet")


def status(name: str, home: Home, as_json: bool) -> None:
    from sweep.cli.terminal import show_status
    from sweep.store.sql_summary import count

    summary = count(stored_study(name, home))
    if as_json:
        print_json(summary.as_dict())
    else:
        show_status(summary)


def stop(name: str, home: Home) -> None:
    from sweep.engine.limits import ask_to_stop

    ask_to_stop(stored_study(name, home), stop=True)
    print(f"{name}: running trials finish, no more are started; `python -m sweep run {name}` continues it")


def replay(name: str, trial: int, data: str | None, home: Home, as_json: bool) -> int:
    from sweep.engine.replay import replay_trial

    differences = replay_trial(home, stored_study(name, home), trial, data)
    if as_json:
        print_json({"study": name, "trial": trial, **differences.as_dict()})
    else:
        print(differences.text())
    return 1 if differences.different else 0


def report(name: str, as_json: bool) -> None:
    from sweep.report import write_report

    home = Home.find()
    path, figures = write_report(home, stored_study(name, home))
    if as_json:
        print_json(figures | {"path": str(path)})
    else:
        print(f"report: {path}")


def border_map(name: str, as_json: bool) -> None:
    from sweep.border.map import stored_map
    from sweep.border.write import write_map
    from sweep.cli.map import show_map

    home = Home.find()
    found = stored_map(stored_study(name, home))
    paths = write_map(home, found)
    if as_json:
        print_json(found.as_dict() | {"paths": [str(path) for path in paths]})
        return
    show_map(found)
    print("\n".join(f"map: {path}" for path in paths))


def generate(name: str, trial: int | None, count: int, seed: int, out: Path) -> None:
    from sweep.report.samples import draw

    home = Home.find()
    study = stored_study(name, home)
    if trial is None:
        best = summarise(study).best
        if best is None:
            raise UserError(f"no trial of {name!r} has a finite objective: name one with --trial")
        trial = best.trial
    image = draw(home, name, trial, count, seed)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        image.save(out)
    except (OSError, ValueError) as error:
        raise UserError(
            f"cannot write {out} ({error}): name another file with --out, as samples.png"
        ) from error
    print(f"{count} samples of trial {trial}: {out}")


def export(name: str, form: str, out: Path | None) -> None:
    from sweep.store.export import render, rows

    study = stored_study(name, Home.find())
    if out is None and form == "parquet":
        out = Path(f"{name}.parquet")
    content = render(rows(study), form)
    if out is None:
        sys.stdout.write(content.decode())
        return
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(content)
    except OSError as error:
        raise UserError(f"cannot write {out} ({error.strerror}): name another file with --out") from error
    print(f"{out}", file=sys.stderr)
