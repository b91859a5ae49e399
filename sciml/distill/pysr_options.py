"""What PySR is asked: its parameters checked by name, the data's names and units in its terms."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import sympy

from sciml.distill.front import Problem

# of PySRRegressor in PySR 2.7: importing it to ask would start Julia
PARAMETERS = tuple(
    """
    model_selection binary_operators unary_operators operators expression_spec type_spec niterations
    populations population_size max_evals maxsize maxdepth warmup_maxsize_by constraints
    nested_constraints elementwise_loss loss_function loss_function_expression loss_scale
    complexity_of_operators complexity_of_constants complexity_of_variables complexity_mapping parsimony
    dimensional_constraint_penalty dimensionless_constants_only use_frequency
    use_frequency_in_tournament adaptive_parsimony_scaling alpha annealing early_stop_condition
    ncycles_per_iteration fraction_replaced fraction_replaced_hof fraction_replaced_guesses
    weight_add_node weight_insert_node weight_delete_node weight_do_nothing weight_mutate_constant
    weight_mutate_operator weight_mutate_feature weight_swap_operands weight_rotate_tree
    weight_randomize weight_simplify weight_optimize weight_backsolve mutations default_mutations
    crossover_probability skip_mutation_failures migration hof_migration topn should_simplify
    should_optimize_constants optimizer_algorithm optimizer_nrestarts optimizer_f_calls_limit
    optimize_probability optimizer_iterations perturbation_factor probability_negate_constant
    tournament_selection_n tournament_selection_p parallelism procs cluster_manager
    heap_size_hint_in_bytes worker_timeout worker_imports batching batch_size fast_cycle turbo bumper
    precision autodiff_backend deterministic guesses verbosity update_verbosity print_precision progress
    logger_spec plugins default_plugins input_stream use_tracing tracing_file run_id output_directory
    update extra_sympy_mappings denoise select_k_features
    """.split()  # noqa: SIM905 (a table reads better than 110 quoted words)
)
FIT_PARAMETERS = ("X_units", "y_units")

_RENAMED = {
    "loss": "elementwise_loss",
    "full_objective": "loss_function",
    "npop": "population_size",
    "npopulations": "populations",
    "ncyclesperiteration": "ncycles_per_iteration",
    "multithreading": "parallelism",
}
_SET_BY = {
    "random_state": "seed",
    "timeout_in_seconds": "seconds",
    "weights": "weights",
    "variable_names": "names",
    "temp_equation_file": "output_directory",
    "tempdir": "output_directory",
    "delete_tempfiles": "output_directory",
    "warm_start": "guesses, which start from known formulas,",
}
_TEMPLATE = {"combine": str, "expressions": Sequence, "variable_names": Sequence, "parameters": Mapping}

# names that PySR reads as functions, beside all of SymPy's
_RESERVED = frozenset(
    """
    div inv mult plus sub neg square cube cond greater less mod fma round ceil clamp relu muladd
    pow_abs sqrt_abs log_abs logical_or logical_and
    """.split()  # noqa: SIM905
)


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse unknown options before Julia is started.

    Raises:
        ValueError: with the nearest known name.
    """
    known = (*PARAMETERS, *FIT_PARAMETERS, "startup", "grace")
    for name in options:
        if name in _SET_BY:
            raise ValueError(f"option {name!r} of pysr is set by {_SET_BY[name]} of the search")
        if name not in known:
            near = [_RENAMED[name]] if name in _RENAMED else difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "see PySRRegressor's documentation"
            raise ValueError(f"unknown option {name!r} of pysr; {hint}")
    _check_template(options.get("expression_spec"))


def _check_template(template: Any) -> None:
    if template is None:
        return
    if not isinstance(template, Mapping):
        raise ValueError(  # noqa: TRY004 (a wrong option)
            "expression_spec is a dictionary with combine, expressions, variable_names and, if there are "
            f"any, parameters; found {type(template).__name__}"
        )
    for name, value in template.items():
        if not isinstance(value, _TEMPLATE.get(name, ())):
            raise ValueError(f"expression_spec: {name!r} is unknown or cannot be {value!r:.60}")  # noqa: TRY004
    missing = {"combine", "expressions", "variable_names"} - set(template)
    if missing:
        raise ValueError(f"expression_spec: {', '.join(sorted(missing))} missing")


def settings(problem: Problem, names: Sequence[str], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the worker passes to ``PySRRegressor`` ("options") and to its ``fit`` ("fit")."""
    passed = dict(options)
    fit = {name: passed.pop(name) for name in FIT_PARAMETERS if name in passed}
    known = problem.units is not None and problem.target_unit is not None
    if known and not fit and "expression_spec" not in passed:  # PySR's templates know no units
        fit = units(problem)
    fit["variable_names"] = list(names)
    if "extra_sympy_mappings" in passed:
        passed["extra_sympy_mappings"] = list(passed["extra_sympy_mappings"])
    return {"options": passed, "fit": fit}


def units(problem: Problem) -> dict[str, Any]:
    """Return the dimensions of the variables and the target in SI units, as Julia writes them.

    Of units of the user's own, one stands as cd; with more, none are passed.
    """
    from sciml.units import dimensions

    symbols = {
        "length": "m",
        "mass": "kg",
        "time": "s",
        "current": "A",
        "temperature": "K",
        "luminosity": "cd",
    }
    every = [dimensions(unit or "") for unit in (*(problem.units or ()), problem.target_unit)]
    own = sorted({axis for exponents in every for axis in exponents} - set(symbols))
    if len(own) > 1:
        return {}
    symbols |= dict.fromkeys(own, "cd")
    powers = ([f"{symbols[axis]}^({e.numerator}//{e.denominator})" for axis, e in x.items()] for x in every)
    texts = ["*".join(sorted(factors)) for factors in powers]
    return {"X_units": texts[:-1], "y_units": texts[-1]}


def safe_names(names: Sequence[str]) -> dict[str, str]:
    """Return the user's name for each variable name that PySR accepts, in order."""
    theirs: dict[str, str] = {}
    for k, name in enumerate(names):
        safe = name if re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) else f"x{k}"
        while hasattr(sympy, safe) or safe in _RESERVED or safe in theirs or (safe != name and safe in names):
            safe += "_"
        theirs[safe] = name
    return theirs


def to_json(data: dict[str, Any]) -> str:
    """Write settings as JSON.

    Raises:
        ValueError: naming the option that is not plain data.
    """

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray | np.generic):
            return value.tolist()
        raise TypeError

    for name, value in {**data["options"], **data["fit"]}.items():
        try:
            json.dumps(value, default=plain)
        except (TypeError, ValueError):
            raise ValueError(
                f"option {name!r} of pysr goes to another process: it must be numbers, text, lists and "
                f"dictionaries, found {value!r:.80}"
            ) from None
    return json.dumps(data, default=plain)
