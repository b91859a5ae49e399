"""The laws of the search benchmark: messages, others unlike them, a set kept for the end, and Feynman's."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Ranges = dict[str, tuple[float, float]]
FEYNMAN = Path(__file__).resolve().parents[1] / "data/symbolic"


@dataclass(frozen=True)
class Law:
    """A law, the ranges that it is observed on and, where not simply wider, those it is extrapolated to."""

    name: str
    formula: str
    ranges: Ranges
    beyond: Ranges
    units: dict[str, str]
    target_unit: str
    distractors: int = 2


def read_laws(text: str) -> list[Law]:
    """Read laws, one a line.

    A line is 'name; formula; variable low high[ beyond_low beyond_high], ...; variable unit, ... -> unit'.
    """
    laws = []
    for line in filter(None, map(str.strip, text.splitlines())):
        name, formula, variables, units = (part.strip() for part in line.split(";"))
        ranges, beyond = {}, {}
        for part in variables.split(","):
            symbol, *numbers = part.split()
            low, high, *wider = map(float, numbers)
            ranges[symbol] = (low, high)
            beyond[symbol] = tuple(wider) if wider else (low, high + 0.3 * (high - low))
        given, target = (part.strip() for part in units.split("->"))
        unit = dict(part.split() for part in given.split(","))
        laws.append(
            Law(name, formula, ranges, beyond, {k: _plain(u) for k, u in unit.items()}, _plain(target))
        )
    return laws


def _plain(unit: str) -> str:
    return "" if unit == "1" else unit


MESSAGES = read_laws("""
    spring; -k*(r - 1.5); k 0.5 3, r 0.3 4; k N/m, r m -> N
    inverse; 2.5*m/r; m 0.5 3, r 0.3 4; m kg, r m -> N
    inverse_square; 1.7*m/r**2; m 0.5 3, r 0.4 4; m kg, r m -> N
    gravity; 6.67*m1*m2/r**2; m1 0.5 3, m2 0.5 3, r 0.4 4; m1 kg, m2 kg, r m -> N
    charge; q1*q2/r**2; q1 -2 2, q2 -2 2, r 0.5 4; q1 C, q2 C, r m -> N
    damped_spring; -k*(r - 1) - 0.4*v; k 0.5 3, r 0.3 4, v -2 2; k N/m, r m, v m/s -> N
    morse; D*(1 - exp(-1.3*(r - 1.2)))**2; D 0.5 3, r 0.6 4; D J, r m -> J
    lennard_jones; 4*eps*((sigma/r)**12 - (sigma/r)**6); eps 0.5 2, sigma 0.8 1.2, r 0.95 2.5 1 3; eps J, sigma m, r m -> J
    yukawa; g*exp(-r/lam)/r; g 0.5 3, lam 0.5 3, r 0.3 4; g J*m, r m, lam m -> J
    discontinuous; k*(r - 1)*Heaviside(r - 2); k 0.5 3, r 0.5 4; k N/m, r m -> N
    softened; m1*m2*r/(r**2 + eps**2)**(3/2); m1 0.5 3, m2 0.5 3, r 0.2 4, eps 0.3 1.5; m1 kg, m2 kg, r m, eps m -> N
    kepler; 2*pi*sqrt(a**3/(G*(M + m))); a 0.5 4, G 0.5 2, M 0.5 3, m 0.5 3; a m, G m**3/kg/s**2, M kg, m kg -> s
    gamma; 1/sqrt(1 - v**2/c**2); v 0.1 2.4 0.1 2.6, c 2.7 4 2.8 5; v m/s, c m/s -> 1
    coulomb; q1*q2/(4*pi*epsilon*r**2); q1 0.5 3, q2 0.5 3, epsilon 0.5 3, r 0.5 4; q1 C, q2 C, epsilon F/m, r m -> N
    planck; w**3/(exp(w/T) - 1); w 0.5 6, T 0.5 3; w eV, T eV -> eV**3
    gaussian; exp(-((x - mu)/s)**2/2)/(sqrt(2*pi)*s); x 0 4, mu 1 3, s 0.5 2; x m, mu m, s m -> 1/m
    pendulum; m*l**2*w**2/2 + 9.81*m*l*(1 - cos(th)); m 0.5 2, l 0.5 2, w -3 3, th -2.5 2.5; m kg, l m, w 1/s, th 1 -> J
    gravity_x; m1*m2*(x2 - x1)/((x2 - x1)**2 + (y2 - y1)**2)**(3/2); m1 0.5 3, m2 0.5 3, x1 0 1, x2 1.5 3.5, y1 0 2, y2 0 2; m1 kg, m2 kg, x1 m, x2 m, y1 m, y2 m -> N""")  # noqa: E501

OTHER = read_laws("""
    drag; -0.6*v - 0.25*v*Abs(v); v -4 4; v m/s -> N
    buckingham; A*exp(-2.2*r) - C/r**6; A 50 200, C 0.5 2, r 0.8 3; A eV, r angstrom, C eV*angstrom**6 -> eV
    odd_power; 1.3*m1*m2/r**2.7; m1 0.5 3, m2 0.5 3, r 0.4 4; m1 kg, m2 kg, r m -> N
    screened_force; q1*q2*exp(-r/1.7)*(1/r**2 + 1/(1.7*r)); q1 -2 2, q2 -2 2, r 0.4 4; q1 C, q2 C, r m -> N
    two_powers; a/r**3 - b/r; a 0.5 2, b 0.5 2, r 0.4 3; a N*m**3, b N*m, r m -> N
    uniform_field; -k*x + 9.8*m; k 0.5 3, x -2 2, m 0.5 3; k N/m, x m, m kg -> N
    alignment; (v2 - v1)/(1 + r**2); v1 -2 2, v2 -2 2, r 0.1 4; v1 m/s, v2 m/s, r m -> m/s
    michaelis; V*S/(K + S); V 0.5 3, S 0.1 4, K 0.3 3; V mol/L/s, S mol/L, K mol/L -> mol/L/s
    logistic; 1/(1 + exp(-(x - x0)/s)); x -3 3, x0 -1 1, s 0.5 2; x m, x0 m, s m -> 1
    van_der_waals; 8.314*T/(v - b) - a/v**2; T 1 4, v 1 4, b 0.1 0.5, a 0.5 4; T K, v m**3/mol, b m**3/mol, a Pa*m**6/mol**2 -> Pa
    dipole; p*(3*cos(th)**2 - 1)/r**3; p 0.5 3, th 0 3.1, r 0.6 3; p C*m, th 1, r m -> V/m
    elastic; k*(sqrt(x**2 + y**2) - 1.2); k 0.5 3, x 0.2 3, y 0.2 3; k N/m, x m, y m -> N
    oscillation; A*exp(-g*t)*cos(w*t); A 0.5 3, g 0.1 1, t 0.1 3, w 1 3; A m, g 1/s, t s, w 1/s -> m
    arrhenius; A*exp(-E/(8.314*T)); A 0.5 3, E 1 20, T 0.5 3; A 1/s, E J/mol, T K -> 1/s
    hill; V*x**2/(k**2 + x**2); V 0.5 3, x 0.1 4, k 0.5 2; V mol/L/s, x mol/L, k mol/L -> mol/L/s
    nernst; 0.86*T*log(c1/c2); T 1 4, c1 0.5 5, c2 0.5 5; T K, c1 mol/L, c2 mol/L -> mV
    bernoulli; P + rho*v**2/2 + 9.81*rho*h; P 1 5, rho 0.5 2, v 0.5 3, h 0.1 1; P Pa, rho kg/m**3, v m/s, h m -> Pa
    magnetic; q*(E + v*B*sin(th)); q -2 2, E 0.5 3, v 0.5 3, B 0.5 3, th 0 3.1; q C, E V/m, v m/s, B T, th 1 -> N
    plummer; -m1*m2/sqrt(r**2 + 0.4); m1 0.5 3, m2 0.5 3, r 0.1 4; m1 kg, m2 kg, r m -> J
    cutoff; (1 + cos(pi*r/3))/2; r 0.1 2.9; r angstrom -> 1
    cubic_spring; -k*x - 0.8*x**3; k 0.5 3, x -2 2; k N/m, x m -> N
    fermi; 1/(exp((E - mu)/T) + 1); E 0.5 4, mu 1 3, T 0.3 1.5; E eV, mu eV, T eV -> 1
    reduced_mass; k*m1*m2/(m1 + m2); k 0.5 3, m1 0.5 3, m2 0.5 3; k m**2/s**2, m1 kg, m2 kg -> J
    ramp; k*Max(r - 1.4, 0); k 0.5 3, r 0.3 4; k N/m, r m -> N""")  # noqa: E501

# written before the search was improved, and run once when that was done
KEPT = read_laws("""
    thomas_fermi; q1*q2*exp(-r/lam)*(1 + r/lam)/r**2; q1 -2 2, q2 -2 2, r 0.4 4, lam 0.5 3; q1 C, q2 C, r m, lam m -> N
    mie_pair; C*(s**9/r**9 - s**6/r**6); C 0.5 2, s 0.8 1.2, r 0.9 2.4; C J, s m, r m -> J
    rydberg; -D*(1 + a*x)*exp(-a*x); D 0.5 3, a 0.5 2, x -0.3 3; D J, a 1/m, x m -> J
    stokes; 6*pi*eta*R*v/(1 + 2.6*k/R); eta 0.5 2, R 0.5 3, v 0.5 3, k 0.1 1; eta Pa*s, R m, v m/s, k m -> N
    quadratic_drag; -c*v*sqrt(v**2 + w**2); c 0.5 2, v -3 3, w -3 3; c kg/m, v m/s, w m/s -> N
    langmuir; q*K*p/(1 + K*p); q 0.5 3, K 0.2 3, p 0.1 4; q mol/kg, K 1/Pa, p Pa -> mol/kg
    lens; f*s/(s - f); f 0.5 1.5, s 2 5; f m, s m -> m
    doppler; f*(c + v)/(c - u); f 0.5 3, c 3 6, v -1 1, u -1 1; f 1/s, c m/s, v m/s, u m/s -> 1/s
    resonance; F/sqrt((k - m*w**2)**2 + (b*w)**2); F 0.5 3, k 1 4, m 0.5 2, w 0.3 3, b 0.2 1; F N, k N/m, m kg, w 1/s, b N*s/m -> m
    bose; 1/(exp((E - mu)/T) - 1); E 2 5, mu 0 1.5, T 0.5 2; E eV, mu eV, T eV -> 1
    beat; A*cos(w1*t)*cos(w2*t); A 0.5 3, w1 0.5 2, w2 0.5 2, t 0.1 3; A m, w1 1/s, w2 1/s, t s -> m
    capillary; 2*s*cos(th)/(rho*9.81*R); s 0.5 3, th 0.1 1.4, rho 0.5 2, R 0.2 2; s N/m, th 1, rho kg/m**3, R m -> m
    centrifugal; L**2/(2*m*r**2) - k/r; L 0.5 2, m 0.5 2, r 0.4 4, k 0.5 3; L kg*m**2/s, m kg, r m, k J*m -> J
    charging; V*(1 - exp(-t/(R*C))); V 0.5 3, t 0.1 4, R 0.5 2, C 0.5 2; V V, t s, R ohm, C F -> V
    contact; k*Max(d - r, 0)**1.5; k 0.5 3, d 1 2, r 0.5 3; k N/m**1.5, d m, r m -> N
    relative_speed; k*(u - v)/(1 - u*v/c**2); k 0.5 2, u -2 2, v -2 2, c 3 5; k kg/s, u m/s, v m/s, c m/s -> N
    power_law_1_3; 2.1*rho**1.3*T; rho 0.3 4, T 0.5 3; rho kg/m**3, T K -> Pa
    switch; a*r*Heaviside(r - 1.7) + b; a 0.5 3, r 0.5 4, b 0.5 2; a N/m, r m, b N -> N
    orbital_energy; m*v**2/2 - G*m*M/r; m 0.5 3, v 0.5 3, G 0.5 2, M 0.5 3, r 0.5 4; m kg, v m/s, G m**3/kg/s**2, M kg, r m -> J
    two_body_plane; k*q1*q2*(y2 - y1)/((x2 - x1)**2 + (y2 - y1)**2 + 0.3)**(3/2); k 0.5 2, q1 -2 2, q2 -2 2, x1 0 2, x2 0 2, y1 0 2, y2 0 2; k N*m**2/C**2, q1 C, q2 C, x1 m, x2 m, y1 m, y2 m -> N
""")  # noqa: E501


def feynman(part: str = "all") -> list[Law]:
    """Read the AI-Feynman table (Udrescu and Tegmark 2020), one irrelevant variable each.

    Args:
        part: "all", "third" (drawn at random, to develop on), or "rest".
    """
    units: dict[str, dict[str, str]] = {}
    with (FEYNMAN / "feynman_units.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            units.setdefault(row["equation"], {})[row["symbol"]] = row["unit"]
    laws = []
    with (FEYNMAN / "FeynmanEquations.csv").open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            if not row["Formula"]:
                continue
            ranges = {
                row[f"v{i}_name"]: (float(row[f"v{i}_low"]), float(row[f"v{i}_high"]))
                for i in range(1, 11)
                if row.get(f"v{i}_name")
            }
            beyond = {name: (low, high + 0.3 * (high - low)) for name, (low, high) in ranges.items()}
            formula = row["Formula"].replace("ln(", "log(").replace("arcsin(", "asin(")
            name, target = row["Filename"], units[row["Filename"]][row["Output"]]
            given = {symbol: units[name][symbol] for symbol in ranges}
            laws.append(Law(name, formula, ranges, beyond, given, target, distractors=1))
    order = np.random.default_rng(2020).permutation(len(laws))
    third = set(order[: len(laws) // 3])
    return [law for i, law in enumerate(laws) if part == "all" or (i in third) == (part == "third")]
