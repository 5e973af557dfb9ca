"""`sweep worker`: join a study that others run, from any machine that reaches its stores."""

from dataclasses import replace

from sweep.engine.devices import available_cores, place, visible_gpus
from sweep.engine.limits import is_asked_to_stop
from sweep.engine.observer import Observer
from sweep.engine.run import Finished, Options, load_tiles, no_traceback, supervise
from sweep.engine.worker import Spec
from sweep.engine.workers import Pool
from sweep.errors import UserError
from sweep.store.home import Home
from sweep.study import Plan


def join_study(name: str, data: str | None, options: Options, home: Home, observer: Observer) -> Finished:
    """Take this study's trials until it is whole.

    Plan, seed and experiment come from the store; `data` says where this machine has the images.

    Raises:
        UserError: there is no such study, or the images here are others.
    """
    from sweep.store.links import study_link
    from sweep.store.provenance import collect
    from sweep.store.storage import load, open_optuna, read_all
    from sweep.tracking import trackers

    home.create()
    study = load(open_optuna(home), name)
    attrs, link = study.user_attrs, study_link(study)
    if link is None:
        raise UserError(f"{name!r} is not ready yet: start `sweep run` first")
    if is_asked_to_stop(study):
        raise UserError(f"{name!r} was asked to stop: `sweep run` takes it up again")
    tracker = trackers.build(home, study)
    home = tracker.home
    plan = Plan.model_validate_json(attrs["plan"])
    if data is not None:
        plan = plan.with_settings({"data.source": data})
    placing = place(visible_gpus(options.device), options.workers, options.workers_per_gpu, available_cores())
    threads = max(1, available_cores() // len(placing))
    with no_traceback(home), Pool(home, placing, threads) as pool:
        tiles = load_tiles(plan, home)
        if tiles.content_hash != attrs["data_hash"]:
            raise UserError(
                f"{plan.base.data.source} is not the data of {name!r} (hash {tiles.content_hash[:12]}, "
                f"not {attrs['data_hash'][:12]}): name the same images with --data"
            )
        spec = Spec.of(
            home,
            study_name=name,
            plan=plan,
            experiment=link.experiment,
            parent_run=link.run_id,
            seed=int(attrs.get("seed", 0)),
            provenance=collect(),
        )
        pool.send_spec(spec)
        read_all(study)
        return supervise(study, home, spec, pool, replace(options, seed=spec.seed), observer, tracker)
