"""The embedded search: structured families of laws, solved by linear algebra."""

from sciml.distill.structured.engine import search

__all__ = ["search"]
