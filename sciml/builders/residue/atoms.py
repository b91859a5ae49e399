"""Files and gemmi structures to flat arrays of atoms, one set per model."""

from __future__ import annotations

import gzip
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from sciml.builders.residue.rules import Rules

if TYPE_CHECKING:
    import gemmi

POLYMER, WATER_ENTITY = 1, 4  # gemmi.EntityType
LONGEST_NAME = 7  # characters that gemmi's flat table holds of a name
SUFFIXES = (".pdb", ".ent", ".cif", ".mmcif")
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
        structure, name, predicted = source.clone(), source.name or "structure", False
    elif isinstance(source, str | os.PathLike):
        structure, predicted = _parse(Path(source))
        name = str(source)
    else:
        raise TypeError(f"A structure is a path or a gemmi.Structure, not {type(source).__name__}.")
    structure.setup_entities()
    if not len(structure) or not structure[0].count_atom_sites():
        raise ValueError(f"{name} holds no atoms.")
    _check_names(structure, name)
    return _flatten(structure, name, predicted, rules)


# -------------------------------------------------------------------- details


def _parse(path: Path) -> tuple[gemmi.Structure, bool]:
    """Read a file; the second value tells whether its mmCIF says that a model was predicted."""
    import gemmi

    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: use residue_graphs for all files in it.")
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}.")
    document = gemmi.cif.Document()
    stem = path.name.lower().removesuffix(".gz")
    known = stem.endswith(SUFFIXES)
    try:
        structure = gemmi.read_structure(
            os.fspath(path),
            format=gemmi.CoorFormat.Unknown if known else gemmi.CoorFormat.Detect,
            save_doc=document,
        )
    except (ValueError, RuntimeError, OSError, EOFError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read as PDB or mmCIF: {error}{_looks_like(path)}") from error
    if not len(structure) or not structure[0].count_atom_sites():
        raise ValueError(f"{path} holds no atoms{_looks_like(path) or '.'}")
    predicted = len(document) > 0 and document[0].find_loop("_ma_qa_metric_local.metric_value").tag != ""
    return structure, predicted


def _looks_like(path: Path) -> str:
    """Say what a file that is no structure seems to be."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            head = file.read(400)
    except (OSError, EOFError):
        return f" (it is {path.stat().st_size} bytes long and cannot be unpacked)"
    start = head.lstrip()[:40].decode("utf-8", "replace").splitlines()
    if not head.strip():
        return ": it is empty."
    if re.match(rb"\s*(<!doctype html|<html|<\?xml)", head, re.I):
        return f": it is a web page or XML ({start[0]!r} ...), not a structure; download the file itself."
    return f" (it starts with {start[0]!r})"


def _check_names(structure: gemmi.Structure, source: str) -> None:
    for model in structure:
        for chain in model:
            if len(chain.name) > LONGEST_NAME or not chain.name.isascii():
                raise ValueError(
                    f"{source}: chain name {chain.name!r} is not of at most {LONGEST_NAME} ASCII characters; "
                    "shorten it with gemmi.Structure.shorten_chain_names()."
                )


def _flatten(structure: gemmi.Structure, source: str, predicted: bool, rules: Rules) -> list[Atoms]:
    import gemmi

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
    title = structure.info["_struct.title"] if "_struct.title" in structure.info else ""  # noqa: SIM401
    common = {
        "source": source,
        "models": len(structure),
        "title": title,
        "predicted": predicted or bool(_PREDICTED.search(title)),
        "parents": {m.res_id.name: m.parent_comp_id for m in structure.mod_residues if m.parent_comp_id},
        "expected": _expected(structure),
    }
    start = np.cumsum([0, *(model.count_atom_sites() for model in structure)])
    parts = []
    for index in _chosen([model.num for model in structure], rules.model, source):
        rows = slice(start[index], start[index + 1])
        part = {name: column[rows] for name, column in columns.items()}
        _check_finite(part["pos"], structure[index], source)
        parts.append(Atoms(model=structure[index].num, **common, **part))  # type: ignore[arg-type]
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


def _check_finite(pos: Float[np.ndarray, "atoms 3"], model: gemmi.Model, source: str) -> None:
    """Raise at the first atom whose coordinates are not numbers."""
    if math.isfinite(float(pos.sum())):
        return
    wrong = np.flatnonzero(~np.isfinite(pos).all(axis=1))
    for number, site in enumerate(model.all()):
        if number == wrong[0]:
            at = f"chain {site.chain.name}, residue {site.residue.name} {site.residue.seqid}"
            raise ValueError(
                f"{source}: {len(wrong)} atoms have coordinates that are not finite, the first is "
                f"{site.atom.name} in {at}. Remove these atoms from the file, or complete it."
            )
