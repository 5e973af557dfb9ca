"""`--slurm KEY=VALUE`: read as it is meant, or refused in a sentence."""

from pathlib import Path

import pytest

from sweep.engine.slurm_settings import KEYS, SIGNAL_DELAY_S, TIME_MIN, JobSettings, minutes
from sweep.errors import UserError

EXAMPLES = {
    "cluster": "local",
    "time": "2h",
    "signal_delay_s": "90",
    "mem_gb": "7.5",
    "gpus_per_node": "2",
    "cpus_per_task": "4",
    "cpus_per_gpu": "8",
    "array_parallelism": "16",
    "mail_type": "FAIL",
    "exclusive": "true",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("120", 120),
        ("90m", 90),
        ("2h", 120),
        ("90s", 2),
        ("10:30", 11),
        ("02:00:00", 120),
        ("1-12", 36 * 60),
        ("1-12:30", 36 * 60 + 30),
        ("2-00:00:01", 2 * 24 * 60 + 1),
    ],
)
def test_time_limits_are_read_as_slurm_writes_them_and_as_timeouts_are(text: str, expected: int) -> None:
    assert minutes(text) == expected


@pytest.mark.parametrize("text", ["", "0", "soon", "-5", "1:2:3:4", "1e3", "00:00:00"])
def test_no_other_text_is_a_time_limit(text: str) -> None:
    with pytest.raises(UserError, match=f"--slurm time={text}: write 90m or 2h"):
        JobSettings.parse([f"time={text}"])


def test_submitit_takes_every_key_that_is_offered(tmp_path: Path) -> None:
    submitit = pytest.importorskip("submitit")
    words = [f"{key}={EXAMPLES.get(key, 'some')}" for key in KEYS]
    settings = JobSettings.parse(words)
    executor = submitit.AutoExecutor(tmp_path, cluster="local")
    executor.update_parameters(name="tiny", **settings.for_submitit())
    assert executor._executor.parameters["timeout_min"] == 120
    assert executor._executor.parameters["gpus_per_node"] == 2


def test_a_later_word_replaces_an_earlier_one_but_shell_lines_add_up() -> None:
    words = ["partition=a", "setup=module load cuda", "partition=b", "setup=export A=1=2"]
    settings = JobSettings.parse(words)
    assert settings.parameters == {"partition": "b", "setup": ["module load cuda", "export A=1=2"]}
    assert (settings.cluster, settings.time_min, settings.signal_delay_s) == (
        "slurm",
        TIME_MIN,
        SIGNAL_DELAY_S,
    )


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("partition", "--slurm partition: write KEY=VALUE, as partition=gpu"),
        ("partitoin=gpu", "there is no 'partitoin'; did you mean 'partition'?"),
        ("nodes=4", "there is no 'nodes'"),
        ("gpus_per_node=two", "--slurm gpus_per_node=two: write a whole number from 1 on"),
        ("mem_gb=lots", "--slurm mem_gb=lots: write the memory in GB"),
        ("mem_gb=nan", "--slurm mem_gb=nan: write the memory in GB"),
        ("partition=", "--slurm partition=: write one line of text"),
        ("cluster=moon", "--slurm cluster=moon: write slurm or local"),
        ("exclusive=perhaps", "--slurm exclusive=perhaps: write true, user, mcs"),
    ],
)
def test_a_mistake_is_one_sentence(word: str, sentence: str) -> None:
    with pytest.raises(UserError) as refused:
        JobSettings.parse([word])
    assert sentence in str(refused.value)


def test_a_job_has_time_to_work_before_it_is_told_to_leave() -> None:
    assert JobSettings.parse(["time=2"]).signal_delay_s == 60
    with pytest.raises(UserError, match="leaves no time for work"):
        JobSettings.parse(["time=2", "signal_delay_s=100"])
