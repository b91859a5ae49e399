"""How much memory is left, and how much a computation keeps for its derivatives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import torch
from torch import Tensor

GROUPS = Path("/sys/fs/cgroup")
PROCESS = Path("/proc/self/cgroup")
# The files of a control group: its limit, and what it takes; of version 2, and of version 1.
VERSIONS = (
    ("", "memory.max", "memory.current"),
    ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
)


def free_memory(device: torch.device) -> int:
    """Return how many bytes can still be had, 0 where that is not known.

    Of the processor that is what the machine has, or what its container or batch job (a control group) still
    allows; of a CUDA device also what torch holds and does not use.
    """
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    return min(psutil.virtual_memory().available, *_left_in_groups()) if device.type == "cpu" else 0


@contextmanager
def kept_bytes(*given: Tensor) -> Iterator[dict[int, int]]:
    """Count what is kept for derivatives within: bytes of each memory, by its place.

    The values are those of tensors, of which several may share a memory; their sum is what it takes.

    Args:
        given: tensors whose memory was there before and does not count.
    """
    found: dict[int, int] = {}
    before = {tensor.untyped_storage().data_ptr() for tensor in given}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.device.type != "meta":
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in before:
                found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield found


def _left_in_groups() -> list[int]:
    """Return what each of the process's control groups still allows, from the innermost to the root."""
    left = [psutil.virtual_memory().total]
    try:
        lines = PROCESS.read_text().splitlines()
    except OSError:  # no Linux
        return left
    for line in lines:
        _, names, path = line.split(":", 2)
        for folder, limit, taken in VERSIONS:
            if folder not in names.split(","):
                continue
            here = GROUPS / folder / path.lstrip("/")
            for group in (here, *here.parents):
                if group == GROUPS.parent:
                    break
                most, now = _number(group / limit), _number(group / taken)
                if most is not None and now is not None:
                    left.append(max(most - now, 0))
    return left


def _number(path: Path) -> int | None:
    """Return what a file says, None where there is none, or no limit ("max")."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
