"""A law that is known already: what it explains, and how that changes with its constants."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from sciml.distill.forces import Forces
from sciml.distill.law import Law
from sciml.distill.refit import Estimate

if TYPE_CHECKING:
    from sciml.datasets.trajectories import Trajectories
    from sciml.distill.pipeline import Distillation

STEP = 1e-4  # relative change of a constant in a central difference


@dataclass(frozen=True, eq=False)
class Known:
    """A law with the properties of its particles.

    Attributes:
        law: a force over an inertia, or an acceleration (see `Law.inertia`).
        names: of the particles.
        hidden: properties that were fitted, and move along where the law is fitted again; [particles].
        given: properties that were measured, and labels; [particles].
        held: particle whose hidden properties stay: motion fixes them up to a factor.
        errors: standard errors of constants, and of hidden properties as mass[earth], where known.
        settled: constants that stay: they were fitted where they show best.
    """

    law: Law
    names: tuple[str, ...]
    hidden: Mapping[str, np.ndarray] = field(default_factory=dict)
    given: Mapping[str, np.ndarray] = field(default_factory=dict)
    held: str = ""
    errors: Mapping[str, float] = field(default_factory=dict)
    settled: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        hidden = {name: np.asarray(value, dtype=np.float64) for name, value in self.hidden.items()}
        given = {name: np.asarray(value) for name, value in self.given.items()}
        for name, value in (hidden | given).items():
            if value.shape != (len(self.names),):
                raise ValueError(
                    f"{name} has shape {value.shape}; expected one for each of {len(self.names)} particles"
                )
        object.__setattr__(self, "hidden", hidden)
        object.__setattr__(self, "given", given)

    @classmethod
    def of(cls, found: Distillation, given: Mapping[str, Any] | None = None) -> Known:
        """Take the law of a distillation with its hidden properties, and given ones [particles]."""
        law = found.law
        if not law.inertia and found.choice.best.model.update == "force_over_mass":
            law = replace(law, inertia="mass")
        hidden = {name: np.array([e.value for e in per.values()]) for name, per in found.hidden.items()}
        errors = {name: e for name, c in law.constants.items() if (e := c.standard_error) is not None}
        errors |= {
            _label(name, particle): e.standard_error
            for name, per in found.hidden.items()
            for particle, e in per.items()
        }
        return cls(law, found.particles, hidden, dict(given or {}), found.reference, errors)

    @classmethod
    def load(cls, run_dir: str | Path, data: Trajectories) -> Known:
        """Take the law of a run directory (law.json, report.json), and what the data give.

        Raises:
            ValueError: the run has no law.
        """
        from sciml.training.run import load_config

        run_dir = Path(run_dir)
        report = json.loads((run_dir / "report.json").read_text(encoding="utf-8"))
        if report.get("law") is None:
            raise ValueError(f"{run_dir} has no law to subtract: {report.get('reason', '')}")
        law = Law.load(run_dir / "law.json")
        update = load_config(run_dir).get("model", {}).get("update", "force_over_mass")
        forces = update == "force_over_mass" and law.target != "a"  # of a network
        if forces and not law.inertia and not law.terms:
            law = replace(law, inertia="mass")
        hidden = report.get("hidden", {})
        errors = {name: e for name, c in law.constants.items() if (e := c.standard_error) is not None}
        errors |= {
            _label(name, particle): entry["standard_error"]
            for name, per in hidden.items()
            for particle, entry in per.items()
            if entry["standard_error"] is not None
        }
        return cls(
            law,
            data.names,
            {name: np.array([per[p]["value"] for p in data.names]) for name, per in hidden.items()},
            {name: values[0] for name, values in data.properties.items()},
            report.get("reference_particle") or "",
            errors,
        )

    @property
    def properties(self) -> dict[str, np.ndarray]:
        """All properties by name."""
        return {**self.given, **self.hidden}

    def acceleration(
        self, x: Float[np.ndarray, "*batch particles dim"], v: Float[np.ndarray, "*batch particles dim"]
    ) -> Float[np.ndarray, "*batch particles dim"]:
        """Return the accelerations by the law."""
        return Forces(self.law, self.properties)(x, v)

    def pull(
        self, x: Float[np.ndarray, "*batch particles dim"], v: np.ndarray, receiver: int, sender: int
    ) -> Float[np.ndarray, "*batch"]:
        """Return the acceleration of a particle towards another that this one causes."""
        law = self.law
        if law.terms:
            law = Law.of_terms([t for t in law.terms if t.place == "pair"], law.target, law.variables,
                               constants=law.constants, inertia=law.inertia, kind=law.kind)  # fmt: skip
        two = [receiver, sender]
        forces = Forces(law, {name: value[two] for name, value in self.properties.items()})
        d = x[..., receiver, :] - x[..., sender, :]
        own = forces(x[..., two, :], v[..., two, :])[..., 0, :]
        return -(own * d).sum(-1) / np.linalg.norm(d, axis=-1)

    def parameters(self, touched: Iterable[int] | None = None) -> tuple[str, ...]:
        """Return the names of what may move: constants, and hidden properties of some particles or of all."""
        particles = range(len(self.names)) if touched is None else touched
        own = [
            _label(name, self.names[i])
            for name in self.hidden
            for i in particles
            if self.names[i] != self.held
        ]
        return (*(name for name in self.law.constants if name not in self.settled), *own)

    def columns(
        self, x: Float[np.ndarray, "*batch particles dim"], v: np.ndarray, parameters: Sequence[str]
    ) -> Float[np.ndarray, "*batch particles dim parameters"]:
        """Return the derivatives of the accelerations by some parameters, by central differences."""
        slopes = []
        for name in parameters:
            step = STEP * (abs(self.value(name)) or 1.0)
            up, down = (self.changed({name: sign * step}).acceleration(x, v) for sign in (1, -1))
            slopes.append((up - down) / (2 * step))
        return np.stack(slopes, axis=-1) if slopes else np.zeros((*x.shape, 0))

    def value(self, parameter: str) -> float:
        """Return a constant, or a hidden property, as mass[earth]."""
        if parameter in self.law.constants:
            return self.law.constants[parameter].value
        return next(
            float(values[i])
            for name, values in self.hidden.items()
            for i, particle in enumerate(self.names)
            if _label(name, particle) == parameter
        )

    def changed(self, changes: Mapping[str, float | Estimate]) -> Known:
        """Add to constants and hidden properties; estimates also give them standard errors."""
        constants, errors = dict(self.law.constants), dict(self.errors)
        hidden = {name: values.copy() for name, values in self.hidden.items()}
        places = {_label(name, p): (name, i) for name in hidden for i, p in enumerate(self.names)}
        for parameter, change in changes.items():
            size, error = (
                (change.value, change.standard_error) if isinstance(change, Estimate) else (change, None)
            )
            if error is not None:
                errors[parameter] = error
            if parameter in constants:
                old = constants[parameter]
                constants[parameter] = old._replace(
                    value=old.value + size, standard_error=old.standard_error if error is None else error
                )
            else:
                name, i = places[parameter]
                hidden[name][i] += size
        law = replace(self.law, constants=constants)
        return replace(self, law=law, hidden=hidden, errors=errors)


def _label(name: str, particle: str) -> str:
    return f"{name}[{particle}]"
