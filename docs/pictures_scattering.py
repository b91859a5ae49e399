"""Draw docs/images/scattering.png: python docs/pictures_scattering.py."""

import math
from pathlib import Path

import torch
from matplotlib.figure import Figure

from sciml.nn.scattering import Scattering1d, morlet_1d, morlet_2d

torch.set_num_threads(1)
BLUE, RED, GREY = "#3b6ea5", "#b5493a", "#888888"


def filters_of_the_line(ax):
    bank = morlet_1d(4096, J=5, Q=4)
    cycles = torch.fft.rfftfreq(4096)
    for octave in bank.octaves:
        ax.plot(cycles, octave.transfer[:, : len(cycles)].T, color=BLUE, lw=0.9)
    ax.plot(cycles, bank.low[0][: len(cycles)], color=RED, lw=1.4)
    ax.plot(cycles, bank.littlewood_paley[: len(cycles)], color=GREY, lw=1, ls="--")
    ax.set_xscale("log")
    ax.set(xlim=(1e-3, 0.5), ylim=(0, 1.5), xlabel="cycles per step", ylabel=r"$\hat\psi$, $\hat\varphi$")
    ax.set_title("Filters on the line (J = 5, Q = 4)")
    ax.text(1.15e-3, 1.03, "energy kept", color=GREY, fontsize=8)
    ax.text(1.15e-3, 0.88, "low-pass", color=RED, fontsize=8)


def filters_of_the_plane(ax):
    n = 256
    bank = morlet_2d((n, n), J=3, L=8, tight=False)
    axis = 2 * torch.fft.fftshift(torch.fft.fftfreq(n))  # in units of π
    for octave in bank.octaves:
        for transfer in octave.transfer:
            value = torch.fft.fftshift(transfer).T / transfer.max()
            ax.contour(axis, axis, value, levels=[0.5, 0.8], colors=BLUE, linewidths=[0.9, 0.5])
    low = torch.fft.fftshift(bank.low[0])
    ax.contour(axis, axis, low[:, None] * low, levels=[0.5], colors=RED, linewidths=1.2)
    ax.set(aspect="equal", xlabel=r"$\omega_1/\pi$", ylabel=r"$\omega_2/\pi$")
    ax.set_title("Filters in the plane (J = 3, L = 8)")


def scalogram(ax):
    n, Q = 4096, 12
    t = torch.linspace(0, 1, n, dtype=torch.float64)
    x = torch.cos(2 * math.pi * (60 * t + 350 * t**2)) + torch.cos(2 * math.pi * (900 - 450 * t) * t)
    x[n // 4] += 40
    bank = morlet_1d(n, J=6, Q=Q)
    transfer = torch.cat([octave.transfer for octave in bank.octaves])
    centres = torch.cat([octave.frequencies[:, 0] for octave in bank.octaves]) / (2 * math.pi)
    u = torch.fft.ifft(torch.fft.fft(x) * transfer).abs()
    keep = centres > 0.01
    ax.pcolormesh(t[::8], centres[keep], u[keep][:, ::8], shading="nearest", cmap="magma", vmax=1.0)
    ax.set_yscale("log")
    ax.set(xlabel="time", ylabel="centre in cycles per step")
    ax.set_title(r"Scalogram $|x \star \psi_\lambda|$: two glides and a click (Q = 12)")


def stability(ax):
    n, eps = 4096, 0.005
    layer = Scattering1d(n, J=5, Q=4, periodic=True)
    t = torch.arange(n, dtype=torch.float64) - n / 2
    packet = lambda w, scale: torch.cos(w * scale * t) * torch.exp(-((scale * t / 100) ** 2) / 2)
    scattering = lambda x: layer.transform(x) * math.sqrt(layer.step)
    fourier = lambda x: torch.fft.fft(x, norm="ortho").abs()
    frequencies = torch.logspace(math.log10(0.03), math.log10(2.5), 40, dtype=torch.float64)

    def rates(representation):
        change = lambda x, y: (representation(y) - representation(x)).norm() / x.norm() / eps
        return [float(change(packet(w, 1.0), packet(w, 1 - eps))) for w in frequencies]

    cycles = frequencies / (2 * math.pi)
    ax.loglog(cycles, rates(fourier), color=RED, label="modulus of the Fourier transform")
    ax.loglog(cycles, rates(scattering), color=BLUE, label="scattering")
    ax.set(xlabel="cycles per step", ylabel=r"$\|\Delta\| \,/\, (\epsilon \|x\|)$", ylim=(1, 300))
    ax.legend(frameon=False, fontsize=8, loc="upper left")
    ax.set_title("Wave packets stretched by ε = 0.5 %")


figure = Figure(figsize=(11, 7.6), layout="constrained")
panels = figure.subplots(2, 2)
for draw, ax in zip((filters_of_the_line, filters_of_the_plane, scalogram, stability), panels.flat):
    draw(ax)
path = Path(__file__).parent / "images" / "scattering.png"
path.parent.mkdir(exist_ok=True)
figure.savefig(path, dpi=110)
print(path)
