"""The theorem, executable: attention with as many heads as a kernel has places contains its convolution.

Cordonnier, Loukas & Jaggi 2020 (arXiv 1911.03584), theorem 1: a multi-head attention layer with a quadratic
relative positional encoding can express any convolution. `as_attention` sets the weights: head h attends,
whatever the content, to the pixel at offset Δ_h, for its score is -α |δ - Δ_h|²; its value is that pixel; and
the output map applies the kernel's matrix at Δ_h. All pixels but one are at least one step away from Δ_h, so
that their weights are at most e^-α of its own, and what is left of the difference falls as e^-α.
"""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor, nn

from sciml.graph import Complete, Graph, Spec
from sciml.graph.fields import default_specs
from sciml.nn.about import About
from sciml.nn.attention.multihead import MultiHeadAttention
from sciml.nn.attention.score_encodings import QuadraticBias
from sciml.nn.convolution import GridConvolution
from sciml.nn.grid import check_channels, check_window, coarse_shape, from_dense, pad, to_dense, with_field
from sciml.symmetry.grid import grid_layout


def as_attention(convolution: GridConvolution, sharpness: float = 60.0) -> ConvolutionByAttention:
    """Return attention among all pixels that equals a convolution.

    Args:
        convolution: in 1, 2 or 3 dimensions, with any stride and dilation, on periodic or bounded axes.
        sharpness: α, in 1 / step². Single pixels leak e^-α of their value: 10⁻⁴ at 10, less than the
            rounding of float64 from 40 on.

    Raises:
        ValueError: a sharpness that is not positive.
    """
    return ConvolutionByAttention(convolution, sharpness)


class ConvolutionByAttention(nn.Module):
    """A convolution whose only way to hear a pixel is attention; see the module's docstring.

    Beyond a bounded border a convolution with zero padding hears zeros, and so does this: there the senders
    are the grid with half a window of zeros around it, and the receivers are the grid. Its parameters are
    its own, and may be trained further.

    Attributes:
        attention: the layer whose weights were set.
    """

    about = About(
        domain="grids in 1, 2 and 3 dimensions",
        content="x_j",
        geometry="relative offset, by a quadratic encoding",
        equation=(
            r"x_i' = \sum_h W_h \sum_j \operatorname{softmax}_j\!\big("
            r"-\alpha\,|\delta_{ij} - \Delta_h|^2\big)\, x_j + b"
        ),
        cost="nodes² · heads · in",
        source="Cordonnier et al. 2020, arXiv 1911.03584, theorem 1",
    )
    needs_layout = True  # which offsets wrap around is not in the edges

    def __init__(self, convolution: GridConvolution, sharpness: float = 60.0) -> None:
        super().__init__()
        if not sharpness > 0:
            raise ValueError(f"sharpness {sharpness} must be positive: heads attend to where it is largest.")
        channels, heads = convolution.in_channels, len(convolution.offsets)
        weight = convolution.weight.detach()
        self.offsets, self.stride, self.field = convolution.offsets, convolution.stride, convolution.field
        self.channels, self.out_channels = channels, convolution.out_channels
        place = QuadraticBias(heads, convolution.dim, sharpness=sharpness)
        self.attention = MultiHeadAttention(
            channels,
            heads,
            width=channels,
            out_channels=convolution.out_channels,
            biases=[place],
            field=self.field,
        ).to(weight)
        with torch.no_grad():
            for parameter in self.attention.parameters():
                if parameter is not place.sharpness:
                    parameter.zero_()  # scores know nothing of the content
            place.centre.copy_(torch.tensor(self.offsets))
            self.attention.value.weight.copy_(torch.eye(channels).repeat(heads, 1))
            self.attention.output.weight.copy_(weight.flatten(2).mT.flatten(1))  # out, places · in
            if convolution.bias is not None:
                self.attention.output.bias.copy_(convolution.bias)
        self.symmetry = convolution.symmetry

    def forward(self, graph: Graph) -> Graph:
        """Convolve every grid of the batch.

        Raises:
            ValueError: as `GridConvolution`; a graph without grid layout.
        """
        value = self.attention(self.pairs(graph)).nodes[self.field]
        spec = Spec(f"{self.out_channels}x0e")
        return with_field(graph, self.stride, self.field, value, spec, type(self).__name__)

    def pairs(self, graph: Graph) -> Graph:
        """Return the two-sided graph on which attention acts: every pixel hears all pixels.

        Positions count pixels; on periodic axes ``shift`` takes each offset to within one period from the
        first offset of the window on, where those of the window are.
        """
        name = type(self).__name__
        check_channels(graph.nodes[self.field], self.channels, name, self.field)
        grid = grid_layout(graph, name)
        check_window(grid, self.offsets, name)
        device, graphs = graph.device, graph.num_graphs
        first, last = ([f(steps) for steps in zip(*self.offsets)] for f in (min, max))
        before = [0 if closed else -low for low, closed in zip(first, grid.periodic)]
        after = [0 if closed else high for high, closed in zip(last, grid.periodic)]
        heard = pad(to_dense(graph.nodes[self.field], grid.shape), before, after, grid.periodic)
        hearing = to_dense(graph.nodes[self.field], grid.shape)
        hearing = hearing[(slice(None), slice(None), *(slice(None, None, step) for step in self.stride))]
        shape = coarse_shape(grid, self.stride, name)

        sender = _points(tuple(heard.shape[2:]), device) - torch.tensor(before, device=device)
        receiver = _points(shape, device) * torch.tensor(self.stride, device=device)
        period = torch.tensor(grid.shape, device=device)
        beyond = sender - receiver[:, None] - torch.tensor(first, device=device)  # receivers senders dim
        shift = beyond.div(period, rounding_mode="floor") * torch.tensor(grid.periodic, device=device)
        like = graph.nodes[self.field]
        nodes = {self.field: from_dense(hearing), "pos": receiver.to(like).repeat(graphs, 1)}
        senders = {self.field: from_dense(heard), "pos": sender.to(like).repeat(graphs, 1)}
        cell = torch.diag(period.to(like)).expand(graphs, -1, -1)
        return graph.replace(
            edge_index=_all_edges(graphs, len(receiver), len(sender), device),
            nodes=nodes,
            edges={"shift": shift.flatten(0, 1).repeat(graphs, 1)},
            globals={"cell": cell},
            node_counts=torch.full_like(graph.node_counts, len(receiver)),
            edge_counts=torch.full_like(graph.node_counts, len(receiver) * len(sender)),
            senders=senders,
            sender_counts=torch.full_like(graph.node_counts, len(sender)),
            specs=default_specs({"nodes": nodes, "senders": senders, "globals": {"cell": cell}}),
            layout=Complete(len(receiver), len(sender)),
        )


def _points(shape: tuple[int, ...], device: torch.device) -> Int[Tensor, "points dim"]:
    axes = [torch.arange(n, device=device) for n in shape]
    return torch.cartesian_prod(*axes).reshape(-1, len(shape))


def _all_edges(graphs: int, receivers: int, senders: int, device: torch.device) -> Int[Tensor, "2 edges"]:
    """Return the edges of complete graphs of one size, whose number is known without asking the device."""
    receiver = torch.arange(graphs * receivers, device=device).reshape(graphs, receivers, 1)
    sender = torch.arange(graphs * senders, device=device).reshape(graphs, 1, senders)
    return torch.stack([t.expand(graphs, receivers, senders).flatten() for t in (sender, receiver)])
