"""What memory is left in a container or a batch job, and what a computation keeps."""

import psutil
import pytest
import torch

from sciml.nn import memory
from sciml.nn.memory import free_memory, kept_bytes

CPU = torch.device("cpu")


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Return a function that puts this process into a control group with such files."""
    monkeypatch.setattr(memory, "GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "PROCESS", tmp_path / "process")

    def put(line, files):
        (tmp_path / "process").write_text(line + "\n")
        for name, text in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")

    return put


def test_without_limits_it_is_what_the_machine_has(groups):
    for line, files in (
        ("", {}),
        ("0::/", {}),
        ("0::/job", {"job/memory.max": "max", "job/memory.current": 7}),
    ):
        groups(line or "1:cpu:/", files)
        assert 0 < free_memory(CPU) <= psutil.virtual_memory().total


def test_the_narrowest_group_counts_be_it_the_jobs_or_one_around_it(groups):
    jobs = {"all/memory.max": 5_000, "all/memory.current": 2_000, "all/job/memory.max": 9_000}
    groups("0::/all/job/step", jobs | {"all/job/memory.current": 1_000})
    assert free_memory(CPU) == 3_000
    groups("0::/all/job", {"all/memory.max": 90_000})
    assert free_memory(CPU) == 8_000
    groups("0::/all/job", {"all/job/memory.current": 10_000})
    assert free_memory(CPU) == 0


def test_the_older_version_of_groups_is_read_too(groups):
    files = {"memory/job/memory.limit_in_bytes": 4_000, "memory/job/memory.usage_in_bytes": 1_500}
    groups("3:cpu,cpuacct:/job\n5:memory:/job", files)
    assert free_memory(CPU) == 2_500


def test_of_devices_that_do_not_tell_nothing_is_promised():
    assert free_memory(torch.device("meta")) == 0


def test_kept_is_what_the_derivative_needs_each_memory_once():
    x = torch.ones(1000, dtype=torch.float64, requires_grad=True)
    with kept_bytes() as kept:
        y = x.sin()  # keeps x
        z = y.exp() * x  # keeps exp(y), and x, y again
        z[:10].sum()  # a view keeps nothing
    assert sum(kept.values()) == 2 * 8000
    with kept_bytes(x) as kept:
        y[:10].detach() * x[:10]  # a part of x, whose memory was there, and ten numbers of y
    assert sum(kept.values()) == 8000
    with torch.no_grad(), kept_bytes() as kept:
        x.sin()
    assert not kept
    del z
