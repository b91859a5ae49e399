"""Laws out of trajectories of systems drawn at random: right, ambiguous, none, or wrong.

    python scripts/bench_laws.py --seeds 100:130 --output laws.txt

Each seed draws a system (`random_systems`). A found law is judged by the accelerations that it gives on
states of another simulation, and at distances half and twice as large.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from random_systems import Drawn, draw

from sciml.distill.forces import Forces
from sciml.distill.motion import Discovery, discover

NEAR = {0.0: 0.01, 0.01: 0.05, 0.05: 0.1}  # rms error of accelerations of a law that is called right
FAR = {0.0: 0.02, 0.01: 0.1, 0.05: 0.2}  # the same of pair forces at half and twice the distances


def judged(drawn: Drawn, found: Discovery) -> tuple[str, str]:
    """Return right, ambiguous (right), none, ambiguous (wrong) or WRONG, and the errors in words."""
    verdict, system = found.law.verdict, drawn.system
    if not system.lawful:
        return {"none": "right", "law": "WRONG"}.get(verdict, "ambiguous wrong"), ""
    if verdict == "none":
        return "none", ""
    length, span, _ = system.units
    given = {name: values[0] for name, values in drawn.data.properties.items()}
    properties = {n: np.array([e.value for e in per.values()]) for n, per in found.hidden.items()}
    forces = Forces(found.law, {**given, **properties})
    step = max(1, len(drawn.position) // 60)
    errors = []
    for scale in (1.0, 0.5, 2.0):
        p, q = drawn.position[::step] * scale, drawn.velocity[::step]
        true = np.stack([system.acceleration(a, b) for a, b in zip(p, q, strict=True)])
        left = forces(p * length, q * length / span) * span**2 / length - true
        finite = np.isfinite(left).any()
        errors.append(float(np.sqrt(np.nanmean(left**2) / np.mean(true**2))) if finite else np.inf)
    good = errors[0] < NEAR[drawn.noise] and max(errors[1:]) < FAR[drawn.noise]
    words = "errors " + ", ".join(f"{e:.2g}" for e in errors)
    if found.outside is not None:
        words += f", outside {found.outside.left:.2g} of {found.evidence.unexplained:.2g}"
    if verdict == "ambiguous":
        return "ambiguous right" if good else "ambiguous wrong", words
    return "right" if good else "WRONG", words


def main() -> None:
    """Run the seeds, and print the count of each outcome."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="100:130", help="first:last")
    parser.add_argument("--seconds", type=float, default=8.0, help="for the search of each force")
    parser.add_argument("--output", type=Path, help="file to which results are added as they come")
    arguments = parser.parse_args()
    first, last = map(int, arguments.seeds.split(":"))
    counts: dict[str, int] = {}
    for seed in range(first, last):
        try:
            drawn = draw(seed)
        except RuntimeError as error:  # the system collides from every start
            print(f"{seed} skipped: {error}", flush=True)
            continue
        start = time.process_time()
        try:
            found = discover(drawn.data, seconds=arguments.seconds, seed=0)
            outcome, words = judged(drawn, found)
            law = " ".join(str(found.law.sympy if not found.law.terms else found.law).split())
        except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
            outcome, words, law = "error", str(error), ""
        counts[outcome] = counts.get(outcome, 0) + 1
        spent, what = time.process_time() - start, ", ".join(drawn.system.words)
        line = f"{seed} {outcome} [{spent:.0f} s] {what} | {words} | {law}"
        print(line, flush=True)
        if arguments.output:
            with arguments.output.open("a") as file:
                file.write(line + "\n")
    print(counts)


if __name__ == "__main__":
    main()
