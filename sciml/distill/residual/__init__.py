"""What a law leaves over: subtract it, look again, and add what is found there."""

from sciml.distill.residual.compose import extended
from sciml.distill.residual.finding import Finding, find
from sciml.distill.residual.known import Known
from sciml.distill.residual.rows import Look, equations_of
from sciml.distill.residual.stage import (
    LookedAgain,
    look_again,
    refitted,
    rest,
    run_alone,
    search_rest,
    with_units,
)

__all__ = [
    "Finding",
    "Known",
    "Look",
    "LookedAgain",
    "equations_of",
    "extended",
    "find",
    "look_again",
    "refitted",
    "rest",
    "run_alone",
    "search_rest",
    "with_units",
]
