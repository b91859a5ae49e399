"""Draw docs/images/messages.png, messages against true forces: python docs/pictures_messages.py."""

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
from bench_distill import ADAM, MODELS, NAMES, data_of, evaluate, r_squared

from sciml.distill import record
from sciml.models import InteractionNetwork
from sciml.training.dynamics import train_dynamics

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
figure = Figure(figsize=(13, 3.6), layout="constrained")
for ax, system in zip(figure.subplots(1, 4), ("spring", "gravity", "charge", "discontinuous"), strict=True):
    data = data_of(system, 2, seed=5, frames=3200)
    torch.manual_seed(5)
    model = InteractionNetwork(update="force_over_mass", **MODELS["l1"], **data.arguments)
    with tempfile.TemporaryDirectory() as directory:
        train_dynamics(model, data, [ADAM], directory, seed=5, progress=False)
    table = record(model.eval(), data.held_out)
    read = table.message @ table.readout.T
    force = evaluate(system, table.variables)[:, None] * table.direction
    decades = np.abs(force).max() > 100
    ax.plot(force[:, 0], read[:, 0], ".", ms=2, alpha=0.4, color="tab:blue", rasterized=True)
    ends = [force[:, 0].min(), force[:, 0].max()]
    ax.plot(ends, ends, color="black", lw=0.8)
    if decades:
        ax.set_xscale("symlog", linthresh=1)
        ax.set_yscale("symlog", linthresh=1)
        ax.set_xticks([-1e4, -1e2, 0, 1e2, 1e4])
        ax.set_yticks([-1e4, -1e2, 0, 1e2, 1e4])
    ax.set_title(f"{NAMES.get(system, system)}: R² {r_squared(read, force):.4f}", fontsize=10)
    ax.set_xlabel("true force, x component")
figure.axes[0].set_ylabel("message, as read out")
path = Path(__file__).parent / "images" / "messages.png"
figure.savefig(path, dpi=110)
print(path)
