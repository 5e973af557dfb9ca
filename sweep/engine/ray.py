"""Workers on a Ray cluster: each task is one `sweep worker`, replaced when its node is lost."""

import logging
import socket
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import optuna

from sweep.engine.limits import Limits, ask_to_stop
from sweep.engine.members import environment, is_complete, start
from sweep.errors import UserError
from sweep.store.home import Home

POLL_S = 1.0
CONNECT_TIMEOUT_S = 10.0
LAST_LINES = 5


@dataclass(frozen=True)
class Order:
    """The command that every task runs, and its environment."""

    words: tuple[str, ...]
    environment: dict[str, str]


def run_on_ray(
    study: optuna.Study,
    home: Home,
    limits: Limits,
    say: Callable[[str], None],
    *,
    address: str | None,
    workers: int | None,
    workers_per_gpu: int,
    options: Sequence[str],
) -> None:
    """Keep `workers` tasks at work (default: one per GPU of the cluster, or per core) until the study is
    complete.

    Raises:
        UserError: Ray is not installed, or there is no cluster at `address`.
    """
    try:
        import ray
    except ImportError:
        raise UserError("--executor ray needs Ray: pip install 'vae-stability-sweep[ray]'") from None
    try:
        _assert_answers(address)
        ray.init(address=address or "auto", log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError, SystemExit) as error:  # Ray itself exits for some
        raise UserError(
            f"there is no Ray cluster at {address or 'auto'} ({str(error).splitlines()[0][:200]}): "
            "`ray start --head` makes one"
        ) from error
    try:
        there = cast(Any, ray).cluster_resources()
        gpus = int(there.get("GPU", 0))
        count = workers or gpus * workers_per_gpu or int(there["CPU"])
        needs: dict[str, Any] = {
            "num_cpus": 1,
            "num_gpus": 1 / workers_per_gpu if gpus else 0,
            "max_retries": 0,
        }
        task = cast(Any, ray).remote(**needs)(_member)
        order = Order(("worker", study.study_name, "--workers", "1", *options), environment(home))
        _watch(ray, study, limits, say, task, order, count)
    finally:
        ray.shutdown()


def _assert_answers(address: str | None) -> None:
    """Check that something listens at the address: Ray itself would try for minutes and not say why.

    Raises:
        OSError: nothing listens there.
    """
    host, _, port = (address or "").rpartition("://")[2].rpartition(":")
    if host and port.isdecimal():
        address_of = host.strip("[]"), int(port)  # as IPv6 is written
        socket.create_connection(address_of, timeout=CONNECT_TIMEOUT_S).close()


def _watch(
    ray: Any,
    study: optuna.Study,
    limits: Limits,
    say: Callable[[str], None],
    task: Any,
    order: Order,
    count: int,
) -> None:
    say(f"placing {count} workers on the Ray cluster")
    tasks = [task.remote(order) for _ in range(count)]
    asked = False
    while tasks:
        done, tasks = ray.wait(tasks, timeout=POLL_S)
        for one in done:
            try:
                code, words = ray.get(one)
            except ray.exceptions.RayError as error:  # its node, or its process, is gone
                say(f"a worker was lost with its place in the cluster: {type(error).__name__}")
                code, words = 0, ""
            if code and not limits.stopped:
                say(f"a worker ended with exit code {code}: {words}")
                limits.one_failed(one)
            if not limits.stopped and not is_complete(study):
                tasks.append(task.remote(order))
        limits.check()
        if limits.stopped and not asked:
            asked = True
            ask_to_stop(study, stop=True)
        if limits.now or (not tasks and limits.stopped) or is_complete(study):
            for one in tasks:
                ray.cancel(one, force=limits.now)
            if limits.now:
                return


def _member(order: Order) -> tuple[int, str]:
    """Run one `sweep worker` in a task of Ray.

    Returns its exit code and the last lines that it printed.
    """
    process = start(order.words, order.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    out, _ = process.communicate()
    return process.returncode, " | ".join(out.splitlines()[-LAST_LINES:])
