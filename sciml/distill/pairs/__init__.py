"""A law of pairs from frames of atoms: a formula of distance for each pair of elements."""

from sciml.distill.pairs.calculator import PairCalculator
from sciml.distill.pairs.pipeline import PairLaw, distill_pairs
from sciml.distill.pairs.report import write_pair_report

__all__ = ["PairCalculator", "PairLaw", "distill_pairs", "write_pair_report"]
