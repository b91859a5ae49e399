"""Laws of pairs: formulas that gave the frames come back, and what is no pair is not explained."""

import itertools
import json

import numpy as np
import pytest
import sympy
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones

from sciml.datasets import Frames
from sciml.distill import Constant, Law
from sciml.distill.expression import evaluate
from sciml.distill.pairs import PairCalculator, choose, distill_pairs, write_pair_report
from sciml.distill.pairs.cutoff import find_cutoff
from sciml.distill.pairs.fit import PairModel, fit_model, jacobian, residuals
from sciml.distill.pairs.forms import BOOKS, Form, fit_curve
from sciml.distill.pairs.pipeline import searched
from sciml.distill.pairs.rows import Kinds, pair_rows
from sciml.distill.pairs.splines import Curve, fit_splines
from sciml.distill.pairs.verdict import Shares, judge
from sciml.distill.terms import Term

AR, KR = 18, 36
BY_NAME = {form.name: form for form in BOOKS}


def lennard_jones(epsilon, sigma):
    def of(r):
        six = (sigma / r) ** 6
        return 4 * epsilon * (six**2 - six), 24 * epsilon * (2 * six**2 - six) / r

    return of


def morse(depth, a, r0):
    def of(r):
        e = np.exp(-a * (r - r0))
        return depth * (e**2 - 2 * e), 2 * depth * a * (e**2 - e)

    return of


def crystals(number, elements=(AR,), seed=0, rattle=0.16, a=5.5, size=2):
    """Rattled crystals of 4 · size³ atoms."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(number):
        atoms = bulk("Ar", cubic=True, a=a).repeat(size)
        atoms.numbers[:] = rng.choice(elements, len(atoms))
        atoms.positions += rng.normal(0, rattle, (len(atoms), 3))
        found.append(atoms)
    return found


def calculated(structures, pairs, cutoff):
    """Energies and forces by loops over atoms and images; each pair of elements has energy and force of r."""
    energy, forces = [], []
    for atoms in structures:
        x, z, cell = atoms.positions, atoms.numbers, atoms.cell.array
        reach = range(-2, 3) if atoms.pbc.any() else (0,)
        total, pull = 0.0, np.zeros_like(x)
        for image in itertools.product(reach, repeat=3):
            d = x[:, None] - x[None] - np.array(image) @ cell
            r = np.linalg.norm(d, axis=-1)
            near = (r > 1e-9) & (r < cutoff)
            for (a, b), of in pairs.items():
                own = near & np.isin(z[:, None] * 1000 + z, (a * 1000 + b, b * 1000 + a))
                safe = np.where(own, r, 1.0)
                e, f = (np.where(own, v, 0.0) for v in of(safe))
                total += 0.5 * float((e - own * of(np.array([cutoff]))[0]).sum())
                pull += ((f / safe)[..., None] * d).sum(1)
        energy.append(total)
        forces.append(pull)
    return Frames(structures, np.array(energy), forces, "crystals")


TWO = {
    (AR, AR): lennard_jones(0.0104, 3.4),
    (AR, KR): lennard_jones(0.0131, 3.52),
    (KR, KR): lennard_jones(0.0165, 3.65),
}


@pytest.fixture(scope="module")
def mixture():
    return calculated(crystals(12, (AR, KR)), TWO, 6.5)


@pytest.fixture(scope="module")
def found(mixture):
    return distill_pairs(mixture, cutoff=6.5, seconds=2.0)


def test_rows_add_up_to_an_independent_calculation(mixture):
    """Pairs once each, images included, in a cell that the cutoff exceeds."""
    tight = calculated(crystals(2, size=1, rattle=0.2), {(AR, AR): TWO[AR, AR]}, 7.0)
    for frames, cutoff in ((mixture.take(np.arange(2)), 6.5), (tight, 7.0)):
        kinds = Kinds.of(frames)
        for rows, energy, forces in zip(
            (pair_rows(frames.take([i]), kinds, cutoff)[0] for i in range(2)), frames.energy, frames.forces
        ):
            form = BY_NAME["Lennard-Jones"]
            values = {"Ar-Ar": (0.0104, 3.4), "Ar-Kr": (0.0131, 3.52), "Kr-Kr": (0.0165, 3.65)}
            model = PairModel(
                (form,) * len(kinds),
                tuple(values[n] for n in kinds.names),
                (0.0,) * len(kinds.elements),
                cutoff,
            )
            said = model.predict(rows)
            assert said[0][0] == pytest.approx(energy, rel=1e-8)
            np.testing.assert_allclose(said[1], forces, atol=1e-10)


def test_lennard_jones_of_two_elements_comes_back_by_name_with_its_numbers(found):
    assert found.law.verdict == "law", found.law.reason
    assert set(found.law.provenance["forms"].values()) == {"Lennard-Jones"}
    for pair, epsilon, sigma in (("ArAr", 0.0104, 3.4), ("ArKr", 0.0131, 3.52), ("KrKr", 0.0165, 3.65)):
        e, s = found.law.constants[f"epsilon_{pair}"], found.law.constants[f"sigma_{pair}"]
        assert (e.unit, s.unit) == ("eV", "angstrom")
        assert e.value == pytest.approx(epsilon, rel=1e-4)
        assert s.value == pytest.approx(sigma, rel=1e-5)
        assert 0 <= e.standard_error < 1e-4
    assert found.shares.explained > 0.999999


@pytest.mark.slow
@pytest.mark.parametrize(("name", "values"), [("Lennard-Jones", (0.0104, 3.4)), ("Morse", (0.35, 1.4, 3.6))])
def test_the_search_finds_the_form_without_the_books(name, values):
    """From a curve with errors as splines have them."""
    r = np.geomspace(3.05, 8.0, 60)
    force = BY_NAME[name](r, values)
    error = 1e-4 * (np.abs(force) + np.median(np.abs(force)))
    noise = np.random.default_rng(0).normal(size=60) * error
    front = searched(Curve(r, force + noise, error, np.ones(60)), "Ar-Ar", seconds=60.0)
    found = evaluate(front.best().expression, {"r": r})
    np.testing.assert_allclose(found, force, atol=3 * error.max(), rtol=3e-3)
    assert front.best().complexity < 25


def test_law_is_saved_and_computes_in_ase(found, mixture, tmp_path):
    write_pair_report(found, tmp_path, title="Two gases <b>")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["verdict"] == "law"
    assert set(report["curves"]) == {"Ar-Ar", "Ar-Kr", "Kr-Kr"}
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") == 3
    assert "<b>" not in page.split("<h1>")[1].split("</h1>")[0]
    atoms = mixture.atoms[0].copy()
    atoms.calc = PairCalculator(Law.load(tmp_path / "law.json"))
    assert atoms.get_potential_energy() == pytest.approx(mixture.energy[0], abs=1e-5)
    np.testing.assert_allclose(atoms.get_forces(), mixture.forces[0], atol=1e-5)


def test_stress_is_that_of_ase(tmp_path):
    """Against ASE's Lennard-Jones, with pairs across the cell."""
    atoms = crystals(1, size=2)[0]
    frames = Frames([atoms] * 6, np.zeros(6), [np.zeros((len(atoms), 3))] * 6)
    kinds = Kinds.of(frames)
    law = Law.of_terms(
        [Term(BY_NAME["Lennard-Jones"].expression, "r_hat", (("Ar", "Ar"),))], "F", {"r": "angstrom"},
        constants={"epsilon": Constant(0.0104), "sigma": Constant(3.4)}, inertia="mass", kind="element",
        provenance={"cutoff": 6.5, "elements": {"Ar": 0.0}},
    )  # fmt: skip
    theirs = atoms.copy()
    theirs.calc = LennardJones(sigma=3.4, epsilon=0.0104, rc=6.5)
    atoms.calc = PairCalculator(law)
    np.testing.assert_allclose(atoms.get_stress(), theirs.get_stress(), rtol=1e-6, atol=1e-10)
    assert atoms.get_potential_energy() == pytest.approx(theirs.get_potential_energy(), rel=1e-7)
    assert kinds.names == ["Ar-Ar"]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("Morse", (0.3, 1.4, 3.9)),
        ("Buckingham", (4000.0, 3.2, 60.0)),
        ("Yukawa", (200.0, 1.3)),
        ("inverse power", (5000.0, 7.0)),
        ("harmonic", (0.4, 3.5)),
        ("Born–Mayer", (900.0, 2.6)),
        ("Lennard-Jones", (0.01, 3.4)),
    ],
)
def test_forms_are_fitted_from_guesses(name, values):
    """From a curve alone, without first values."""
    r = np.geomspace(3.0, 7.0, 40)
    force = BY_NAME[name](r, values)
    curve = Curve(r, force, np.full(40, 1e-5), np.ones(40))
    found, error = fit_curve(BY_NAME[name], curve)
    assert error < 1.0
    np.testing.assert_allclose(found, values, rtol=2e-2)


def test_jacobian_is_the_derivative(mixture):
    kinds = Kinds.of(mixture)
    parts = pair_rows(mixture.take([0]), kinds, 6.5)
    forms = (BY_NAME["Morse"], BY_NAME["Lennard-Jones"], BY_NAME["Buckingham"])
    model = PairModel(forms, ((0.2, 1.3, 3.8), (0.01, 3.4), (3000.0, 3.0, 50.0)), (0.1, -0.2), 6.5)
    analytic = jacobian(model, parts, (1.0, 1.0))
    x = model.parameters
    for k in range(len(x)):
        step = np.zeros_like(x)
        step[k] = 1e-5 * abs(x[k])
        up, down = (residuals(model.with_parameters(x + s * step), parts, (1.0, 1.0)) for s in (1, -1))
        numeric = (up - down) / (2 * step[k])
        np.testing.assert_allclose(analytic[:, k], numeric, atol=1e-6 * np.abs(numeric).max())


def test_standard_errors_are_those_of_the_noise():
    """Fitted to forces with noise, constants miss the truth by what is stated."""
    frames = calculated(crystals(3), {(AR, AR): TWO[AR, AR]}, 6.0)
    rng = np.random.default_rng(1)
    kinds, form = Kinds.of(frames), BY_NAME["Lennard-Jones"]
    missed = []
    for _ in range(8):
        noisy = Frames(
            frames.atoms, np.full(3, np.nan), [f + rng.normal(0, 0.01, f.shape) for f in frames.forces]
        )
        parts = pair_rows(noisy, kinds, 6.0)
        model = PairModel((form,), ((0.01, 3.5),), (0.0,), 6.0)
        fitted = fit_model(model, parts, (0.01, 1.0))
        missed.append((np.array(fitted.model.values[0]) - (0.0104, 3.4)) / fitted.errors[:2])
    spread = np.sqrt(np.mean(np.square(missed), axis=0))
    assert (spread > 0.4).all()
    assert (spread < 2.0).all()


def test_the_frames_decide_where_the_curve_of_a_network_is_wrong(monkeypatch):
    """It waves about the truth, and a longer formula waves with it: that one is not the only one tried."""
    monkeypatch.setattr(choose, "JOINT", 1)

    def waving(r):
        energy, force = TWO[AR, AR](r)
        return energy + 5e-4 * np.cos(4 * r), force + 2e-3 * np.sin(4 * r)

    frames = calculated(crystals(12), {(AR, AR): TWO[AR, AR]}, 6.0)
    wrong = lambda frames: calculated(frames.atoms, {(AR, AR): waving}, 6.0)
    law = distill_pairs(frames, network=wrong, cutoff=6.0, seconds=3.0).law
    assert law.provenance["forms"] == {"Ar-Ar": "Lennard-Jones"}
    assert law.constants["epsilon"].value == pytest.approx(0.0104, rel=1e-4)


def test_a_truncated_potential_tells_its_cutoff():
    frames = calculated(crystals(10), {(AR, AR): TWO[AR, AR]}, 6.0)
    assert find_cutoff(frames, Kinds.of(frames), most=7.5) == pytest.approx(6.0, abs=0.02)


def test_forces_of_three_atoms_are_no_law_of_pairs(mixture):
    """Frames with an angle's forces: splines leave them, and a network that has them shows it."""
    rng = np.random.default_rng(0)
    structures, forces, energy = [], [], []
    for _ in range(40):
        x = np.array([[0.95, 0, 0], [0, 0, 0], [-0.24, 0.92, 0]]) + rng.normal(0, 0.08, (3, 3))
        bent, _ = _angle(x)
        pull = np.zeros((3, 3))
        for atom, axis in np.ndindex(3, 3):
            step = np.zeros((3, 3))
            step[atom, axis] = 1e-5
            pull[atom, axis] = -(_angle(x + step)[0] - _angle(x - step)[0]) / 2e-5
        structures.append(Atoms("CCC", x))
        forces.append(pull + 0.3 * rng.normal(size=(3, 3)))
        energy.append(bent)
    frames = Frames(structures, np.array(energy), forces, "angles")
    same = distill_pairs(frames, network=lambda f: f, cutoff=4.0, seconds=1.0)
    assert same.law.verdict == "none"
    assert "no sum over pairs" in same.law.reason
    assert same.shares.network == 0.0


def _angle(x):
    """A stiff angle that prefers one side of a plane: no distances give its sign."""
    a, b = x[0] - x[1], x[2] - x[1]
    return 3.0 * np.cross(a, b)[2] ** 2 + np.cross(a, b)[0], None


def test_verdicts():
    assert judge(Shares(1e-3, 1e-4), [])[0] == "law"
    assert judge(Shares(1e-3, 1e-4), ["Morse"])[0] == "ambiguous"
    assert judge(Shares(0.21, 0.2), [])[0] == "ambiguous"
    assert judge(Shares(0.4, 0.1), [])[0] == "none"
    assert judge(Shares(0.21, 0.2, network=0.02), [])[0] == "none"
    assert judge(Shares(0.21, 0.2, network=0.19), [])[0] == "ambiguous"


def test_what_cannot_be_fitted_is_said(mixture):
    bare = Frames(mixture.atoms, mixture.energy, [None] * len(mixture), "bare")
    with pytest.raises(ValueError, match="no frame has forces"):
        distill_pairs(bare)
    with pytest.raises(ValueError, match="5 or more"):
        distill_pairs(mixture.take(np.arange(3)))
    far = Frames([Atoms("Ar2", [[0, 0, 0], [0, 0, 50]])] * 6, np.zeros(6), [np.zeros((2, 3))] * 6, "far")
    with pytest.raises(ValueError, match="no two atoms"):
        distill_pairs(far)
    with pytest.raises(ValueError, match="no kind of pair"):
        fit_splines(pair_rows(far, Kinds.of(far), 5.0), Kinds.of(far), 5.0)
    with pytest.raises(ValueError, match="is Xe"):
        Kinds((18,)).place(np.array([18, 54]))
    with pytest.raises(ValueError, match="law of pairs of elements"):
        PairCalculator(Law(sympy.Symbol("r"), "F", {"r": ""}))
    broken = Form(sympy.sqrt(3 - sympy.Symbol("r")) * sympy.Symbol("c0"), ("c0",))
    kinds = Kinds.of(mixture)
    model = PairModel((broken,) * 3, ((1.0,),) * 3, (0.0, 0.0), 6.5)
    with pytest.raises(ValueError, match="not finite"):
        fit_model(model, pair_rows(mixture.take([0]), kinds, 6.5), (1.0, 1.0))
