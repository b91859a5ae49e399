"""The weighted tensor product as one form in four arguments, and its derivatives of every order.

    F(x, Y, w, g) = Σ_e Σ_p Σ_ijk Σ_u C^p_ijk x_i[s(e), u] Y_j[e] w_p[e, u] g_pk[r(e), u]

sums over edges e from s to r, paths p, components and channels u. It is linear in each argument. The
convolution is its slope by g, gradients are slopes by x, Y and w, and the slope of a slope, along some
direction, is again a sum of slopes in which the direction stands in place of an argument. So one rule,
`derivative`, gives the derivatives of every order, and one kind of kernel evaluates them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

SLOTS = ("x", "y", "w", "g")  # features, harmonics, weights, what stands at the receivers


NONE = -1


class Term(NamedTuple):
    """The slope of F by one argument, added to ``output``: the numbers of the inputs in the other slots."""

    output: int
    x: int = NONE
    y: int = NONE
    w: int = NONE
    g: int = NONE


class Program(NamedTuple):
    """A sum of slopes of F for each output.

    Attributes:
        inputs: the slot of each input.
        outputs: the slot of each output: by which argument F is differentiated.
        terms: what is added up.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    terms: tuple[Term, ...]


CONVOLUTION = Program(("x", "y", "w"), ("g",), (Term(0, x=0, y=1, w=2),))


def derivative(program: Program, given: Sequence[int], wanted: Sequence[int]) -> Program:
    """Return the program of gradients by the ``wanted`` inputs, from gradients by the ``given`` outputs.

    Its inputs are those of the program, then the gradients that are given. An input that nothing depends on
    is an output without terms.
    """
    place = {output: len(program.inputs) + n for n, output in enumerate(given)}
    terms = [
        term._replace(output=n, **{program.outputs[term.output]: place[term.output], program.inputs[a]: NONE})
        for term in program.terms
        if term.output in place
        for n, a in enumerate(wanted)
        if getattr(term, program.inputs[a]) == a
    ]
    inputs = program.inputs + tuple(program.outputs[output] for output in given)
    return Program(inputs, tuple(program.inputs[a] for a in wanted), tuple(terms))
