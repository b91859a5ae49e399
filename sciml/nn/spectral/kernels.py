"""Heat and waves on graphs of any size, by the method that fits the graph."""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.graph import Graph
from sciml.nn.spectral.expansion import chebyshev_function
from sciml.nn.spectral.filters import SpectralFilter
from sciml.nn.spectral.laplacians import Kind, along, laplacian
from sciml.nn.spectral.responses import Heat, Response, Wave, WaveImpulse
from sciml.nn.spectral.spectrum import with_spectrum

Method = Literal["auto", "exact", "chebyshev"]
SMALL = 256  # nodes up to which a hundred eigenbases cost about a second


def function_of_laplacian(
    graph: Graph,
    f: Response,
    *,
    kind: Kind = "combinatorial",
    weight: str | None = None,
    field: str = "x",
    method: Method = "auto",
    tolerance: float = 1e-6,
) -> Graph:
    """Return the graph with f(L) x in place of x.

    Args:
        graph: undirected, of any size.
        f: function of the eigenvalue, of any shape, to the same shape.
        kind, weight: see `laplacian`.
        field: the node field x, of any shape.
        method: ``exact`` by eigenvectors, ``chebyshev`` by a polynomial within the tolerance, in time and
            memory proportional to the edges. ``auto`` takes the first for graphs of up to 256 nodes, unless
            a gradient with respect to weights is wanted.
        tolerance: of the polynomial, relative to max |f| · ‖x‖.

    Raises:
        ValueError: a directed graph, a function too rough for a polynomial, an unknown method.
    """
    if method not in ("auto", "exact", "chebyshev"):
        raise ValueError(f"Unknown method {method!r}; choose auto, exact or chebyshev.")
    x = graph.nodes[field]
    if method == "auto":
        learned = weight is not None and weight in graph.edges and graph.edges[weight].requires_grad
        small = max(graph.node_counts.tolist(), default=0) <= SMALL
        method = "exact" if small and not learned else "chebyshev"
    scale = None
    if kind == "random walk":  # f(L_walk) = D^-1/2 f(L_symmetric) D^1/2, and there is a bound on the error
        degree = laplacian(graph, kind, weight, dtype=x.dtype).degree
        scale = along(torch.where(degree > 0, degree, 1.0).sqrt(), x)
        graph, kind = graph.with_nodes(None, **{field: scale * x}), "symmetric"
    if method == "exact":
        ready = with_spectrum(graph, kind, weight, dtype=x.dtype)
        value = SpectralFilter(f, field)(ready).nodes[field]
    else:
        L = laplacian(graph, kind, weight, dtype=x.dtype)
        value = chebyshev_function(L, graph.nodes[field], f, tolerance=tolerance)
    return graph.with_nodes(None, **{field: value if scale is None else value / scale})


def heat_kernel(graph: Graph, time: float | Float[Tensor, ""], **options: Any) -> Graph:
    """Return the graph after heat has flowed for some time: x(t) = exp(-t L) x, which solves x' = -L x.

    Args:
        graph: with the node field x at time 0.
        time: at least zero; in units of 1/weight. A tensor may require a gradient.
        options: kind, weight, field, method, tolerance of `function_of_laplacian`.

    With the combinatorial Laplacian the sum of x over each connected component is conserved.
    """
    return function_of_laplacian(graph, _at(Heat, time), **options)


def wave_kernel(
    graph: Graph, time: float | Float[Tensor, ""], velocity: str | None = None, **options: Any
) -> Graph:
    """Return the graph after waves have run for some time: x'' = -L x.

    x(t) = cos(t √L) x + sin(t √L)/√L v, from displacement x and velocity v.

    Args:
        graph: with the node field x, and v, at time 0.
        time: a number of either sign; in units of weight^-1/2.
        velocity: node field v, which is replaced by the velocity at time t; None for rest.
        options: kind, weight, field, method, tolerance of `function_of_laplacian`.

    The energy (v·v + x·L x)/2 is conserved, for the combinatorial and the symmetric Laplacian.
    """
    field = str(options.get("field", "x"))

    def run(response: Response, name: str) -> Tensor:
        changed: dict[str, Any] = options | {"field": name}
        return function_of_laplacian(graph, response, **changed).nodes[name]

    from_rest = run(_at(Wave, time), field)
    if velocity is None:
        return graph.with_nodes(None, **{field: from_rest})
    x = from_rest + run(_at(WaveImpulse, time), velocity)
    slope = lambda eigenvalue: -eigenvalue * _at(WaveImpulse, time)(eigenvalue)  # d/dt cos(t √λ)
    v = run(slope, field) + run(_at(Wave, time), velocity)
    return graph.with_nodes(None, **{field: x, velocity: v})


def _at(response: type[Heat] | type[Wave] | type[WaveImpulse], time: float | Tensor) -> Response:
    """Return the response at a time in full precision, which may be a tensor with a gradient."""
    value = torch.as_tensor(time, dtype=torch.float64)
    if value.ndim:
        raise ValueError(f"time must be one number, not {tuple(value.shape)} of them: call it for each time.")
    made = response(float(value.detach()))  # checks it
    return lambda eigenvalue: torch.func.functional_call(made, {"time": value.to(eigenvalue)}, (eigenvalue,))
