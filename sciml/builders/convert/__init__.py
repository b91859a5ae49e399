"""To and from the containers of other libraries; what both sides can hold is kept.

A library is imported when its function is called, and a message says what to install if it is not there.
"""

from sciml.builders.convert.ase import from_ase, to_ase
from sciml.builders.convert.networkx import from_networkx, to_networkx
from sciml.builders.convert.pyg import from_pyg, to_pyg

__all__ = ["from_ase", "from_networkx", "from_pyg", "to_ase", "to_networkx", "to_pyg"]
