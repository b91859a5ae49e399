"""Features of molecules for any regression: arrays in, an array out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sciml.graph import Graph
from sciml.nn.scattering.molecules import HarmonicPath, SolidHarmonicScattering, margin

CHANNELS = ("nuclear", "valence", "core")
_NOBLE = (0, 2, 10, 18, 36, 54, 86)
_ELEMENTS = 118


def solid_harmonic_features(
    numbers: Sequence[Any],
    positions: Sequence[Any],
    *,
    width: float = 0.4,
    J: int = 2,
    powers: Sequence[float] = (1.0, 2.0, 3.0),
    reach: float = 4.0,
    dtype: torch.dtype = torch.float32,
    **options: Any,
) -> tuple[Float[Tensor, "molecules features"], list[tuple[str, HarmonicPath]]]:
    """Return solid-harmonic scattering coefficients of molecules, and what each is: channel and path.

    The channels are nuclear charges, valence electrons, and the rest of the electrons (Eickenberg et al.
    2018). Every molecule gets a box that holds it.

    Args:
        numbers: atomic numbers of each molecule.
        positions: (atoms, 3) of each molecule, in Å.
        width, J, powers, reach, options: see `SolidHarmonicScattering`.
        dtype: of the computation.

    Raises:
        ValueError: an unknown element, positions of a wrong shape or not finite, a molecule without atoms;
            the message names molecule and atom.
    """
    if len(numbers) != len(positions):
        raise ValueError(
            f"{len(numbers)} lists of atomic numbers, but positions of {len(positions)} molecules."
        )
    boxes: dict[tuple[float, ...], list[int]] = {}
    found: list[tuple[Tensor, Tensor]] = []
    room = margin(width, J, powers, reach)
    for i, (z, pos) in enumerate(zip(numbers, positions, strict=True)):
        z, pos = torch.as_tensor(z), torch.as_tensor(pos, dtype=dtype)
        _check(z, pos, i)
        found.append((charges(z, f"Molecule {i}").to(dtype), pos))
        boxes.setdefault(_box(pos, room), []).append(i)
    make = lambda box: SolidHarmonicScattering(box, width=width, J=J, powers=powers, reach=reach, **options)
    paths = make((2.5 * room,) * 3).paths
    result = torch.zeros(len(found), len(CHANNELS) * len(paths), dtype=dtype)
    for box, members in boxes.items():  # one box after the other: the wavelets of a box fill some memory
        layer = make(box)
        for i in members:
            graph = Graph.create(torch.zeros(2, 0), {"pos": found[i][1], "charge": found[i][0]})
            with torch.no_grad():
                result[i] = layer(graph).globals["x"][0]
    return result, [(channel, path) for channel in CHANNELS for path in paths]


def charges(numbers: Int[Tensor, "atoms"], where: str = "The molecule") -> Float[Tensor, "atoms 3"]:
    """Return nuclear charge, valence electrons and core electrons of each atom.

    Valence electrons are those beyond the last noble gas, without filled d and f shells.

    Raises:
        ValueError: a number that is no element's, named with its atom.
    """
    known = (numbers >= 1) & (numbers <= _ELEMENTS) & (numbers == numbers.round())
    if not bool(known.all()):
        atom = int((~known).nonzero()[0])
        raise ValueError(
            f"{where}: atom {atom} has atomic number {numbers[atom].item()}; elements are 1 to {_ELEMENTS}."
        )
    z = numbers.long().cpu()
    valence = torch.tensor([_valence(n) for n in range(_ELEMENTS + 1)])[z]
    return torch.stack([z, valence, z - valence], dim=1).double().to(numbers.device)


# -------------------------------------------------------------------- details


def _valence(number: int) -> int:
    below = max(core for core in _NOBLE if core < max(number, 1))
    beyond = number - below
    f_shell = 14 if below >= 54 and beyond > 16 else 0
    d_shell = 10 if below >= 18 and beyond - f_shell > 12 else 0
    return beyond - f_shell - d_shell


def _box(pos: Float[Tensor, "atoms 3"], room: float) -> tuple[float, float, float]:
    """Return a box, its edges in steps of two Å, so that many molecules share one."""
    reach = (pos - pos.mean(0)).abs().amax(0) + room
    a, b, c = (2.0 * math.ceil(float(r) + 1e-3) for r in reach)
    return a, b, c


def _check(numbers: Tensor, pos: Tensor, molecule: int) -> None:
    where = f"Molecule {molecule}"
    if numbers.ndim != 1 or len(numbers) == 0:
        raise ValueError(f"{where}: atomic numbers have shape {tuple(numbers.shape)}, expected (atoms,).")
    if tuple(pos.shape) != (len(numbers), 3):
        raise ValueError(
            f"{where}: positions have shape {tuple(pos.shape)} for {len(numbers)} atoms, expected (atoms, 3)."
        )
    wrong = (~pos.isfinite()).any(1).nonzero()
    if len(wrong):
        raise ValueError(
            f"{where}: atom {int(wrong[0])} is at {pos[int(wrong[0])].tolist()}, which is nowhere."
        )
