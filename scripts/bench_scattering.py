"""Scattering transforms beside kymatio's torch backend: the same wavelets, paths and padded sizes.

    python scripts/bench_scattering.py          median CPU milliseconds, one thread, float32
    python scripts/bench_scattering.py 3        fewer repetitions

kymatio is not needed; without it, its columns stay empty.
"""

from __future__ import annotations

import importlib
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from common import keep_memory
from rich.console import Console
from rich.table import Table
from torch import Tensor

from sciml.nn.scattering import FilterBank, Scattering1d, Scattering2d
from sciml.nn.scattering.bank import Octave, fold
from sciml.nn.scattering.transform import Cascade, Plan


@dataclass(frozen=True)
class Timing:
    """One transform: milliseconds to build, forward, and forward with backward; of kymatio's None if missing.

    ``difference`` is the largest difference of the two results over their largest value, when ours takes
    kymatio's filters.
    """

    name: str
    build: float
    forward: float
    both: float
    peer_build: float | None = None
    peer_forward: float | None = None
    peer_both: float | None = None
    difference: float | None = None


def scattering_1d(length: int = 2**13, J: int = 8, Q: int = 8, batch: int = 1, repeat: int = 7) -> Timing:
    """Time signals, padded as kymatio pads them."""
    frontend = _kymatio("scattering1d.frontend.torch_frontend")
    peer, peer_build = _built(lambda: frontend.ScatteringTorch1D(J, length, Q)) if frontend else (None, None)
    padded = peer._N_padded if peer else 2 * length
    ours, build = _built(lambda: Scattering1d(padded, J, Q, periodic=True))
    x = torch.randn(batch, padded, generator=torch.Generator().manual_seed(0))
    name = f"1D {length}, J={J}, Q={Q}, batch {batch}"
    if peer is None:
        return Timing(name, build, *_times(ours.transform, x, repeat))
    inner = x[:, peer.pad_left : peer.pad_left + length].contiguous()
    mirrored = torch.nn.functional.pad(inner[:, None], (peer.pad_left, peer.pad_right), mode="reflect")[:, 0]
    same = Plan(_bank_1d(peer, peer.psi1_f, J), _bank_1d(peer, peer.psi2_f, J), 2, 0)
    first, count = peer.ind_start[J], peer.ind_end[J] - peer.ind_start[J]
    result = Cascade(same, x.dtype, x.device)(mirrored)[..., first : first + count]
    times = (*_times(ours.transform, mirrored, repeat), peer_build, *_times(peer, inner, repeat))
    _undo_attenuation(peer)
    return Timing(name, build, *times, _difference(result, peer(inner)))


def scattering_2d(size: int = 64, J: int = 3, L: int = 8, batch: int = 1, repeat: int = 7) -> Timing:
    """Time images, padded as kymatio pads them."""
    frontend = _kymatio("scattering2d.frontend.torch_frontend")
    make = lambda: frontend.ScatteringTorch2D(J, (size, size), L=L, pre_pad=True)
    peer, peer_build = _built(make) if frontend else (None, None)
    padded = peer._M_padded if peer else ((size + 2**J) // 2**J + 1) * 2**J
    ours, build = _built(lambda: Scattering2d((padded, padded), J, L, periodic=True))
    x = torch.randn(batch, padded, padded, generator=torch.Generator().manual_seed(0))
    name = f"2D {size}×{size}, J={J}, L={L}, batch {batch}"
    if peer is None:
        return Timing(name, build, *_times(ours.transform, x, repeat))
    bank = _bank_2d(peer, J)
    result = Cascade(Plan(bank, bank, 2, 0), x.dtype, x.device)(x)[..., 1:-1, 1:-1]
    times = (*_times(ours.transform, x, repeat), peer_build, *_times(peer, x, repeat))
    _undo_cut(peer)
    return Timing(name, build, *times, _difference(result, peer(x)))


def main() -> None:
    repeat = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    keep_memory()
    torch.set_num_threads(1)
    if _kymatio("scattering1d.frontend.torch_frontend") is None:
        print("kymatio is not installed: only our own times. To compare: pip install kymatio")
    rows = [
        *(lambda b=b: scattering_1d(batch=b, repeat=repeat) for b in (1, 8)),
        *(lambda b=b: scattering_2d(64, 3, batch=b, repeat=repeat) for b in (1, 16)),
        lambda: scattering_2d(128, 3, batch=4, repeat=repeat),
        lambda: scattering_2d(256, 4, batch=1, repeat=repeat),
    ]
    table = Table("median ms", "build", "forward", "with backward", "same filters: difference")
    for row in rows:
        t = row()
        pair = lambda a, b: f"{a:.1f}" if b is None else f"{a:.0f} against {b:.0f}: {b / a:.1f}×"
        table.add_row(
            t.name,
            pair(t.build, t.peer_build),
            pair(t.forward, t.peer_forward),
            pair(t.both, t.peer_both),
            "" if t.difference is None else f"{t.difference:.0e}",
        )
    Console(width=150).print(table)


# -------------------------------------------------------------------- details


def _kymatio(module: str) -> Any:
    try:
        return importlib.import_module(f"kymatio.{module}")
    except ImportError:
        return None


def _built(make: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    made = make()
    return made, 1e3 * (time.perf_counter() - start)


def _times(transform: Callable[[Tensor], Tensor], x: Tensor, repeat: int) -> tuple[float, float]:
    def forward() -> None:
        with torch.no_grad():
            transform(x)

    def both() -> None:
        transform(x.clone().requires_grad_()).square().sum().backward()

    return _median(forward, repeat), _median(both, repeat)


def _median(function: Callable[[], None], repeat: int) -> float:
    function()
    times = [_built(function)[1] for _ in range(repeat)]
    return statistics.median(times)


def _difference(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())


def _bank_1d(peer: Any, filters: list[dict[str, Any]], J: int) -> FilterBank:
    flat = lambda values: values.flatten().double()
    groups: dict[int, list[Tensor]] = {}
    for psi in filters:
        groups.setdefault(min(psi["j"], J), []).append(flat(psi["levels"][0]))
    octaves = [Octave(j, torch.stack(group), torch.zeros(len(group), 1)) for j, group in groups.items()]
    return FilterBank(J, (flat(peer.phi_f["levels"][0]),), tuple(octaves))


def _bank_2d(peer: Any, J: int) -> FilterBank:
    phi, psi = peer.load_filters()
    groups: dict[int, list[Tensor]] = {}
    for wavelet in psi:
        groups.setdefault(wavelet["j"], []).append(wavelet["levels"][0][..., 0].double())
    octaves = [Octave(j, torch.stack(group), torch.zeros(len(group), 2)) for j, group in groups.items()]
    low = phi["levels"][0][:, 0, 0].double()  # a Gaussian is a product over the axes
    low = low / low[0].sqrt()
    return FilterBank(J, (low, low), tuple(octaves))


def _undo_cut(peer: Any) -> None:
    """Fold filters onto coarse grids: kymatio 0.3 cuts off what lies beyond, up to 4 % of the amplitude."""
    buffers = dict(peer.named_buffers())
    number = 0
    for filters in (peer.phi, *peer.psi):
        fine = buffers[f"tensor{number}"][..., 0]
        for level in range(len(filters["levels"])):
            buffers[f"tensor{number}"].copy_(fold(fine, 2**level, 2)[..., None])
            number += 1


def _undo_attenuation(peer: Any) -> None:
    """Scale filters of coarse grids by 2^level: kymatio 0.3 periodizes them by the mean, not by the sum."""
    buffers = dict(peer.named_buffers())
    number = 0
    for levels in [f["levels"] for f in (peer.phi_f, *peer.psi1_f, *peer.psi2_f)]:
        for level in range(len(levels)):
            buffers[f"tensor{number}"] *= 2**level
            number += 1


if __name__ == "__main__":
    main()
