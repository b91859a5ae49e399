"""What every layer and model must keep, as functions of a model and an example graph.

Whether a check concerns a model is read from what the model declares: a fused path
(`MessagePassing.fused_forward`), a ``cutoff``.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from sciml.graph import PLACES, Graph, batch
from sciml.nn.message_passing import MessagePassing
from sciml.symmetry import check


@dataclass(frozen=True)
class Case:
    """A name, how to make the model (in float32, as PyTorch does), and an example graph in float64."""

    name: str
    make: Callable[[], nn.Module]
    graph: Graph

    def model(self, dtype=torch.float64):
        torch.manual_seed(0)
        return self.make().to(dtype)


def fused_layers(model):
    """The layers that have a faster path beside their edge form."""
    return [
        m
        for m in model.modules()
        if isinstance(m, MessagePassing) and type(m).fused_forward is not MessagePassing.fused_forward
    ]


def cutoff_of(model):
    """The radius beyond which the model sees nothing, or None."""
    return min((float(m.cutoff) for m in model.modules() if hasattr(m, "cutoff")), default=None)


def outputs(model, graph):
    """Every field that the model adds or changes, by place and name."""
    result = model(graph)
    if isinstance(result, Tensor):
        return {("result", ""): result}
    return {
        (place, name): value
        for place in PLACES
        for name, value in (getattr(result, place) or {}).items()
        if (getattr(graph, place) or {}).get(name) is not value
    }


def symmetry(case, dtype):
    """Declared groups hold and are seen to break outside; batch equals single; edge order is irrelevant."""
    check(case.model(dtype), case.graph.to(dtype)).raise_if_failed()


def precision(case):
    """Float32 in, float32 out, and the same numbers as float64 to single precision."""
    double = outputs(case.model(), case.graph)
    single = outputs(case.model(torch.float32), case.graph.to(torch.float32))
    assert double.keys() == single.keys()
    for key, value in double.items():
        assert value.dtype == (torch.float64 if value.is_floating_point() else single[key].dtype)
        assert single[key].dtype != torch.float64, f"{key} is float64 where everything else is float32"
        exact, rounded = value.detach().double(), single[key].detach().double()
        torch.testing.assert_close(rounded, exact, rtol=1e-3, atol=1e-4 * float(exact.abs().max()))


def gradients(case):
    """First and second derivatives by inputs and by parameters, against finite differences.

    All parameters are one vector, for which two evaluations are enough; the tolerance is a thousandth of the
    usual one, so that a small parameter's wrong slope is not lost among the others'.
    """
    model, graph = case.model(), case.graph
    leaves = {
        (place, name): value.clone().requires_grad_()
        for place in PLACES
        for name, value in (getattr(graph, place) or {}).items()
        if value.is_floating_point()
    }
    parameters = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}

    def function(*values):
        altered = graph
        for (place, name), value in zip(leaves, values):
            altered = getattr(altered, f"with_{place}")(None, **{name: value})
        parts = values[-1].split([p.numel() for p in parameters.values()]) if parameters else ()
        weights = {name: part.view_as(p) for (name, p), part in zip(parameters.items(), parts)}
        call = lambda graph: functional_call(model, weights, (graph,))
        return tuple(v for v in outputs(call, altered).values() if v.requires_grad)

    values = [*leaves.values()]
    if parameters:
        values.append(torch.cat([p.flatten() for p in parameters.values()]).requires_grad_())
    assert function(*values), "no output depends on any input or parameter"
    close = {"fast_mode": True, "rtol": 1e-6, "atol": 1e-8}
    assert torch.autograd.gradcheck(function, values, **close)
    assert torch.autograd.gradgradcheck(function, values, **close)  # forces are trained through it


def isolation(case):
    """No gradient crosses graphs: outputs of one graph do not depend on the positions of another."""
    model, graph = case.model(), batch([case.graph, case.graph])
    for name, value in graph.nodes.items():
        if not value.is_floating_point():
            continue
        leaf = value.clone().requires_grad_()
        altered = graph.with_nodes(None, **{name: leaf})
        result = model(altered)
        frame = result if isinstance(result, Graph) else graph  # a coarser grid has other nodes
        rows = {"nodes": frame.node_graph, "edges": frame.edge_graph, "globals": torch.arange(len(graph))}
        for (place, field), output in outputs(lambda _, result=result: result, altered).items():
            if output.requires_grad and place in rows:
                ours = output[rows[place] < len(case.graph)].sum()
                (gradient,) = torch.autograd.grad(
                    ours, leaf, retain_graph=True, allow_unused=True, materialize_grads=True
                )
                foreign = gradient[graph.node_graph >= len(case.graph)]
                assert (foreign == 0).all(), f"{place}.{field} depends on nodes.{name} of another graph"


def meta(case):
    """Nothing asks for values on the host, nothing is made on another device, and shapes are as they were."""
    expected = outputs(case.model(), case.graph)
    result = outputs(case.model().to("meta"), case.graph.to("meta"))
    assert {k: v.shape for k, v in result.items()} == {k: v.shape for k, v in expected.items()}
    assert all(v.device.type == "meta" for v in result.values())


def lone_nodes(case):
    """Nodes without edges and graphs without nodes are legal and give finite numbers of the right shape."""
    graph, model = case.graph, case.model()
    bare = graph.replace(
        edge_index=graph.edge_index[:, :0],
        edges={name: value[:0] for name, value in graph.edges.items()},
        edge_counts=torch.zeros_like(graph.edge_counts),
    )
    if any(getattr(m, "needs_layout", False) for m in model.modules()):
        with pytest.raises(ValueError, match="layout"):
            model(bare)
        return
    for key, value in outputs(model, bare).items():
        assert value.isfinite().all(), f"{key} of nodes without edges is not finite"
    empty = Graph.create(
        torch.zeros(2, 0),
        {name: value[:0] for name, value in graph.nodes.items()},
        {name: value[:0] for name, value in graph.edges.items()},
        {name: value[:1] for name, value in graph.globals.items()},
        senders=None if graph.senders is None else {name: value[:0] for name, value in graph.senders.items()},
        specs=graph.specs,
    )
    alone, joined = outputs(case.model(), graph), outputs(case.model(), batch([graph, empty]))
    for key, value in alone.items():
        torch.testing.assert_close(joined[key][: len(value)], value)


def fused(case):
    """The fused path equals the edge form, in value and gradient."""
    model = case.model()
    results = []
    for on in (True, False):
        for layer in fused_layers(model):
            layer.fused = on
        sides = {"nodes": case.graph.nodes, "senders": case.graph.senders or {}}
        leaves = [
            (place, name, value.clone().requires_grad_())
            for place, fields in sides.items()
            for name, value in fields.items()
            if value.is_floating_point()
        ]
        graph = case.graph
        for place, name, leaf in leaves:
            graph = getattr(graph, f"with_{place}")(None, **{name: leaf})
        values = outputs(model, graph)
        loss = sum(v.square().sum() for v in values.values() if v.requires_grad)
        targets = [*(leaf for *_, leaf in leaves), *(p for p in model.parameters() if p.requires_grad)]
        slopes = torch.autograd.grad(loss, targets, allow_unused=True, materialize_grads=True)
        results.append((tuple(values.values()), slopes))
    torch.testing.assert_close(results[0], results[1], rtol=1e-9, atol=1e-11)


def smooth_cutoff(case):
    """An edge that reaches the cutoff may be left out: value and slope go to zero there."""
    model, graph = case.model(), case.graph
    cutoff = cutoff_of(model)
    sender, receiver = graph.edge_index[:, 0].tolist()
    along = torch.nn.functional.normalize(graph.edge_vectors()[0], dim=0)
    pos = graph.nodes["pos"].clone()
    pos[receiver] = pos[sender] + (1 - 1e-6) * cutoff * along
    pair = {(sender, receiver), (receiver, sender)}
    keep = torch.tensor([tuple(edge) not in pair for edge in graph.edge_index.T.tolist()])
    without = Graph.create(
        graph.edge_index[:, keep],
        graph.nodes,
        {name: value[keep] for name, value in graph.edges.items()},
        graph.globals,
        node_counts=graph.node_counts,
        specs=graph.specs,
    )

    def value_and_slope(graph):
        leaf = pos.clone().requires_grad_()
        values = [v for k, v in outputs(model, graph.with_nodes(pos=leaf)).items() if k[0] != "edges"]
        weights = [torch.linspace(1, 2, v.numel(), dtype=v.dtype).reshape(v.shape) for v in values]
        loss = sum((w * v).sum() for w, v in zip(weights, values))
        return tuple(values), torch.autograd.grad(loss, leaf)[0]

    torch.testing.assert_close(value_and_slope(graph), value_and_slope(without), rtol=1e-4, atol=1e-4)
