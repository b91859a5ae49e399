"""Forces on each particle by itself: external fields, drag, a magnetic field. Any pair law may have them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

Parameters = Mapping[str, float]

NODE_TERMS: dict[str, float] = {
    "uniform": 0.0,  # g: acceleration along minus the last axis
    "trap": 0.0,  # ω: acceleration -ω² x towards the origin
    "drag": 0.0,  # γ: force -γ |v|^(n-1) v
    "drag_power": 1.0,  # n of the drag
    "magnetic": 0.0,  # B: force q v × B, the field along z (in 2D out of the plane)
}
"""Names of the parameters of node terms, and the values that leave the terms out."""


class NodeTerms:
    """The node terms of simulations side by side, from parameters named as in `NODE_TERMS`."""

    def __init__(self, parameters: Parameters, mass: np.ndarray, charge: np.ndarray):
        p = NODE_TERMS | {name: parameters[name] for name in NODE_TERMS if name in parameters}
        self.uniform, self.trap, self.power = p["uniform"], p["trap"], p["drag_power"]
        self.mass = mass
        self.drag = p["drag"] / mass[..., None]  # γ / m
        self.turns = (p["magnetic"] * charge / mass)[..., None]  # cyclotron frequency q B / m
        self.fields = bool(self.uniform or self.trap)
        self.drags, self.rotates = bool(p["drag"]), bool(p["magnetic"])
        self.depends_on_velocity = self.drags or self.rotates

    def field(self, x: Float[np.ndarray, "simulations particles dim"]) -> np.ndarray:
        """Acceleration by the external fields."""
        a = -(self.trap**2) * x
        a[..., -1] -= self.uniform
        return a

    def potential(
        self, x: Float[np.ndarray, "simulations time particles dim"]
    ) -> Float[np.ndarray, "simulations time"]:
        """Potential energy in the external fields: m g x_last + ½ m ω² x²."""
        per_mass = self.uniform * x[..., -1] + 0.5 * self.trap**2 * (x**2).sum(axis=-1)
        return np.einsum("sn,stn->st", self.mass, per_mass)

    def of_velocity(self, v: Float[np.ndarray, "simulations particles dim"]) -> np.ndarray:
        """Acceleration by drag and magnetic field."""
        a = np.zeros_like(v)
        if self.drags:
            a -= self.drag * np.linalg.norm(v, axis=-1, keepdims=True) ** (self.power - 1) * v
        if self.rotates:
            a[..., 0] += self.turns[..., 0] * v[..., 1]
            a[..., 1] -= self.turns[..., 0] * v[..., 0]
        return a

    def turn(self, v: Float[np.ndarray, "simulations particles dim"], h: float | np.ndarray) -> np.ndarray:
        """Velocities after a time h of drag and magnetic field alone, exactly: the two commute.

        h is one number, or one for each simulation (simulations, 1, 1).
        """
        if self.drags:
            v = v * self._slowed(v, h)
        if self.rotates:
            angle = h * self.turns
            across = np.zeros_like(v)
            across[..., 0], across[..., 1] = v[..., 1], -v[..., 0]
            plane = np.arange(v.shape[-1]) < 2  # along the field nothing turns
            v = np.where(plane, np.cos(angle) * v + np.sin(angle) * across, v)
        return v

    def _slowed(self, v: np.ndarray, h: float | np.ndarray) -> Float[np.ndarray, "simulations particles 1"]:
        """Factor on the speed s after a time h of s' = -(γ/m) sⁿ."""
        if self.power == 1:
            return np.exp(-h * self.drag)
        n = self.power - 1
        rate = n * h * self.drag * np.linalg.norm(v, axis=-1, keepdims=True) ** n
        return np.maximum(1 + rate, 0.0) ** (-1 / n)
