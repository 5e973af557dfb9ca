"""Workers on a Ray cluster of three nodes: one is lost, the study is not."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.sweep.conftest import RUN, Lab
from tests.sweep.processes import wait_until


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Three nodes of one core each on this machine, each with processes of its own."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    yield cluster
    cluster.shutdown()


def _supervisors(lab: Lab) -> set[str]:
    return {trial.user_attrs["claimed"]["by"] for trial in lab.running() if "claimed" in trial.user_attrs}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_lost_node_costs_no_trial(lab: Lab, cluster: Any) -> None:
    node = next(iter(cluster.worker_nodes))
    words = ("--executor", "ray", "--ray-address", cluster.address, "--set", "epochs=150", "--trials", "6")
    process = lab.start(*RUN, *words, SWEEP_HEARTBEAT_SECONDS="1")
    wait_until(lambda: len(_supervisors(lab)) == 3, timeout_s=200)
    cluster.remove_node(node, allow_graceful=False)
    out, _ = process.communicate(timeout=280)
    assert process.returncode == 0, out
    assert "lost with its place in the cluster" in out
    assert any("retry_of" in trial.user_attrs for trial in lab.trials())
    lab.assert_whole(list(range(6)))


def test_without_a_cluster_there_is_one_sentence(lab: Lab) -> None:
    pytest.importorskip("ray")
    words = ("--executor", "ray", "--ray-address", "127.0.0.1:9", "--trials", "1")
    done = lab.sweep(*RUN, *words)
    assert done.returncode == 2, done.stdout
    assert "no Ray cluster at 127.0.0.1:9" in done.stdout.strip().splitlines()[-1]
