"""Laws in use: simulated, as an ASE calculator, as a torch module, in a model, as a table."""

import ase
import numpy as np
import pytest
import sympy
import torch
from ase import units
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.lj import LennardJones
from ase.md.verlet import VelocityVerlet

from sciml.distill import search
from sciml.distill.calculator import LawCalculator
from sciml.distill.export import LawModule, table
from sciml.distill.forces import Forces
from sciml.distill.law import Constant, Law
from sciml.distill.report.page import mathml
from sciml.distill.simulate import simulate
from sciml.distill.terms import Term
from sciml.models import InteractionNetwork

r, w, a, b, q_i, q_j, m_i, m_j, x_i = sympy.symbols("r w a b q_i q_j m_i m_j x_i")


def lennard_jones(epsilon=0.0103, sigma=3.4):
    """U = 4 ε (s¹² − s⁶), as a force along the line of centres."""
    return Law(24 * a * (2 * b**12 / r**13 - b**6 / r**7), "F", {"r": ""},
               constants={"a": Constant(epsilon), "b": Constant(sigma)}, inertia="mass")  # fmt: skip


def argon(seed=0, count=6):
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[[0, 3.9]] * 3), -1).reshape(-1, 3)[:count]
    return ase.Atoms(f"Ar{count}", grid + 0.2 * rng.normal(size=(count, 3)))


# ------------------------------------------------------------------- simulate


def test_a_law_simulates_from_any_start():
    """Kepler's third law, for a start that no data had."""
    newton = Law(-a * m_i * m_j / r**2, "F", {"r": "", "m_i": "", "m_j": ""}, constants={"a": Constant(2.0)},
                 inertia="mass")  # fmt: skip
    size = 1.7
    period = 2 * np.pi * np.sqrt(size**3 / (2.0 * (1 + 0.1)))
    x = np.array([[0.0, 0.0], [size, 0.0]])
    v = np.array([[0.0, -0.1], [0.0, 1.0]]) * np.sqrt(2.0 * 1.1 / size) / 1.1
    path = simulate(newton, x, v, np.array([0.0, period]), {"mass": [1.0, 0.1]})
    np.testing.assert_allclose(path.position[1], x, atol=1e-9)
    with pytest.raises(ValueError, match="divides by mass"):
        simulate(newton, x, v, np.array([0.0, 1.0]))


# ----------------------------------------------------------------- calculator


def test_lennard_jones_agrees_with_ases_own():
    atoms, other = argon(), argon()
    atoms.calc = LawCalculator(lennard_jones(), at=1e3)
    other.calc = LennardJones(sigma=3.4, epsilon=0.0103, rc=1e4)
    np.testing.assert_allclose(atoms.get_forces(), other.get_forces(), atol=1e-10)
    assert atoms.get_potential_energy() == pytest.approx(other.get_potential_energy(), abs=1e-7)


CASES = {
    "pair": lennard_jones(),
    "charges": Law(
        a * q_i * q_j / r**2,
        "F",
        dict.fromkeys(("r", "q_i", "q_j"), ""),
        constants={"a": Constant(0.3)},
        inertia="mass",
    ),
    "trap and field": Law.of_terms(
        [Term(-a * x_i, "x_vec"), Term(b, "e_z"), Term(sympy.exp(-r / 3) / r)],
        "F",
        {"r": "", "x_i": ""},
        constants={"a": Constant(0.02), "b": Constant(0.1)},
        inertia="mass",
    ),
    "kinds": Law.of_terms(
        [Term(1 / r**3, kinds=(("A", "B"), ("B", "A")))], "F", {"r": ""}, kind="species", inertia="mass"
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_forces_are_minus_the_gradient_of_the_energy(case):
    atoms = argon()
    given = {"charge": np.array([1.0, -1, 2, -2, 1, -1]), "species": np.array(list("ABABAA"))}
    atoms.calc = LawCalculator(CASES[case], given)

    def energy(x):
        moved = atoms.copy()
        moved.calc = LawCalculator(CASES[case], given)
        moved.set_positions(x.reshape(-1, 3))
        return moved.get_potential_energy()

    steps = 1e-3 * np.eye(18)
    x = atoms.get_positions().ravel()
    gradient = np.array([(energy(x + s) - energy(x - s)) / 2e-3 for s in steps])
    np.testing.assert_allclose(atoms.get_forces().ravel(), -gradient, rtol=1e-4, atol=1e-7)


def test_dynamics_keep_the_energy():
    atoms = argon()
    atoms.calc = LawCalculator(lennard_jones())
    rng = np.random.default_rng(1)
    atoms.set_velocities(rng.normal(size=(6, 3)) * 0.003)
    total = [atoms.get_total_energy()]
    with VelocityVerlet(atoms, timestep=2 * units.fs) as run:
        for _ in run.irun(200):
            total.append(atoms.get_total_energy())
    assert np.ptp(total) < 1e-3 * atoms.get_kinetic_energy()
    assert atoms.get_kinetic_energy() != pytest.approx(total[0], rel=1e-3)


def test_units_of_the_law_are_converted():
    plain = argon()
    plain.calc = LawCalculator(lennard_jones())
    nm = Law(24 * a * (2 * b**12 / r**13 - b**6 / r**7), "F", {"r": "nm"}, "kJ/mol/nm", inertia="mass",
             constants={"a": Constant(0.0103 * 96.48533212), "b": Constant(0.34)})  # fmt: skip
    other = argon()
    other.calc = LawCalculator(nm)
    np.testing.assert_allclose(other.get_forces(), plain.get_forces(), rtol=1e-7)
    assert other.get_potential_energy() == pytest.approx(plain.get_potential_energy(), rel=1e-7)


def test_a_periodic_cell_takes_the_nearest_image():
    atoms = ase.Atoms("Ar2", [[0.5, 0, 0], [9.5, 0, 0]], cell=[10, 10, 10], pbc=True)
    atoms.calc = LawCalculator(lennard_jones())
    free = ase.Atoms("Ar2", [[0.5, 0, 0], [-0.5, 0, 0]], calculator=LawCalculator(lennard_jones()))
    np.testing.assert_allclose(atoms.get_forces(), free.get_forces())
    assert atoms.get_potential_energy() == pytest.approx(free.get_potential_energy())
    atoms.set_cell([[10, 0, 0], [3, 10, 0], [0, 0, 10]])
    with pytest.raises(ValueError, match="orthorhombic"):
        atoms.get_forces()


@pytest.mark.parametrize(
    ("term", "why"),
    [
        (Term(-a, "v_vec"), "no force along lines of centres"),
        (Term(a * w), "depends on velocities"),
        (Term(a * q_i / r), "not equal and opposite"),
        (Term(a * x_i, "e_z"), "depends on the place"),
    ],
)
def test_forces_without_a_potential_have_no_energy(term, why):
    law = Law.of_terms([term], "F", dict.fromkeys(("r", "w", "q_i", "x_i"), ""),
                       constants={"a": Constant(0.1)}, inertia="mass")  # fmt: skip
    atoms = argon()
    atoms.set_velocities(np.ones((6, 3)))
    atoms.calc = LawCalculator(law, {"charge": np.arange(6.0)})
    assert np.isfinite(atoms.get_forces()).all()
    with pytest.raises(PropertyNotImplementedError, match=why):
        atoms.get_potential_energy()


def test_vectors_are_written_as_vectors():
    law = Law.of_terms([Term(a / r), Term(-b, "v_vec"), Term(b, "w_across")], "F", dict.fromkeys(("r",), ""),
                       constants={"a": Constant(1.0), "b": Constant(2.0)}, inertia="mass")  # fmt: skip
    assert r"\hat r" in law.latex
    assert r"- b \vec v" in law.latex
    assert r"\vec w_\perp" in law.latex
    page = str(mathml(law.expression))
    assert '<mover accent="true"><mi>r</mi><mo>^</mo></mover>' in page
    assert '<mover accent="true"><mi>v</mi><mo>→</mo></mover>' in page
    assert "hat<" not in page


def test_units_that_are_no_lengths_are_refused():
    law = Law(a / r, "F", {"r": "s"}, "eV/s", constants={"a": Constant(1.0)}, inertia="mass")
    with pytest.raises(ValueError, match="a law for atoms needs lengths"):
        LawCalculator(law)


# -------------------------------------------------------------------- exports


def test_a_module_learns_the_constants_of_its_law():
    law = lennard_jones()
    module = LawModule(law)
    at = torch.linspace(3.0, 6.0, 40, dtype=torch.float64)
    np.testing.assert_allclose(module(r=at).detach(), law.numpy(r=at.numpy()), rtol=1e-12)
    other = LawModule(lennard_jones(epsilon=0.012, sigma=3.5))
    optimizer = torch.optim.LBFGS(other.parameters(), max_iter=200, line_search_fn="strong_wolfe",
                                  tolerance_grad=1e-14, tolerance_change=1e-18)  # fmt: skip

    def closure():
        optimizer.zero_grad()
        loss = (other(r=at) - module(r=at).detach()).square().mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert float(other.constants["b"].detach()) == pytest.approx(3.4, rel=1e-4)
    assert set(other.state_dict()) == {"constants.a", "constants.b"}
    with pytest.raises(TypeError, match="missing r"):
        module()
    with pytest.raises(ValueError, match="a law of terms is a vector"):
        LawModule(CASES["trap and field"])


def test_a_constant_law_has_the_shape_of_its_variables():
    law = Law(a, "F", {"r": ""}, constants={"a": Constant(2.0)})
    assert LawModule(law)(r=torch.ones(3, 2)).shape == (3, 2)


def test_a_model_with_a_law_moves_by_it():
    from sciml.builders import particle_graph

    law = Law(-a * m_i * m_j / r**2, "F", {"r": "", "m_i": "", "m_j": ""}, constants={"a": Constant(3.0)},
              inertia="mass")  # fmt: skip
    model = InteractionNetwork(2, particles=2, hidden=["mass"])
    placed = model.with_law(law, {"mass": torch.tensor([1.0, 2.0])}).double()
    graph = particle_graph(np.array([[[0.0, 0.0], [2.0, 0.0]]]), nodes={"particle": np.array([[0, 1]])})
    acceleration = placed(graph).nodes["acceleration"].detach().numpy()
    np.testing.assert_allclose(acceleration, [[1.5, 0], [-0.75, 0]], rtol=1e-6)
    assert [n for n, _ in placed.force.named_parameters()] == ["scalar.constants.a"]
    with pytest.raises(ValueError, match="depends on q_i, q_j; the model has m_i, m_j, r"):
        model.with_law(CASES["charges"])
    with pytest.raises(ValueError, match="'e_z' is no vector of a node in 2 dimensions"):
        model.with_law(CASES["trap and field"])
    with pytest.raises(ValueError, match="terms for kinds"):
        model.with_law(CASES["kinds"])


def test_a_model_with_a_law_of_terms_moves_by_it():
    from sciml.builders import particle_graph

    law, mass = CASES["trap and field"], np.array([1.0, 2.0, 0.5])
    x = np.random.default_rng(0).normal(size=(3, 3))
    graph = particle_graph(x[None], nodes={"particle": np.arange(3)[None], "mass": mass[None]})
    placed = InteractionNetwork(3, given=["mass"]).with_law(law).double()
    found = placed(graph).nodes["acceleration"].detach().numpy()
    np.testing.assert_allclose(found, Forces(law, {"mass": mass})(x, 0 * x), rtol=1e-9)
    names = [n for n, _ in placed.named_parameters()]
    assert names == ["own_force.scalars.x_vec.constants.a", "own_force.scalars.e_z.constants.b"]


def test_the_table_of_a_front_is_pysrs():
    rng = np.random.default_rng(0)
    X = rng.uniform(1, 2, size=(200, 2))
    front = search(X, 3 * X[:, 0] / X[:, 1] ** 2, names=["m", "d"], seconds=5)
    found = table(front)
    assert list(found) == ["complexity", "loss", "score", "equation", "sympy_format", "lambda_format"]
    assert found.score[0] == 0
    best = found.iloc[-1]
    np.testing.assert_allclose(best.lambda_format({"m": X[:, 0], "d": X[:, 1]}), 3 * X[:, 0] / X[:, 1] ** 2)
    assert sympy.sympify(best.equation) == best.sympy_format
    assert best.score == found.score.max()
