"""Pictures of data, training, laws and rollouts, each a function that returns Matplotlib Axes.

Every function draws into ``ax`` or, without it, into a new figure of its own; pyplot and its global state
are never touched, so that pictures can be made in threads and on machines without a screen.
"""

from sciml.plotting.contacts import labelled_points, pair_energies
from sciml.plotting.laws import (
    front,
    held_out_errors,
    hidden_properties,
    messages_against_law,
    signal_matrix,
)
from sciml.plotting.motion import orbits, rollout_error, training_curve
from sciml.plotting.pair_curves import pair_curve
from sciml.plotting.pairs import predicted_against_measured, ranking_curve
from sciml.plotting.reliability import reliability_diagram
from sciml.plotting.structures import contact_map, network, structure_view, trace
from sciml.plotting.style import svg
from sciml.plotting.terms import explained_rows, force_curves

__all__ = [
    "contact_map",
    "explained_rows",
    "force_curves",
    "front",
    "held_out_errors",
    "hidden_properties",
    "labelled_points",
    "messages_against_law",
    "network",
    "orbits",
    "pair_curve",
    "pair_energies",
    "predicted_against_measured",
    "ranking_curve",
    "reliability_diagram",
    "rollout_error",
    "signal_matrix",
    "structure_view",
    "svg",
    "trace",
    "training_curve",
]
