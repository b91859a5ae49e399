"""Published scales of residues, to compare with: nothing is fitted to them and nothing chosen by them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from sciml.builders.residue.chemistry import AMINO

_LETTERS = "ARNDCQEGHILKMFPSTWYV"  # of AMINO
_MJ_ORDER = "CMFILVWYAGTSNQDEHRKP"
# Miyazawa & Jernigan 1996 (J. Mol. Biol. 256, 623), table 3, upper half and diagonal: −100 e_ij / kT, row by
# row from the diagonal on.
_MJ = """
544 499 580 550 583 496 495 416 357 316 311 286 259 285 241 227 360 257 195 307
546 656 602 641 532 555 491 394 339 351 303 295 330 257 289 398 312 248 345
726 684 728 629 616 566 481 413 428 402 375 410 348 356 477 398 336 425
654 704 605 578 525 458 378 403 352 324 367 317 327 414 363 301 376
737 648 614 567 491 416 434 392 374 404 340 359 454 403 337 420
552 518 462 404 338 346 305 283 307 248 267 358 307 249 332
506 466 382 342 322 299 307 311 284 299 398 341 269 373
417 336 301 301 278 276 297 276 279 352 316 260 319
272 231 232 201 184 189 170 151 241 183 131 203
224 208 182 174 166 159 122 215 172 115 187
212 196 188 190 180 174 242 190 131 190
167 158 149 163 148 211 162 105 157
168 171 168 151 208 164 121 153
154 146 142 198 180 129 173
121 102 232 229 168 133
91 215 227 180 126
305 216 135 225
155 59 170
12 97
175
"""
# Kyte & Doolittle 1982 (J. Mol. Biol. 157, 105), table 2: hydropathy, positive for residues that shun water.
_HYDROPATHY = {
    **{"I": 4.5, "V": 4.2, "L": 3.8, "F": 2.8, "C": 2.5, "M": 1.9, "A": 1.8, "G": -0.4, "T": -0.7, "S": -0.8},
    **{"W": -0.9, "Y": -1.3, "P": -1.6, "H": -3.2, "E": -3.5, "Q": -3.5, "D": -3.5, "N": -3.5, "K": -3.9},
    "R": -4.5,
}


def miyazawa_jernigan() -> Float[np.ndarray, "20 20"]:
    """Return contact energies e_ij of Miyazawa & Jernigan 1996, table 3, in kT, in the order of `AMINO`."""
    given = np.zeros((len(_MJ_ORDER), len(_MJ_ORDER)))
    for i, line in enumerate(_MJ.split("\n")[1:-1]):
        given[i, i:] = given[i:, i] = [-float(value) / 100 for value in line.split()]
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
