"""How many lanes and threads the workers of a run have: the user's choice, or what the GPU bears."""

from sweep.engine.devices import free_bytes
from sweep.engine.lanes import lanes_that_pay
from sweep.errors import UserError
from sweep.study import Plan
from vae.config import ModelConfig
from vae.kinds import short

OF_THE_PROCESS = ("threads", "compile")
"""Settings that hold for a whole process."""


def choose_lanes(plan: Plan, asked: int | None, placing: list[str], cores: int) -> int:
    """Lanes of each worker: what was asked for; else 1 on a CPU, and on a GPU what pays for the plan's
    largest step.

    placing: CUDA_VISIBLE_DEVICES of every worker, as `sweep.engine.devices.place` gives it.

    Raises:
        UserError: several lanes are asked for, and the plan's trials cannot share a process.
    """
    alone = one_lane_only(plan)
    if asked is not None:
        if asked > 1 and alone:
            raise UserError(f"--lanes {asked} is not possible: {alone}; leave --lanes out, or use --workers")
        return asked
    if alone or not placing or not all(placing) or plan.base.device == "cpu":
        return 1
    from sweep.engine.step_cost import largest_step

    sharing = max(placing.count(gpu) for gpu in placing)  # workers that share a GPU
    free = min((free_bytes(gpu) or 0.0) for gpu in set(placing)) / sharing
    step = largest_step(plan)
    return lanes_that_pay(step.gflop, step.trial_bytes, free, max(1, cores // len(placing)))


def one_lane_only(plan: Plan) -> str | None:
    """Why trials of the plan cannot run beside each other in one process; None where they can."""
    configs = [plan.base, *plan.configs()]
    for config in configs:
        if not isinstance(config.model, ModelConfig):
            return (
                f"{short(config.model.kind)} may draw from generators that the lanes of a process would share"
            )
        if config.compile != "none":
            return f"compile={config.compile} compiles for a whole process"
    if len({config.threads for config in configs}) > 1 or any(a.path in OF_THE_PROCESS for a in plan.axes):
        return "its trials differ in threads or compile, which hold for a whole process"
    return None


def threads_of_a_lane(cores: int, workers: int, lanes: int, on_gpu: bool) -> int:
    """Processor threads of each trial: on a GPU one in each of several lanes, whose number depends on what is
    free there."""
    if on_gpu:
        return max(1, cores // workers) if lanes == 1 else 1
    return max(1, cores // (workers * lanes))


def too_many_threads(plan: Plan, cores: int, trials: int) -> str | None:
    """Why so many trials at once would be slow, as a sentence; None if they would not.

    What a plan says of `threads` holds for each of them, and threads wait busily for one another: on two
    cores a step in two lanes took 24 times as long with two threads as with one.
    """
    most = max(config.threads or 1 for config in [plan.base, *plan.configs()])
    if most == 1 or trials * most <= cores:
        return None
    each = f" in each of {trials} trials at once" if trials > 1 else ""
    return (
        f"threads={most}{each} are more than the {cores} cores here, which may make training many times "
        "slower: leave threads out"
    )
