"""The convolution by a weighted tensor product: plainly in torch, and fused."""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sciml.nn.equivariant.form import CONVOLUTION, Program, derivative
from sciml.nn.equivariant.paths import Paths, coupling

LEAST = 16  # channels that a thread is worth


class Ends(NamedTuple):
    """Where edges begin and end, how many senders and receivers there are, and who shares weights.

    Attributes:
        row: the row of weights of each edge; None where each has its own.
        rows: of weights.
    """

    sender: Int[Tensor, "edges"]
    receiver: Int[Tensor, "edges"]
    senders: int
    receivers: int
    row: Int[Tensor, "edges"] | None
    rows: int

    @property
    def indices(self) -> list[Tensor]:
        """What the kernel reads."""
        return [self.sender, self.receiver, *([] if self.row is None else [self.row])]


def edge_products(
    paths: Paths,
    x: Sequence[Float[Tensor, "edges components channels"]],
    harmonics: Float[Tensor, "edges harmonics"],
    weights: Float[Tensor, "edges paths*channels"],
) -> list[Float[Tensor, "edges components slots*channels"]]:
    """Return for each irrep the products of all paths into it, side by side: the definition, edge by edge."""
    found: list[list[Tensor]] = [[] for _ in paths.out]
    by_path = weights.unflatten(1, (len(paths.paths), paths.channels)).unbind(1)
    degrees = harmonics.split([2 * degree + 1 for degree in range(paths.lmax + 1)], dim=1)
    for path, weight in zip(paths.paths, by_path):
        sizes = paths.left[path.left].degree, path.degree, paths.out[path.out].degree
        constants = torch.as_tensor(coupling(*sizes), dtype=x[0].dtype, device=x[0].device)
        mixing = torch.einsum("ej,ijk->eki", degrees[path.degree], constants)
        found[path.out].append(torch.bmm(mixing, x[path.left]) * weight[:, None])
    return [torch.cat(parts, dim=2) for parts in found]


def fused_convolution(
    paths: Paths,
    x: Sequence[Float[Tensor, "nodes components channels"]],
    harmonics: Float[Tensor, "edges harmonics"],
    weights: Float[Tensor, "rows paths*channels"],
    sender: Int[Tensor, "edges"],
    receiver: Int[Tensor, "edges"],
    receivers: int,
    row: Int[Tensor, "edges"] | None = None,
) -> list[Float[Tensor, "receivers components slots*channels"]]:
    """Return `edge_products` of gathered features, summed at the receivers, in one pass; see `has_fused`.

    With ``row``, edge e has the weights ``weights[row[e]]``.
    """
    row = None if row is None else row.contiguous()
    ends = Ends(sender.contiguous(), receiver.contiguous(), len(x[0]), receivers, row, len(weights))
    return list(_evaluate(paths, CONVOLUTION, ends, [*x, harmonics, weights]))


@cache
def _has_llvm() -> bool:
    return importlib.util.find_spec("llvmlite") is not None


def has_fused(like: Tensor) -> bool:
    """Whether there is a fused path for a tensor: on CPU, in single or double precision, with llvmlite.

    Other classes of tensors, as those that a trace is made with, have no memory to point at.
    """
    return (
        type(like) in (Tensor, nn.Parameter)
        and like.device.type == "cpu"
        and like.dtype in (torch.float32, torch.float64)
        and not torch.compiler.is_compiling()
        and _has_llvm()
    )


def _evaluate(paths: Paths, program: Program, ends: Ends, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return the outputs of a program; copies are made here, where derivatives know of them."""
    return _Evaluate.apply(paths, program, ends, *(tensor.contiguous() for tensor in tensors))


class _Evaluate(torch.autograd.Function):
    """A `Program`; its backward is another one, so that it may be differentiated any number of times."""

    @staticmethod
    def forward(ctx: Any, paths: Paths, program: Program, ends: Ends, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.paths, ctx.program, ctx.ends = paths, program, ends
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors)
        return _run(paths, program, ends, tensors)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor | None) -> tuple[Tensor | None, ...]:
        tensors = ctx.saved_tensors
        groups = _groups(ctx.paths, ctx.program.inputs)
        outputs = _groups(ctx.paths, ctx.program.outputs)
        given = [n for n, group in enumerate(outputs) if any(slopes[i] is not None for i in group)]
        needed = ctx.needs_input_grad[3:]
        wanted = [n for n, group in enumerate(groups) if any(needed[i] for i in group)]
        program = derivative(ctx.program, given, wanted)
        used = {term.output for term in program.terms}
        wanted = [a for n, a in enumerate(wanted) if n in used]
        found: list[Tensor | None] = [None] * len(tensors)
        if wanted:
            program = derivative(ctx.program, given, wanted)
            filled = [s for n in given for s in _filled(ctx, outputs[n], slopes, tensors)]
            results = _evaluate(ctx.paths, program, ctx.ends, [*tensors, *filled])
            for i, result in zip((i for n in wanted for i in groups[n]), results, strict=True):
                found[i] = result
        return None, None, None, *found


def _filled(
    ctx: Any, group: range, slopes: Sequence[Tensor | None], tensors: Sequence[Tensor]
) -> list[Tensor]:
    """Return the gradients by the tensors of one output; where some are missing, they are zero."""
    like = tensors[0]
    shapes = [shape for slot in ctx.program.outputs for shape in _shapes(ctx.paths, slot, ctx.ends)]
    return [like.new_zeros(shapes[i]) if slopes[i] is None else slopes[i] for i in group]  # type: ignore[misc]


def _groups(paths: Paths, slots: Sequence[str]) -> list[range]:
    """Return which tensors belong to each argument, in a flat list of them."""
    groups, start = [], 0
    for slot in slots:
        count = {"x": len(paths.left), "g": len(paths.out)}.get(slot, 1)
        groups.append(range(start, start + count))
        start += count
    return groups


def _shapes(paths: Paths, slot: str, ends: Ends) -> list[tuple[int, ...]]:
    if slot == "x":
        return [(ends.senders, kind.size, paths.channels) for kind in paths.left]
    if slot == "g":
        return [(ends.receivers, k.size, paths.slots(o) * paths.channels) for o, k in enumerate(paths.out)]
    if slot == "y":
        return [(len(ends.sender), (paths.lmax + 1) ** 2)]
    return [(ends.rows, len(paths.paths) * paths.channels)]


def _run(paths: Paths, program: Program, ends: Ends, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    from sciml.nn.equivariant.kernel import compile_kernel
    from sciml.nn.equivariant.llvm import width

    like, shared = tensors[0], ends.row is not None
    kernel = compile_kernel(paths, program, like.element_size(), shared)
    added = "xgw" if shared else "xg"
    outputs = [
        like.new_zeros(shape) if slot in added else like.new_empty(shape)
        for slot in program.outputs
        for shape in _shapes(paths, slot, ends)
    ]
    lanes = width(paths.channels, like.element_size())
    parts = _parts(paths.channels, lanes)
    harmonics = [
        group[0] for slot, group in zip(program.outputs, _groups(paths, program.outputs)) if slot == "y"
    ]
    calls = []
    partial = [[like.new_empty(outputs[n].shape) for n in harmonics] for _ in parts[1:]]
    for part, (begin, end) in enumerate(parts):
        own = list(outputs)
        if part:
            for n, buffer in zip(harmonics, partial[part - 1]):
                own[n] = buffer
        pointers = [t.data_ptr() for t in (*tensors, *own, *ends.indices)]
        calls.append(((ctypes.c_void_p * len(pointers))(*pointers), len(ends.sender), begin, end))
    if len(calls) == 1:
        kernel(*calls[0])
    else:
        list(_pool(len(calls)).map(lambda call: kernel(*call), calls))
    for n, buffers in zip(harmonics, zip(*partial)):
        for buffer in buffers:
            outputs[n] += buffer
    return tuple(outputs)


def _parts(channels: int, lanes: int) -> list[tuple[int, int]]:
    """Divide the channels among threads: no two write to the same place, whatever their order."""
    size = -(-channels // min(torch.get_num_threads(), max(channels // LEAST, 1)))
    size = -(-size // lanes) * lanes
    return [(begin, min(begin + size, channels)) for begin in range(0, channels, size)]


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)
