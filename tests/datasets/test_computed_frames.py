"""Frames computed on the spot: dynamics at its temperature, and what goes wrong is said."""

import importlib.util

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT

from sciml.datasets.computed_frames import dynamics_frames, molecule_structure, xtb_calculator

XTB = importlib.util.find_spec("tblite") is not None


class Springs(Calculator):
    """Harmonic bonds of an ethane-like chain; ``weak`` ones break."""

    implemented_properties = ("energy", "forces")

    def __init__(self, stiff=20.0, fail=None):
        super().__init__()
        self.stiff, self.fail, self.calls = stiff, fail, 0

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        if self.fail is not None and self.calls > self.fail:
            raise RuntimeError("SCF not converged")
        d = np.diff(self.atoms.positions, axis=0)
        r = np.linalg.norm(d, axis=1)
        pull = self.stiff * (r - 1.5)[:, None] * d / r[:, None]
        forces = np.zeros_like(self.atoms.positions)
        forces[:-1] += pull
        forces[1:] -= pull
        self.results = {"energy": 0.5 * self.stiff * float(((r - 1.5) ** 2).sum()), "forces": forces}


def chain(n=8):
    return Atoms("C" * n, [[1.5 * i, 0.1 * (i % 2), 0] for i in range(n)])


def test_frames_have_their_temperature_and_their_seed():
    """Mean energy of a bond k T / 2, within the error of so short a time."""
    options = {"frames": 40, "temperature": 400, "between": 10, "step": 1.0, "warm": 200}
    run = lambda seed: list(dynamics_frames(chain(), Springs(), **options, seed=seed))
    found, again, other = run(0), run(0), run(1)
    energy = [a.get_potential_energy() for a in found]
    assert np.mean(energy) == pytest.approx(7 * units.kB * 400 / 2, rel=0.5)
    np.testing.assert_array_equal(found[-1].positions, again[-1].positions)
    assert np.abs(found[-1].positions - other[-1].positions).max() > 0.01
    check = found[3].copy()
    check.calc = Springs()
    np.testing.assert_allclose(check.get_forces(), found[3].get_forces())


def test_what_goes_wrong_is_said():
    with pytest.raises(ValueError, match=r"bond between atoms \d \(C\) and \d \(C\)"):
        list(dynamics_frames(chain(), Springs(stiff=0.01), frames=50, temperature=3000, between=20, step=1.0))
    with pytest.raises(ValueError, match=r"C8 could not be calculated .*SCF not converged"):
        list(dynamics_frames(chain(), Springs(fail=50), frames=50, between=20, step=1.0))
    with pytest.raises(ValueError, match="temperature=-1"):
        list(dynamics_frames(chain(), EMT(), temperature=-1))
    with pytest.raises(ValueError, match="no such file, and as SMILES"):
        molecule_structure("C(")
    with pytest.raises(ValueError, match="choose from GFN2-xTB"):
        xtb_calculator(chain(), "B3LYP")
    with pytest.raises(ValueError, match="periodic"):
        xtb_calculator(Atoms("C", cell=[3, 3, 3], pbc=True))
    if not XTB:
        with pytest.raises(ModuleNotFoundError, match="tblite"):
            xtb_calculator(chain())


def test_structures_from_smiles_and_files(tmp_path):
    atoms = molecule_structure("CC(=O)[O-]")
    assert atoms.get_chemical_formula() == "C2H3O2"
    assert atoms.info["charge"] == -1
    atoms.write(tmp_path / "a.extxyz")
    assert molecule_structure(str(tmp_path / "a.extxyz")).info["charge"] == -1
    (tmp_path / "b.extxyz").write_text("nothing")
    with pytest.raises(ValueError, match="ASE cannot read it"):
        molecule_structure(str(tmp_path / "b.extxyz"))


@pytest.mark.skipif(not XTB, reason="needs tblite: pip install 'sciml[xtb]'")
def test_water_by_xtb():
    """A known geometry, forces that are the energy's slope, and dynamics."""
    atoms = molecule_structure("O")
    (frame,) = dynamics_frames(atoms, xtb_calculator(atoms), frames=1, temperature=300, warm=20)
    assert 0.8 < frame.get_distance(0, 1) < 1.15
    frame.calc = xtb_calculator(atoms)
    forces = frame.get_forces()
    moved = [frame.copy(), frame.copy()]
    for sign, other in zip((1, -1), moved):
        other.positions[0, 1] += sign * 1e-3
        other.calc = xtb_calculator(atoms)
    slope = (moved[0].get_potential_energy() - moved[1].get_potential_energy()) / 2e-3
    assert -slope == pytest.approx(forces[0, 1], abs=1e-3)
