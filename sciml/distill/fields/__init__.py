"""From fields on grids to partial differential equations, in weak form."""

from sciml.distill.fields.pipeline import Equation, FieldDiscovery, discover
from sciml.distill.fields.terms import Term, library

__all__ = ["Equation", "FieldDiscovery", "Term", "discover", "library"]
