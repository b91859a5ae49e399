"""A fast path for mmCIF as the PDB archive writes it: atoms in rows of equal length.

gemmi's reading (`atoms.from_gemmi`) is the definition. Where the rows of ``atom_site`` are aligned, columns
are cut out of the text as arrays, and gemmi reads only the few other categories that are needed; a test
holds the two to each other. What is not quite as expected is left to gemmi, which also finds the errors.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from sciml.builders.residue.chemistry import unpack

Block = UInt8[np.ndarray, "columns rows"]
Spans = Mapping[str, tuple[int, int]]

_HEADER = re.compile(rb"\nloop_\s*\n((?:_atom_site\.[\w\[\]]+[ \t]*\r?\n)+)")
_SECTION = re.compile(rb"\n#[ \t]*(?=\r?\n)")  # categories are set apart by lines of this
_NEEDED = re.compile(  # and so begin what is cut out for gemmi to read
    rb"\s*(?:loop_\s*)?_(?:entity|entity_poly_seq|struct_asym|struct|pdbx_struct_mod_residue|ma_qa_metric)\."
)
_TEXTS = {
    **{"name": "label_atom_id", "residue_name": "label_comp_id", "subchain": "label_asym_id"},
    **{"chain": "auth_asym_id", "altloc": "label_alt_id", "insertion": "pdbx_PDB_ins_code"},
    **{"element": "type_symbol", "entity": "label_entity_id", "het": "group_PDB"},
}
_NUMBERS = {
    **{"x": "Cartn_x", "y": "Cartn_y", "z": "Cartn_z", "occupancy": "occupancy"},
    **{"b_factor": "B_iso_or_equiv", "number": "auth_seq_id", "model": "pdbx_PDB_model_num"},
}
_SAME = (("auth_comp_id", "label_comp_id"), ("auth_atom_id", "label_atom_id"))
_NULL = {"altloc": 0, "insertion": ord(" ")}
DEUTERIUM = 119  # gemmi's number of it
_ENTITIES = {"polymer": 1, "non-polymer": 2, "branched": 3, "water": 4}  # gemmi.EntityType


def read_aligned(text: bytes) -> dict[str, Any] | None:
    """Return the columns and facts of `atoms.Table`; None where the file is not of this kind."""
    header = _HEADER.search(text)
    if header is None:
        return None
    end = text.find(b"\n#", header.end()) + 1
    found = _block(text, header.end(), end)
    if found is None:
        return None
    block, spans = found
    names = [line.split(b".")[1].strip().decode() for line in header[1].splitlines()]
    if len(spans) != len(names) or {*_TEXTS.values(), *_NUMBERS.values()} - {*names}:
        return None
    where = dict(zip(names, spans))
    for one, other in _SAME:
        if one in where and not _equal(block, where[one], where[other]):
            return None
    texts = {name: _text(block, *where[tag]) for name, tag in _TEXTS.items()}
    numbers = {name: _number(block, *where[tag]) for name, tag in _NUMBERS.items()}
    known = {name: values for name, values in (texts | numbers).items() if values is not None}
    if len(known) < len(texts) + len(numbers):
        return None
    return _facts(text[: header.start() + 1] + text[end:], known)


# -------------------------------------------------------------------- details


def _block(text: bytes, start: int, end: int) -> tuple[Block, list[tuple[int, int]]] | None:
    """Return the characters of the rows, transposed, and where each field begins and ends."""
    length = text.find(b"\n", start) + 1 - start
    if end <= start or length <= 1 or (end - start) % length:
        return None
    rows = np.frombuffer(text, np.uint8, end - start, start).reshape(-1, length)
    block = np.ascontiguousarray(rows.T)
    if (block[-1] != ord("\n")).any() or not np.isin(block[0], (ord("A"), ord("H"))).all():
        return None
    blank = np.concatenate([[True], (block.max(axis=1) <= ord(" ")), [True]])
    edges = np.flatnonzero(np.diff(blank))
    return block, list(zip(edges[::2].tolist(), edges[1::2].tolist()))


def _equal(block: Block, one: tuple[int, int], other: tuple[int, int]) -> bool:
    a, b = block[slice(*one)], block[slice(*other)]
    width = min(len(a), len(b))
    rest = np.concatenate([a[width:], b[width:]])
    return np.array_equal(a[:width], b[:width]) and not (rest != ord(" ")).any()


def _text(block: Block, start: int, stop: int) -> Int[np.ndarray, "rows"] | None:
    """Pack the words of a field into integers, as `chemistry.pack` does; None for longer ones or spaces."""
    field = block[start:stop]
    quoted = np.isin(field[0], (ord("'"), ord('"')))
    if quoted.any():
        field = field.copy()
        columns = np.flatnonzero(quoted)
        inner = field[:, columns]
        last = len(inner) - 1 - np.argmax(inner[::-1] != ord(" "), axis=0)
        if (inner[last, np.arange(len(columns))] != inner[0]).any():
            return None
        inner[last, np.arange(len(columns))] = ord(" ")
        field[:, columns] = np.concatenate([inner[1:], np.full((1, len(columns)), ord(" "), np.uint8)])
    blank = field == ord(" ")
    if blank[0].any() or (blank[:-1] & ~blank[1:]).any() or not blank[8:].all():
        return None
    bytes_ = np.zeros((field.shape[1], 8), dtype=np.uint8)
    width = min(len(field), 8)
    bytes_[:, :width] = np.where(blank[:width], 0, field[:width]).T
    return bytes_.view("<i8")[:, 0]


def _number(block: Block, start: int, stop: int) -> Float[np.ndarray, "rows"] | None:
    """Read decimal numbers, correctly rounded; None where there is anything else, as an exponent or "?"."""
    field = block[start:stop]
    rows = field.shape[1]
    digits, decimals = np.zeros(rows, dtype=np.int64), np.zeros(rows, dtype=np.int64)
    point, minus = np.zeros(rows, dtype=bool), np.zeros(rows, dtype=bool)
    for column in field:
        value = column - np.uint8(ord("0"))  # of what is no digit, 10 or more
        digit = value < 10
        digits = np.where(digit, digits * 10 + value, digits)
        decimals += digit & point
        point |= column == ord(".")
        minus |= column == ord("-")
    known = (field - np.uint8(ord("0")) < 10) | np.isin(field, np.frombuffer(b" .-", np.uint8))
    if not known.all() or len(field) > 17 or not ((field - np.uint8(ord("0"))) < 10).any(axis=0).all():
        return None
    result = digits / 10.0**decimals
    return np.where(minus, -result, result)


def _facts(rest: bytes, fields: dict[str, np.ndarray]) -> dict[str, Any] | None:
    """Let gemmi read the rest of the file, and put all together."""
    import gemmi

    sections = [part for part in _SECTION.split(rest) if _NEEDED.match(part)]
    try:
        document = gemmi.cif.read_string(b"data_\n" + b"\n".join(sections))
    except (ValueError, RuntimeError):
        return None
    if len(document) != 1:
        return None
    cif = document[0]
    types = {row[0]: row[1] for row in cif.find("_entity.", ["id", "type"])}
    entity = _mapped(fields["entity"], lambda code: _ENTITIES.get(types.get(unpack(code), "")))
    element = _mapped(fields["element"], lambda code: _element(unpack(code)))
    if entity is None or element is None:
        return None
    first = lambda code, null: np.where(np.isin(code, (ord("?"), ord("."))), null, code & 0xFF)
    letters = {name: first(fields[name], null).astype(np.uint8) for name, null in _NULL.items()}
    columns = {
        "pos": np.stack([fields["x"], fields["y"], fields["z"]], axis=1),
        "name": fields["name"],
        "element": element,
        "altloc": letters["altloc"],
        "occupancy": fields["occupancy"].astype(np.float32),
        "b_factor": fields["b_factor"].astype(np.float32),
        "residue_name": fields["residue_name"],
        "number": fields["number"].astype(np.int64),
        "insertion": letters["insertion"],
        "chain": fields["chain"],
        "subchain": fields["subchain"],
        "entity": entity,
        "het": (fields["het"] & 0xFF).astype(np.uint8),
    }
    model = fields["model"].astype(np.int64)
    order = _gathered(model, columns)
    parents = cif.find("_pdbx_struct_mod_residue.", ["label_comp_id", "parent_comp_id"])
    return {
        "columns": {name: values[order] for name, values in columns.items()},
        "model": model[order],
        "title": gemmi.cif.as_string(cif.find_value("_struct.title") or "") or "",
        "predicted": any(name.startswith("_ma_qa_metric") for name in cif.get_mmcif_category_names()),
        "parents": {row.str(0): row.str(1) for row in parents if row.str(1)},
        "expected": _expected(cif, types),
    }


def _element(symbol: str) -> int:
    import gemmi

    return DEUTERIUM if symbol == "D" else gemmi.Element(symbol).atomic_number


def _mapped(codes: Int[np.ndarray, "rows"], function: Any) -> Int[np.ndarray, "rows"] | None:
    if codes.max() < 1 << 16:  # names of two characters: counted, not sorted
        there = np.flatnonzero(np.bincount(codes))
        which = np.searchsorted(there, codes)
    else:
        there, which = np.unique(codes, return_inverse=True)
    values = [function(code) for code in there]
    return None if any(value is None for value in values) else np.array(values)[which]


def _gathered(model: np.ndarray, columns: dict[str, np.ndarray]) -> Int[np.ndarray, "rows"]:
    """Order in which gemmi keeps atoms: by chain and residue, each where it first appears."""
    keys = [model, columns["chain"], columns["number"], columns["insertion"], columns["residue_name"]]
    keys.append(columns["subchain"])
    new = np.any([np.diff(key, prepend=key[:1] - key.dtype.type(1)) != 0 for key in keys], axis=0)
    starts = np.flatnonzero(new)
    run = np.cumsum(new) - 1
    ranks: list[np.ndarray] = []
    group = np.zeros(len(starts), dtype=np.int64)
    for number, key in enumerate(keys):  # models, chains in them, then residues in these
        group = group * len(starts) + np.unique(key[starts], return_inverse=True)[1]
        _, first, group = np.unique(group, return_index=True, return_inverse=True)
        if number in (0, 1, len(keys) - 1):
            ranks.append(first[group])
    return np.lexsort([rank[run] for rank in reversed(ranks)])  # stable: the file's order within residues


def _expected(cif: Any, types: dict[str, str]) -> int | None:
    columns = (cif.find_values(f"_entity_poly_seq.{tag}") for tag in ("entity_id", "num"))
    length = Counter(entity for entity, _ in {*zip(*columns)})  # one residue for all alternates at a place
    if not length:
        return None
    chains = [row[1] for row in cif.find("_struct_asym.", ["id", "entity_id"])]
    return sum(length[entity] for entity in chains if types.get(entity) == "polymer")
