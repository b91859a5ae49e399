"""What to do with what is not a plain residue, and the account of what was done."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any

_CHOICES: dict[str, tuple[str, ...]] = {
    "model": ("first", "all"),
    "altloc": ("occupancy", "first"),
    "modified": ("parent", "unknown", "drop"),
    "nucleic": ("keep", "drop"),
    "waters": ("drop", "keep"),
    "ions": ("drop", "keep"),
    "ligands": ("drop", "keep"),
    "unplaced": ("centroid", "drop"),
}


@dataclass(frozen=True)
class Rules:
    """What becomes a node.

    Attributes:
        model: of an ensemble, the "first", "all" (a graph for each), or the one with this number.
        altloc: of alternate locations, and of alternate residues at one place (microheterogeneity), the
            one of highest mean "occupancy" (the first of equal ones), or the "first" in the file. One
            choice holds for a whole residue; an atom that lacks it keeps its own most occupied place.
        modified: residues such as MSE count as their "parent" (flagged), as "unknown", or are dropped.
        nucleic: nucleotides.
        waters, ions, ligands: each residue of them becomes one node at its centroid, or is dropped. An
            ion is a single atom; caps of chains (ACE, NH2) and sugars are ligands.
        unplaced: residues whose own atom (CA; C1' of nucleotides) is missing are placed at the
            "centroid" of the atoms that are there, or dropped.
    """

    model: str | int = "first"
    altloc: str = "occupancy"
    modified: str = "parent"
    nucleic: str = "keep"
    waters: str = "drop"
    ions: str = "drop"
    ligands: str = "drop"
    unplaced: str = "centroid"

    def __post_init__(self) -> None:
        for rule in fields(self):
            value, choices = getattr(self, rule.name), _CHOICES[rule.name]
            if rule.name == "model" and isinstance(value, int) and not isinstance(value, bool):
                continue
            check_choice(rule.name, value, choices)


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Raise ValueError, naming the nearest choice, where the value is none of them."""
    if value not in choices:
        near = get_close_matches(str(value).lower(), choices, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(map(repr, choices))}."
        raise ValueError(f"{name} is {value!r}; {hint}")


@dataclass
class Report:
    """Account of one structure: every atom of the file is either kept or left out for a reason.

    Attributes:
        source: file or structure.
        atoms, residues: in the file, in the chosen model.
        kept_atoms, kept_residues: that became part of the graph.
        left_out_atoms, left_out_residues: numbers by reason; ``models`` are counted by themselves.
        noted: what was kept, but is not as in a textbook, by kind.
        models_left_out: of an ensemble.
    """

    source: str
    atoms: int = 0
    residues: int = 0
    kept_atoms: int = 0
    kept_residues: int = 0
    left_out_atoms: Counter[str] = field(default_factory=Counter)
    left_out_residues: Counter[str] = field(default_factory=Counter)
    noted: Counter[str] = field(default_factory=Counter)
    models_left_out: int = 0

    def leave_out(self, reason: str, residues: int, atoms: int) -> None:
        """Count what is left out; nothing is noted where there is nothing."""
        if residues:
            self.left_out_residues[reason] += int(residues)
        if atoms:
            self.left_out_atoms[reason] += int(atoms)

    def note(self, kind: str, number: int) -> None:
        """Count what is kept but peculiar."""
        if number:
            self.noted[kind] += int(number)

    def __str__(self) -> str:
        lines = [
            f"{self.source}: {self.kept_residues} of {self.residues} residues, "
            f"{self.kept_atoms} of {self.atoms} atoms"
        ]
        for reason in sorted(self.left_out_atoms | self.left_out_residues):
            atoms, residues = self.left_out_atoms[reason], self.left_out_residues[reason]
            whole = f"{residues} residues, " if residues else ""
            lines.append(f"  left out: {reason} ({whole}{atoms} atoms)")
        if self.models_left_out:
            lines.append(f"  left out: {self.models_left_out} further models")
        lines += [f"  noted: {number} {kind}" for kind, number in sorted(self.noted.items())]
        return "\n".join(lines)
