"""SMILES, Mol objects and SDF files to RDKit molecules; what cannot be read is listed with its reason."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rdkit import Chem, rdBase

log = logging.getLogger(__name__)
SHOWN = 5  # failures that a message spells out
AS_WRITTEN = Chem.SmilesParserParams()  # what stands in the text, and nothing concluded from it yet
for _step in ("sanitize", "removeHs"):
    setattr(AS_WRITTEN, _step, False)
SPECIAL = re.compile(r"\[\d*H|\|")  # hydrogens that are drawn, and what CXSMILES add behind the text


class MoleculeError(ValueError):
    """Text or a Mol that is no molecule."""


@dataclass(frozen=True)
class Failure:
    """A row that was left out.

    Attributes:
        row: its place in what was given, counted from 0.
        text: what stood there.
        reason: why it was left out, in RDKit's words where they are RDKit's.
    """

    row: int
    text: str
    reason: str

    def __str__(self) -> str:
        return f"row {self.row}: {self.text!r}: {self.reason}"


@dataclass(frozen=True)
class Molecules:
    """Molecules that could be read, and the rows that could not.

    Attributes:
        mols: RDKit's Mol objects.
        rows: the row of each in what was given.
        failures: rows left out.
    """

    mols: tuple[Chem.Mol, ...]
    rows: tuple[int, ...]
    failures: tuple[Failure, ...] = ()

    def __len__(self) -> int:
        return len(self.mols)


def parse_molecules(source: Iterable[Any], *, strict: bool = False) -> Molecules:
    """Read SMILES (or take Mol objects as they are), row by row.

    Args:
        source: SMILES, Mol objects, or both.
        strict: raise at the first row that cannot be read.

    Raises:
        MoleculeError: a row that cannot be read, if ``strict``; the message is `Failure`'s.
    """
    mols, rows, bad = [], [], []
    with silent():
        for row, item in enumerate(source):
            mol, reason = _read(item)
            if mol is not None:
                mols.append(mol)
                rows.append(row)
                continue
            bad.append((row, item, reason))
            if strict:
                break
    failures = tuple(Failure(row, _text(item), reason or _reason(item)) for row, item, reason in bad)
    if failures and strict:
        raise MoleculeError(f"{failures[0]}. (strict=False leaves such rows out and lists them.)")
    return Molecules(tuple(mols), tuple(rows), failures)


def read_sdf(path: str | Path, *, strict: bool = False) -> Molecules:
    """Read a file of structures (SDF), keeping hydrogens and coordinates.

    Raises:
        FileNotFoundError: no such file.
        MoleculeError: a record that cannot be read, if ``strict``; or a file without any record.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file.")
    if not path.stat().st_size:
        raise MoleculeError(f"{path}: the file is empty; expected structures that end with $$$$.")
    with _logged() as messages:
        supplier = Chem.SDMolSupplier(str(path), removeHs=False)
        mols, rows, failures = [], [], []
        for row in range(len(supplier)):
            messages.clear()
            mol = supplier[row]
            if mol is not None and mol.GetNumAtoms():
                mols.append(mol)
                rows.append(row)
                continue
            name = supplier.GetItemText(row).split("\n")[0].strip()
            reason = _joined(messages) if mol is None else "a record without atoms"
            failures.append(Failure(row, name or f"record {row}", reason))
            if strict:
                raise MoleculeError(f"{path}: {failures[-1]}")
    if not mols and not failures:
        raise MoleculeError(f"{path}: no record; expected structures that end with $$$$.")
    return Molecules(tuple(mols), tuple(rows), tuple(failures))


def without_hydrogens(molecules: Molecules) -> Molecules:
    """Return the molecules with hydrogens as numbers at their neighbours, as SMILES have them.

    Those of a file of structures are drawn; a network must see both in one form.
    """
    with silent():
        mols = tuple(Chem.RemoveHs(mol) for mol in molecules.mols)
    return Molecules(mols, molecules.rows, molecules.failures)


def report(failures: Sequence[Failure], total: int) -> str:
    """Say how many rows were left out, and why the first ones were."""
    listed = "; ".join(map(str, failures[:SHOWN]))
    more = f"; and {len(failures) - SHOWN} more" if len(failures) > SHOWN else ""
    return f"{len(failures)} of {total} molecules left out: {listed}{more}"


# -------------------------------------------------------------------- details


def _read(item: Any) -> tuple[Chem.Mol | None, str]:
    """Return a molecule, or None and a reason where it is ours and not RDKit's."""
    if isinstance(item, str):
        if not item.strip():
            return None, "no SMILES: the text is empty"
        return _from_smiles(item), ""
    if isinstance(item, Chem.Mol):
        return (item, "") if item.GetNumAtoms() else (None, "a molecule without atoms")
    if item is None or item != item:  # NaN, as pandas has it for an empty cell
        return None, "no SMILES: the value is missing"
    return None, f"expected SMILES or an RDKit Mol, not {type(item).__name__}"


def _from_smiles(smiles: str) -> Chem.Mol | None:
    """Return what `Chem.MolFromSmiles` returns, by its own steps, in two thirds of its time.

    Most texts need no more than these; a test holds the molecules to be the same.
    """
    if SPECIAL.search(smiles):
        return Chem.MolFromSmiles(smiles)
    mol = Chem.MolFromSmiles(smiles, AS_WRITTEN)
    if mol is None or Chem.SanitizeMol(mol, catchErrors=True):
        return None
    Chem.AssignStereochemistry(mol, cleanIt=True)
    return mol


def _text(item: Any) -> str:
    return Chem.MolToSmiles(item) if isinstance(item, Chem.Mol) else str(item)


def _reason(smiles: str) -> str:
    """Parse once more with RDKit's log in hand."""
    if smiles.lower().endswith((".sdf", ".mol", ".smi", ".csv")):
        return "a path and no SMILES; read_sdf reads files of structures"
    with _logged() as messages:
        Chem.MolFromSmiles(smiles)
        return _joined(messages)


def _joined(messages: list[str]) -> str:
    """Return what RDKit said, without times, repetitions and drawings of the place."""
    said = [re.sub(r"^\[[\d:]+\] *", "", m).strip() for m in messages]
    said = [re.sub(r" for input: .*", "", m) for m in said if re.search(r"[A-Za-z]{3}", m)]
    place = next((m for m in said if "around position" in m), "")
    first = next((m for m in said if m != place), "") or "RDKit gives no reason"
    position = re.search(r"position (\d+)", place)
    return first.split(" while parsing")[0] + (f" near character {position[1]}" if position else "")


@contextmanager
def silent() -> Iterator[None]:
    """Keep RDKit from writing of each failure to stderr."""
    block = rdBase.BlockLogs()
    try:
        yield
    finally:
        del block


@contextmanager
def _logged() -> Iterator[list[str]]:
    """Collect RDKit's log messages; afterwards they go where RDKit sends them by itself."""
    messages: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    logger = logging.getLogger("rdkit")
    handlers, propagate = logger.handlers, logger.propagate
    logger.handlers, logger.propagate = [Collect()], False
    rdBase.LogToPythonLogger()
    try:
        yield messages
    finally:
        rdBase.LogToCppStreams()
        logger.handlers, logger.propagate = handlers, propagate
