"""From fields on grids to partial differential equations, in weak form."""

from sciml.distill.fields.pipeline import Equation, FieldDiscovery, discover
from sciml.distill.fields.report import FieldReport, report
from sciml.distill.fields.stencils import LearnedStencils, learn_stencils, read_stencils
from sciml.distill.fields.terms import Term, library
from sciml.distill.fields.widths import prepared

__all__ = [
    "Equation",
    "FieldDiscovery",
    "FieldReport",
    "LearnedStencils",
    "Term",
    "discover",
    "learn_stencils",
    "library",
    "prepared",
    "read_stencils",
    "report",
]
