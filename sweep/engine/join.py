"""`sweep worker`: join a study that others run, from any machine that reaches its stores."""

from dataclasses import replace

from sweep.engine.cores import available_cores
from sweep.engine.devices import place, visible_gpus
from sweep.engine.lane_count import choose_lanes, threads_of_a_lane, too_many_threads
from sweep.engine.limits import Stop
from sweep.engine.observer import Observer
from sweep.engine.options import Options
from sweep.engine.run import Finished, load_tiles, supervise, user_errors
from sweep.engine.worker import Spec
from sweep.engine.workers import Pool
from sweep.errors import UserError
from sweep.store.home import Home
from sweep.store.study_view import StudyView


def join_study(
    name: str, options: Options, home: Home, observer: Observer, stop: Stop | None = None
) -> Finished:
    """Take trials of this study until it is complete.

    Plan, seed and experiment come from the store; `options.data` says where this machine has the images.

    Raises:
        UserError: there is no such study, or the images here differ from the study's.
    """
    from sweep.store.provenance import collect
    from sweep.store.storage import load, open_optuna, read_all
    from sweep.tracking import trackers

    home.create()
    study = load(open_optuna(home), name)
    view = StudyView.of(study)
    if not view.is_linked:
        raise UserError(f"{name!r} is not ready yet: start `sweep run` first")
    if view.is_asked_to_stop:
        raise UserError(f"{name!r} was asked to stop: `sweep run` continues it")
    tracker = trackers.build(home, study)
    home = tracker.home
    plan = view.plan
    if options.data is not None:
        plan = plan.with_settings({"data.source": options.data})
    placing = place(visible_gpus(options.device), options.workers, options.workers_per_gpu, available_cores())
    lanes = choose_lanes(plan, options.lanes, placing, available_cores())
    threads = threads_of_a_lane(available_cores(), len(placing), lanes, on_gpu=bool(placing[0]))
    if slow := too_many_threads(plan, available_cores(), len(placing) * lanes):
        observer.say(slow)
    with user_errors(home), Pool(home, placing, threads, lanes) as pool:
        tiles = load_tiles(plan, home)
        if tiles.content_hash != view.data_hash:
            raise UserError(
                f"{plan.base.data.source} is not the data of {name!r} (hash {tiles.content_hash[:12]}, "
                f"not {view.data_hash[:12]}): name the same images with --data"
            )
        spec = Spec.of(
            home,
            study_name=name,
            plan=plan,
            experiment=view.experiment_id,
            parent_run=view.run_id,
            seed=view.seed,
            provenance=collect(),
            lanes=lanes,
        )
        pool.send_spec(spec)
        read_all(study)
        options = replace(options, seed=spec.seed)
        return supervise(study, home, spec, pool, options, observer, tracker, stop or Stop())
