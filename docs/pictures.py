"""Draw docs/images/orbits.png from a trained run: python docs/pictures.py outputs/orbits/TIME."""

import sys
from pathlib import Path

import sympy
import torch
from matplotlib.figure import Figure

from sciml import plotting
from sciml.distill import distill, follow
from sciml.training.dynamics import dynamics_data
from sciml.training.run import build, load_config, load_run

torch.set_num_threads(1)
run = Path(sys.argv[1])
config = load_config(run)
data = dynamics_data(build(config.data.source, "data.source"), **config.data.split, seed=config.seed)
found = distill(
    load_run(run), data.train, data.held_out, fit=data.fit, particles=data.names, units=data.past.units
)
figure = Figure(figsize=(15, 4.6), layout="constrained")
left, middle, right = figure.subplots(1, 3)
plotting.messages_against_law(
    found.searched, found.law, left_out=found.messages, names=found.particles, ax=left
)
true = data.past.reference["mass"][0]
reference = dict(zip(found.particles, true / true.max(), strict=True))
plotting.hidden_properties(found.hidden["mass"], reference, ax=middle)
plotting.rollout_error(follow(found, data.future).in_km, ax=right)
size = found.law.constants["c0"].value
shape = sympy.latex(found.law.expression / sympy.Symbol("c0"))
figure.suptitle(
    f"Read out of eleven bodies' motion, 1990 to 2020:   ${found.law.target} = {size:.8g}\\ {shape}$"
)
path = Path(__file__).parent / "images" / "orbits.png"
path.parent.mkdir(exist_ok=True)
figure.savefig(path, dpi=110)
print(path)
