"""Laws as JSON files: written in one step, read without executing anything.

The format is one object: ``format`` (the version), the fields of `sciml.distill.law.Law`, the expression
as text for `sciml.distill.parser.parse`, and the units that exist by declaration only. Version 1 has one
scalar expression; version 2 has ``terms`` instead, each an expression with its vector. A law of one scalar
is written as version 1, so that older installations read it.
"""

from __future__ import annotations

import difflib
import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciml.distill.parser import parse, to_text
from sciml.distill.terms import Term, total

if TYPE_CHECKING:
    from sciml.distill.law import Law

FORMAT = 2  # newest
LARGEST = 50_000_000  # bytes

_TEXT, _OBJECT, _LIST = "text", "an object", "a list"
_FIELDS = {
    "format": "a whole number",
    "target": _TEXT,
    "target_unit": _TEXT,
    "expression": _TEXT,
    "variables": _OBJECT,
    "constants": _OBJECT,
    "exponents": _OBJECT,
    "verdict": _TEXT,
    "reason": _TEXT,
    "provenance": _OBJECT,
    "declared_units": _LIST,
    "terms": _LIST,
    "inertia": _TEXT,
    "kind": _TEXT,
}
_TYPES: dict[str, type] = {_TEXT: str, _OBJECT: dict, _LIST: list, "a whole number": int}


def to_data(law: Law) -> dict[str, Any]:
    """Return a law as plain JSON data."""
    form = (
        {"format": 2, "terms": [_term(term) for term in law.terms]}
        if law.terms
        else {"format": 1, "expression": to_text(law.expression)}
    )
    more = {name: getattr(law, name) for name in ("inertia", "kind") if getattr(law, name)}
    return {
        **form,
        **more,
        "target": law.target,
        "target_unit": law.target_unit,
        "variables": law.variables,
        "constants": {name: _plain(constant._asdict()) for name, constant in law.constants.items()},
        "exponents": {name: _plain(exponent._asdict()) for name, exponent in law.exponents.items()},
        "verdict": law.verdict,
        "reason": law.reason,
        "provenance": law.provenance,
        "declared_units": _declared(law),
    }


def write(law: Law, path: Path) -> None:
    """Write a law beside its destination, then move it there: no reader sees half a file."""
    try:
        text = json.dumps(to_data(law), indent=2, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"cannot write {path}: the provenance must be plain JSON data ({error})") from error
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        unfinished.write_text(text + "\n", encoding="utf-8")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def read(path: Path) -> Law:
    """Read a law from a file; see `Law.load`."""
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path}: {path.stat().st_size} bytes; a law has at most {LARGEST}")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a law: {error} (a file cut short?)") from None
    try:
        return from_data(data)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def from_data(data: Any) -> Law:
    """Build a law from plain data, checking every field.

    Raises:
        ValueError: naming the field.
    """
    from sciml.distill.law import Constant, Exponent, Law

    _check_fields(data)
    _declare(data.get("declared_units", []))
    constants = {
        name: Constant(
            _number(entry, f"constants.{name}.value"),
            _number(entry, f"constants.{name}.standard_error", optional=True),
            _unit(entry.get("unit", ""), f"constants.{name}.unit"),
        )
        for name, entry in _entries(data, "constants")
    }
    exponents = {
        name: Exponent(
            _number(entry, f"exponents.{name}.value"),
            _number(entry, f"exponents.{name}.standard_error", optional=True),
            _number(entry, f"exponents.{name}.snapped"),
        )
        for name, entry in _entries(data, "exponents")
    }
    variables = {name: _unit(unit, f"variables.{name}") for name, unit in data["variables"].items()}
    names = [*variables, *constants]
    terms = tuple(_read_term(entry, names, f"terms.{k}") for k, entry in enumerate(data.get("terms", ())))
    return Law(
        expression=total(terms) if terms else _formula(data["expression"], names, "expression"),
        terms=terms,
        inertia=data.get("inertia", ""),
        kind=data.get("kind", ""),
        target=data["target"],
        variables=variables,
        target_unit=_unit(data["target_unit"], "target_unit"),
        constants=constants,
        verdict=data["verdict"],
        reason=data.get("reason", ""),
        exponents=exponents,
        provenance=data.get("provenance", {}),
    )


def _check_fields(data: Any) -> None:
    if not isinstance(data, dict):
        raise ValueError(f"a law is an object, found {type(data).__name__}")  # noqa: TRY004 (a bad file)
    version = data.get("format")
    if version not in range(1, FORMAT + 1):
        newer = isinstance(version, int) and version > FORMAT
        raise ValueError(
            f"field format is {version!r}, this version reads 1 to {FORMAT}" + "; update sciml" * newer
        )
    for name in data:
        if name not in _FIELDS:
            near = difflib.get_close_matches(name, _FIELDS, n=1)
            raise ValueError(f"unknown field {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    formula = "terms" if version == FORMAT else "expression"
    for name in ("target", "target_unit", formula, "variables", "verdict"):
        if name not in data:
            raise ValueError(f"field {name} is missing")
    for name, value in data.items():
        if not isinstance(value, _TYPES[_FIELDS[name]]) or isinstance(value, bool):
            raise ValueError(f"field {name} must be {_FIELDS[name]}, found {value!r:.60}")  # noqa: TRY004


def _formula(text: Any, names: list[str], where: str) -> Any:
    try:
        return parse(text, names)
    except ValueError as error:
        raise ValueError(f"field {where}: {error}") from None


def _term(term: Term) -> dict[str, Any]:
    kinds = {"kinds": [list(kind) for kind in term.kinds]} if term.kinds else {}
    return {"expression": to_text(term.expression), "vector": term.vector, **kinds}


def _read_term(entry: Any, names: list[str], where: str) -> Term:
    if not isinstance(entry, dict) or not {"expression", "vector"} <= set(entry) <= {
        "expression",
        "vector",
        "kinds",
    }:
        raise ValueError(
            f"field {where} must be an object of expression, vector and perhaps kinds, found {entry!r:.80}"
        )
    kinds = entry.get("kinds", [])
    if not isinstance(kinds, list) or not all(isinstance(k, list) for k in kinds):
        raise ValueError(f"field {where}.kinds must be a list of lists, found {kinds!r:.60}")
    try:
        formula = _formula(entry["expression"], names, f"{where}.expression")
        return Term(formula, entry["vector"], tuple(kinds))
    except (ValueError, TypeError) as error:
        text = str(error)
        raise ValueError(text if text.startswith("field") else f"field {where}: {text}") from None


def _entries(data: dict, name: str) -> list[tuple[str, dict]]:
    for key, entry in data.get(name, {}).items():
        if not isinstance(entry, dict):
            raise ValueError(f"field {name}.{key} must be an object, found {entry!r:.60}")  # noqa: TRY004
    return list(data.get(name, {}).items())


def _number(entry: dict, where: str, optional: bool = False) -> Any:
    value = entry.get(where.rsplit(".", 1)[1])
    if optional and (value is None or value == "inf"):
        return None if value is None else math.inf
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e300:
        raise ValueError(f"field {where} must be a finite number, found {value!r:.60}")
    return float(value)


def _unit(unit: Any, where: str) -> str:
    from sciml import units

    try:
        if unit != "":
            units.dimensions(unit)
    except units.UnitError as error:
        raise ValueError(f"field {where}: {error}") from None
    return unit


def _declare(names: list) -> None:
    from sciml import units

    try:
        units.declare(*names)
    except units.UnitError as error:
        raise ValueError(f"field declared_units: {error}") from None


def _declared(law: Law) -> list[str]:
    from sciml import units

    return list(units.declared(*(unit for unit in law.units.values() if unit)))


def _plain(entry: dict[str, Any]) -> dict[str, Any]:
    """JSON has no infinity: an error that is infinite is written as text."""
    return {key: "inf" if value == math.inf else value for key, value in entry.items()}
