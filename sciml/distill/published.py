"""Published scales of residues, to compare with: nothing is fitted to them and nothing chosen by them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from sciml.builders.residue.chemistry import AMINO

_LETTERS = "ARNDCQEGHILKMFPSTWYV"  # of AMINO
_MJ_ORDER = "CMFILVWYAGTSNQDEHRKP"
# Miyazawa & Jernigan 1996 (J. Mol. Biol. 256, 623), table 3, upper half and diagonal: e_ij in units of kT, row
# by row from the diagonal on.
_MJ = """
-5.44 -4.99 -5.80 -5.50 -5.83 -4.96 -4.95 -4.16 -3.57 -3.16 -3.11 -2.86 -2.59 -2.85 -2.41 -2.27 -3.60 -2.57 -1.95 -3.07
-5.46 -6.56 -6.02 -6.41 -5.32 -5.55 -4.91 -3.94 -3.39 -3.51 -3.03 -2.95 -3.30 -2.57 -2.89 -3.98 -3.12 -2.48 -3.45
-7.26 -6.84 -7.28 -6.29 -6.16 -5.66 -4.81 -4.13 -4.28 -4.02 -3.75 -4.10 -3.48 -3.56 -4.77 -3.98 -3.36 -4.25
-6.54 -7.04 -6.05 -5.78 -5.25 -4.58 -3.78 -4.03 -3.52 -3.24 -3.67 -3.17 -3.27 -4.14 -3.63 -3.01 -3.76
-7.37 -6.48 -6.14 -5.67 -4.91 -4.16 -4.34 -3.92 -3.74 -4.04 -3.40 -3.59 -4.54 -4.03 -3.37 -4.20
-5.52 -5.18 -4.62 -4.04 -3.38 -3.46 -3.05 -2.83 -3.07 -2.48 -2.67 -3.58 -3.07 -2.49 -3.32
-5.06 -4.66 -3.82 -3.42 -3.22 -2.99 -3.07 -3.11 -2.84 -2.99 -3.98 -3.41 -2.69 -3.73
-4.17 -3.36 -3.01 -3.01 -2.78 -2.76 -2.97 -2.76 -2.79 -3.52 -3.16 -2.60 -3.19
-2.72 -2.31 -2.32 -2.01 -1.84 -1.89 -1.70 -1.51 -2.41 -1.83 -1.31 -2.03
-2.24 -2.08 -1.82 -1.74 -1.66 -1.59 -1.22 -2.15 -1.72 -1.15 -1.87
-2.12 -1.96 -1.88 -1.90 -1.80 -1.74 -2.42 -1.90 -1.31 -1.90
-1.67 -1.58 -1.49 -1.63 -1.48 -2.11 -1.62 -1.05 -1.57
-1.68 -1.71 -1.68 -1.51 -2.08 -1.64 -1.21 -1.53
-1.54 -1.46 -1.42 -1.98 -1.80 -1.29 -1.73
-1.21 -1.02 -2.32 -2.29 -1.68 -1.33
-0.91 -2.15 -2.27 -1.80 -1.26
-3.05 -2.16 -1.35 -2.25
-1.55 -0.59 -1.70
-0.12 -0.97
-1.75
"""
# Kyte & Doolittle 1982 (J. Mol. Biol. 157, 105), table 2: hydropathy, positive for residues that shun water.
_HYDROPATHY = {
    **{"I": 4.5, "V": 4.2, "L": 3.8, "F": 2.8, "C": 2.5, "M": 1.9, "A": 1.8, "G": -0.4, "T": -0.7, "S": -0.8},
    **{"W": -0.9, "Y": -1.3, "P": -1.6, "H": -3.2, "E": -3.5, "Q": -3.5, "D": -3.5, "N": -3.5, "K": -3.9},
    "R": -4.5,
}


def miyazawa_jernigan() -> Float[np.ndarray, "20 20"]:
    """Return contact energies e_ij of Miyazawa & Jernigan 1996, table 3, in kT; rows in the order of `AMINO`."""
    given = np.zeros((len(_MJ_ORDER), len(_MJ_ORDER)))
    for i, line in enumerate(_MJ.split("\n")[1:-1]):
        given[i, i:] = given[i:, i] = [float(value) for value in line.split()]
    order = [_MJ_ORDER.index(letter) for letter in _LETTERS]
    return given[np.ix_(order, order)]


def kyte_doolittle() -> Float[np.ndarray, "20"]:
    """Return the hydropathy scale of Kyte & Doolittle 1982 (no unit), in the order of `AMINO`."""
    assert len(_LETTERS) == len(AMINO)
    return np.array([_HYDROPATHY[letter] for letter in _LETTERS])


def charges() -> Float[np.ndarray, "20"]:
    """Return formal charges of side chains at pH 7 in elementary charges, in the order of `AMINO`."""
    charge = {"D": -1.0, "E": -1.0, "K": 1.0, "R": 1.0}
    return np.array([charge.get(letter, 0.0) for letter in _LETTERS])
