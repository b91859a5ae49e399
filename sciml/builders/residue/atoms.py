"""Files and gemmi structures to flat arrays of atoms, one set per model."""

from __future__ import annotations

import gzip
import math
import os
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from sciml.builders.residue.aligned import read_aligned
from sciml.builders.residue.chemistry import unpack
from sciml.builders.residue.rules import Rules

if TYPE_CHECKING:
    import gemmi

POLYMER, WATER_ENTITY = 1, 4  # gemmi.EntityType
LARGE = 400_000  # bytes; smaller mmCIF files are read by gemmi as fast as by the fast path
LONGEST_NAME = 7  # characters that gemmi's flat table holds of a name
MMCIF_SUFFIXES = (".cif", ".mmcif")
SUFFIXES = (".pdb", ".ent", *MMCIF_SUFFIXES)
_OLD_PDB = re.compile(rb"HEADER.{66}\w{4} +\d+ *\r?\n")  # of before 1996: lines are numbered from column 73
_WEB_PAGE = re.compile(rb"\s*(<!doctype html|<html|<\?xml)", re.I)
_PREDICTED = re.compile(r"alphafold|esmfold|rosettafold|openfold|colabfold|\bboltz\b|\bchai-1\b", re.I)


class Atoms(NamedTuple):
    """Atoms of one model in the order of the file; names are packed into integers (`chemistry.pack`)."""

    source: str
    model: int
    models: int
    title: str
    predicted: bool
    parents: Mapping[str, str]
    expected: int | None
    pos: Float[np.ndarray, "atoms 3"]
    name: Int[np.ndarray, "atoms"]
    element: Int[np.ndarray, "atoms"]
    altloc: Int[np.ndarray, "atoms"]
    occupancy: Float[np.ndarray, "atoms"]
    b_factor: Float[np.ndarray, "atoms"]
    residue_name: Int[np.ndarray, "atoms"]
    number: Int[np.ndarray, "atoms"]
    insertion: Int[np.ndarray, "atoms"]
    chain: Int[np.ndarray, "atoms"]
    subchain: Int[np.ndarray, "atoms"]
    entity: Int[np.ndarray, "atoms"]
    het: Int[np.ndarray, "atoms"]


class Table(NamedTuple):
    """A file taken apart: columns of `Atoms` for all models, and what is said of the whole.

    Attributes:
        columns: arrays by name, atoms of a model, chain and residue together.
        model: number of the model of each atom.
        title, predicted: of the file; whether it says that B-factors are measures of confidence.
        parents: names of modified residues to those of their parents.
        expected: residues of all polymers by their sequences; None where the file gives none.
    """

    columns: dict[str, np.ndarray]
    model: Int[np.ndarray, "atoms"]
    title: str
    predicted: bool
    parents: dict[str, str]
    expected: int | None


def read_atoms(source: str | os.PathLike[str] | gemmi.Structure, rules: Rules) -> list[Atoms]:
    """Read a file (PDB or mmCIF, gzipped or not) or take a gemmi.Structure; one `Atoms` per chosen model.

    Raises:
        FileNotFoundError, IsADirectoryError: as they say.
        ValueError: a file that is not a structure, is cut off, has no atoms or no such model, or has
            coordinates that are not finite; the message names the file and what was found.
        ImportError: gemmi is not installed.
    """
    try:
        import gemmi
    except ImportError as error:
        raise ImportError(
            "Reading structures needs gemmi: pip install 'sciml[proteins]' (or pip install gemmi)."
        ) from error
    if isinstance(source, gemmi.Structure):
        name, table = source.name or "structure", from_gemmi(source.clone(), source.name or "structure")
    elif isinstance(source, str | os.PathLike):
        name, table = str(source), _parse(Path(source))
    else:
        raise TypeError(f"A structure is a path or a gemmi.Structure, not {type(source).__name__}.")
    if not len(table.model):
        raise ValueError(f"{name} holds no atoms.")
    return _models(table, name, rules)


def from_gemmi(structure: gemmi.Structure, source: str, predicted: bool = False) -> Table:
    """Take a structure apart (it is changed: entities that it lacks are found)."""
    import gemmi

    structure.setup_entities()
    _check_names(structure, source)
    flat = gemmi.FlatStructure(structure)
    flat.strings_as_numbers = True
    packed = lambda names: np.ascontiguousarray(names).view("<i8")[:, 0]
    columns = {
        "pos": np.array(flat.pos, dtype=float),
        "name": packed(flat.atom_names),
        "element": np.array(flat.elements),
        "altloc": np.array(flat.altlocs).view(np.uint8),
        "occupancy": np.array(flat.occ),
        "b_factor": np.array(flat.b_iso),
        "residue_name": packed(flat.residue_names),
        "number": np.array(flat.resnums).astype(np.int64),
        "insertion": np.array(flat.icodes).view(np.uint8),
        "chain": packed(flat.chain_ids),
        "subchain": packed(flat.subchains),
        "entity": np.array(flat.entity_type),
        "het": np.array(flat.het_flags).view(np.uint8),
    }
    parents = {m.res_id.name: m.parent_comp_id for m in structure.mod_residues if m.parent_comp_id}
    title = structure.info["_struct.title"] if "_struct.title" in structure.info else ""  # noqa: SIM401
    numbers = [model.num for model in structure]
    if len(set(numbers)) < len(numbers):
        numbers = list(range(1, len(numbers) + 1))
    model = np.repeat(numbers, [one.count_atom_sites() for one in structure])
    return Table(columns, model, title, predicted, parents, _expected(structure))


# -------------------------------------------------------------------- details


def _parse(path: Path) -> Table:
    """Read a file, by the fast path where it fits."""
    import gemmi

    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: use residue_graphs for all files in it.")
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}.")
    stem = path.name.lower().removesuffix(".gz")
    document, head = gemmi.cif.Document(), b""
    try:
        head = _head(path)
        _check_head(head)
        if stem.endswith(MMCIF_SUFFIXES):
            content = _content(path)
            found = read_aligned(content) if len(content) > LARGE else None
            if found is not None:
                return Table(**found)
        if _OLD_PDB.match(head):
            structure = gemmi.read_pdb(os.fspath(path), max_line_length=72)
        else:
            kind = gemmi.CoorFormat.Unknown if stem.endswith(SUFFIXES) else gemmi.CoorFormat.Detect
            structure = gemmi.read_structure(os.fspath(path), format=kind, save_doc=document)
    except (ValueError, RuntimeError, OSError, EOFError, IndexError, zlib.error) as error:
        raise ValueError(f"{path} cannot be read as PDB or mmCIF: {error}") from error
    if not len(structure) or not structure[0].count_atom_sites():
        raise ValueError(f"{path} holds no atoms; it starts with {_start_of(head)}.")
    tags = document[0].get_mmcif_category_names() if len(document) else []
    return from_gemmi(structure, str(path), any(tag.startswith("_ma_qa_metric") for tag in tags))


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    return gzip.decompress(content) if path.suffix.lower() == ".gz" else content


def _head(path: Path) -> bytes:
    """Return the beginning of a file, unpacked."""
    with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
        return file.read(400)


def _check_head(head: bytes) -> None:
    if not head.strip():
        raise ValueError("it is empty.")
    if head.startswith(b"\x1f\x8b"):
        raise ValueError("it is gzipped, but its name does not end in .gz: rename it.")
    if _WEB_PAGE.match(head):
        raise ValueError(f"it is a web page or XML ({_start_of(head)}): download the file itself.")


def _start_of(head: bytes) -> str:
    """Return the first line of a file, for messages."""
    return repr(next(iter(head.lstrip()[:40].decode("utf-8", "replace").splitlines()), ""))


def _check_names(structure: gemmi.Structure, source: str) -> None:
    for model in structure:
        for chain in model:
            if len(chain.name) > LONGEST_NAME or not chain.name.isascii():
                raise ValueError(
                    f"{source}: chain name {chain.name!r} is not of at most {LONGEST_NAME} ASCII characters; "
                    "shorten it with gemmi.Structure.shorten_chain_names()."
                )


def _models(table: Table, source: str, rules: Rules) -> list[Atoms]:
    """Return the atoms of each chosen model."""
    numbers, start = np.unique(table.model, return_index=True)
    order = np.argsort(start)
    numbers, bounds = numbers[order].tolist(), [*start[order].tolist(), len(table.model)]
    facts: dict[str, Any] = {
        "source": source,
        "models": len(numbers),
        "title": table.title,
        "predicted": table.predicted or bool(_PREDICTED.search(table.title)),
        "parents": table.parents,
        "expected": table.expected,
    }
    parts = []
    for index in _chosen(numbers, rules.model, source):
        rows = slice(bounds[index], bounds[index + 1])
        facts |= {name: column[rows] for name, column in table.columns.items()}
        atoms = Atoms(model=numbers[index], **facts)
        _check_finite(atoms)
        parts.append(atoms)
    return parts


def _chosen(numbers: list[int], model: str | int, source: str) -> list[int]:
    if model == "all":
        return list(range(len(numbers)))
    if model == "first":
        return [0]
    if model not in numbers:
        raise ValueError(f"{source} has no model {model}; its models are {numbers[0]} to {numbers[-1]}.")
    return [numbers.index(int(model))]


def _expected(structure: gemmi.Structure) -> int | None:
    """Residues of all polymer chains by their sequences; None where the file gives none."""
    import gemmi

    chains = [
        len(entity.full_sequence) * len(entity.subchains)
        for entity in structure.entities
        if entity.entity_type == gemmi.EntityType.Polymer and entity.full_sequence
    ]
    return sum(chains) if chains else None


def _check_finite(atoms: Atoms) -> None:
    """Raise at the first atom whose coordinates are not numbers."""
    if math.isfinite(float(atoms.pos.sum())):
        return
    wrong = np.flatnonzero(~np.isfinite(atoms.pos).all(axis=1))
    name, residue, chain = (unpack(c[wrong[0]]) for c in (atoms.name, atoms.residue_name, atoms.chain))
    raise ValueError(
        f"{atoms.source}: {len(wrong)} atoms have coordinates that are not finite, the first is {name} of "
        f"{residue} {atoms.number[wrong[0]]} in chain {chain}. Remove these atoms, or complete the file."
    )
