"""Reads the formulas that PySR writes while it searches: ``hall_of_fame.csv`` and its ``.bak``.

PySR writes the first, then the second, so one of them is whole whenever it is ended. The equations are
text, read by `sciml.distill.parser.parse`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import sympy

from sciml.distill.parser import Function, parse

# PySR's names for functions that formulas have no name for; the comparisons are steps
_FUNCTIONS: dict[str, Function] = {
    "plus": (lambda x, y: x + y, 2, 2),
    "sub": (lambda x, y: x - y, 2, 2),
    "mult": (lambda x, y: x * y, 2, 2),
    "div": (lambda x, y: x / y, 2, 2),
    "pow_abs": (lambda x, y: sympy.Abs(x) ** y, 2, 2),
    "sqrt_abs": (lambda x: sympy.sqrt(sympy.Abs(x)), 1, 1),
    "log_abs": (lambda x: sympy.log(sympy.Abs(x)), 1, 1),
    "greater": (lambda x, y: sympy.Heaviside(x - y, 0), 2, 2),
    "less": (lambda x, y: sympy.Heaviside(y - x, 0), 2, 2),
    "greater_equal": (lambda x, y: sympy.Heaviside(x - y, 1), 2, 2),
    "less_equal": (lambda x, y: sympy.Heaviside(y - x, 1), 2, 2),
    "cond": (lambda x, y: sympy.Heaviside(x, 0) * y, 2, 2),
    "fma": (lambda x, y, z: x * y + z, 3, 3),
    "muladd": (lambda x, y, z: x * y + z, 3, 3),
}


def read_front(
    path: Path,
    names: Mapping[str, str],
    mappings: Mapping[str, Callable] | None = None,
    template: Mapping[str, Any] | None = None,
) -> tuple[list[sympy.Expr], list[str]]:
    """Read the formulas of a hall of fame.

    Args:
        path: of ``hall_of_fame.csv``; its ``.bak`` is read too.
        names: the user's name for each of PySR's variables, in the order of the columns.
        mappings: SymPy functions for operators of the user's own, as PySR's ``extra_sympy_mappings``.
        template: the template that the equations fill, as PySR's ``TemplateExpressionSpec`` takes it.

    Returns:
        The formulas in the user's names, and why others could not be read.
    """
    functions = {**_FUNCTIONS, **{name: (f, 0, 99) for name, f in (mappings or {}).items()}}
    symbols = {sympy.Symbol(theirs): sympy.Symbol(ours) for theirs, ours in names.items()}
    formulas: dict[sympy.Expr, None] = {}
    troubles: dict[str, str] = {}
    for text in _equations(path):
        try:
            if template is None:
                expression = parse(text, names, functions)
            else:
                expression = _fill(template, text, list(names), functions)
            formulas.setdefault(expression.xreplace(symbols))
        except (ValueError, TypeError) as error:
            troubles[text] = str(error)
    return list(formulas), list(troubles.values())


def _equations(path: Path) -> list[str]:
    """Return the texts of both files, each once; a row cut short is left out."""
    texts: dict[str, None] = {}
    for file in (path, path.with_name(path.name + ".bak")):
        if not file.exists():
            continue
        whole = file.read_text(encoding="utf-8", errors="replace").rpartition("\n")[0]
        for row in csv.DictReader(whole.splitlines()):
            text = row.get("Equation")
            if text:
                # Julia writes numbers of single precision as 1.0f-5
                texts.setdefault(re.sub(r"\b(\d+\.\d+)f([+-]?\d+)\b", r"\1e\2", text))
    return list(texts)


def _fill(
    template: Mapping[str, Any], text: str, names: list[str], functions: dict[str, Function]
) -> sympy.Expr:
    """Put the parts of an equation such as "f = #1 * 2.0; p = [1.0]" into the template's ``combine``."""
    parts = dict(part.split(" = ", 1) for part in text.split("; "))
    combine = template["combine"]
    values: dict[sympy.Expr, sympy.Expr] = {}
    for name in template.get("parameters") or {}:
        numbers = parts[name].strip("[] ").split(", ")
        values |= {sympy.Symbol(f"{name}_{k}_"): parse(n, ()) for k, n in enumerate(numbers, start=1)}
        combine = re.sub(rf"\b{name}\[(\d+)\]", rf"{name}_\1_", combine)
    variables = template["variable_names"]
    values |= {sympy.Symbol(a): sympy.Symbol(b) for a, b in zip(variables, names, strict=True)}
    inner = {name: (_function(parts[name], functions), 0, 99) for name in template["expressions"]}
    return parse(combine, map(str, values), {**functions, **inner}).xreplace(values)


def _function(text: str, functions: dict[str, Function]) -> Callable[..., sympy.Expr]:
    """Make a function of the text of a template's part, whose arguments are #1, #2, ..."""
    count = max((int(number) for number in re.findall(r"#(\d+)", text)), default=0)
    arguments = [f"argument_{k}" for k in range(1, count + 1)]
    body = parse(re.sub(r"#(\d+)", r"argument_\1", text), arguments, functions)

    def apply(*values: sympy.Expr) -> sympy.Expr:
        if len(values) < count:
            raise ValueError(f"{text} takes {count} arguments, found {len(values)}")
        return body.xreplace(dict(zip(map(sympy.Symbol, arguments), values, strict=False)))

    return apply
