import json

import numpy as np
import pytest

from sciml.datasets.readers import load_trajectories, write_npz
from sciml.datasets.trajectories import Trajectories


def spiral(simulations=2, times=40, particles=3, dim=2, seed=0):
    rng = np.random.default_rng(seed)
    time = np.linspace(0.0, 2.0, times)
    phase = rng.uniform(0, 6, (simulations, 1, particles, dim)) + time[None, :, None, None]
    return np.sin(phase) + 3.0 * np.arange(particles)[:, None], time


def test_one_simulation_and_one_clock_are_given_all_axes():
    position, time = spiral(1)
    data = Trajectories(position[0].astype(np.float32), time)
    assert data.shape == (1, 40, 3, 2)
    assert data.position.dtype == np.float64
    assert data.time.shape == (1, 40)
    assert data.names == ("p0", "p1", "p2")


def test_units_follow_from_length_and_time():
    position, time = spiral()
    units = Trajectories(position, time, units={"position": "AU", "time": "day"}).units
    assert units["velocity"] == "AU/day"
    assert units["acceleration"] == "AU/day**2"


def broken(change):
    position, time = spiral()
    fields = {"position": position, "time": time, "names": ("a", "b", "c"), "source": "file.npz"}
    change(fields)
    return fields


def put(name, index, value):
    def change(fields):
        fields[name] = np.array(fields[name])
        fields[name][index] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            put("position", (1, 7, 2, 1), np.nan),
            ["nan at simulation 1, time index 7", "'c'", "y"],
        ),
        (
            put("position", (0, 3, 0, 0), -np.inf),
            ["-inf at simulation 0, time index 3", "'a'", "x"],
        ),
        (put("time", 5, 0.0), ["not sorted", "time index 5"]),
        (put("time", 5, 2.0 * 4 / 39), ["twice the same", "time index 5"]),
        (put("position", (1, 4, 2), spiral()[0][1, 4, 0]), ["'a' and 'c'", "simulation 1", "time index 4"]),
        (lambda f: f.update(position=f["position"][:, :, :1], names=("a",)), ["1 particle", "at least two"]),
        (
            lambda f: f.update(position=f["position"][:, :3], time=f["time"][:3]),
            ["3 time points", "at least"],
        ),
        (lambda f: f.update(position=f["position"][..., :1]), ["shape (2, 40, 3, 1)", "dim 2 or 3"]),
        (lambda f: f.update(time=f["time"][:-1]), ["time has shape (39,)", "(40,)"]),
        (lambda f: f.update(velocity=f["position"][:, :-1]), ["velocity has shape", "(2, 40, 3, 2)"]),
        (lambda f: f.update(names=("a", "a", "b")), ["'a'", "2 particles"]),
        (lambda f: f.update(properties={"mass": np.ones(4)}), ["mass", "(4,)", "3 particles"]),
        (lambda f: f.update(box=[1.0, -1.0]), ["box", "positive"]),
        (lambda f: f.update(position="no numbers"), ["position", "real numbers"]),
    ],
)
def test_what_is_wrong_is_named(change, words):
    with pytest.raises(ValueError, match=r"file.npz") as error:
        Trajectories(**broken(change))
    for word in words:
        assert word in str(error.value)


def test_images_in_a_periodic_box_are_one_place():
    position, time = spiral()
    position[0, 6, 1] = position[0, 6, 0] + [4.0, -8.0]
    Trajectories(position, time)
    with pytest.raises(ValueError, match=r"'p0' and 'p1'.*time index 6"):
        Trajectories(position, time, box=[4.0, 4.0])


def test_split_by_time_and_by_simulation():
    position, time = spiral(simulations=6)
    data = Trajectories(position, time, properties={"mass": np.arange(18.0).reshape(6, 3)})
    early, late = data.split(0.75, by="time")
    assert early.time.max() < late.time.min()
    assert early.shape[1] + late.shape[1] == 40
    some, others = data.split(0.5)
    joined = np.concatenate([part.properties["mass"] for part in (some, others)])
    np.testing.assert_array_equal(joined, data.properties["mass"])
    with pytest.raises(ValueError, match="held out"):
        data.split(1.0)
    with pytest.raises(ValueError, match="'blocks'"):
        data.split(0.5, by="blocks")


def test_npz_round_trip_keeps_everything(tmp_path):
    position, time = spiral(dim=3)
    data = Trajectories(
        position, time, velocity=position + 1, acceleration=position + 2,
        properties={"charge": np.arange(3.0), "species": np.array(["Na", "Cl", "Na"])},
        names=("a", "b", "c"), units={"position": "m", "time": "s", "charge": "coulomb"},
        box=[10.0, 10.0, np.inf], acceleration_error=np.full((2, 3), 0.1), reference={"mass": np.ones(3)},
    )  # fmt: skip
    write_npz(tmp_path / "a.npz", data)
    back = load_trajectories(tmp_path / "a.npz")
    for name in ("position", "time", "velocity", "acceleration", "box", "acceleration_error"):
        np.testing.assert_array_equal(getattr(back, name), getattr(data, name))
    np.testing.assert_array_equal(back.properties["charge"], data.properties["charge"])
    np.testing.assert_array_equal(back.reference["mass"], np.ones((2, 3)))
    assert "mass" not in back.properties
    assert back.labels("species")[1] == ("Cl", "Na")
    assert (back.names, back.units) == (data.names, data.units)


def test_npz_with_pickles_is_refused_unread(tmp_path):
    position, time = spiral()
    np.savez(tmp_path / "a.npz", position=position, time=time, units=np.array({"time": "s"}, dtype=object))
    with pytest.raises(ValueError, match=r"'units'.*pickle"):
        load_trajectories(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", position=position, dt=0.1, units=json.dumps({"time": "s"}), mass=[1, 2, 3])
    data = load_trajectories(tmp_path / "b.npz")
    assert data.units["time"] == "s"
    assert data.time[0, 3] == pytest.approx(0.3)
    assert data.properties["mass"].tolist() == [[1.0, 2.0, 3.0]] * 2


def test_broken_files_and_options_say_what_they_want(tmp_path):
    position, time = spiral()
    np.savez(tmp_path / "whole.npz", position=position, time=time)
    (tmp_path / "half.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:900])
    np.savez(tmp_path / "empty.npz", other=time)
    np.savez(tmp_path / "timeless.npz", position=position)
    for name, words in [("half", "not a whole"), ("empty", "'position'"), ("timeless", "dt=")]:
        with pytest.raises(ValueError, match=words):
            load_trajectories(tmp_path / f"{name}.npz")
    with pytest.raises(ValueError, match=r"'\.pkl'.*\.npz, \.csv"):
        load_trajectories(tmp_path / "a.pkl")
    with pytest.raises(FileNotFoundError, match="not there"):
        load_trajectories(tmp_path / "b.npz")
    with pytest.raises(TypeError, match=r"'step'.*dt"):
        load_trajectories(tmp_path / "whole.npz", step=1)


def long_form(position, time, separator=","):
    rows = [separator.join(["run", "t", "body", "x", "y", "mass", "kind"])]
    for s, frames in enumerate(position):
        for t, frame in enumerate(frames):
            rows += [
                separator.join(map(str, (s, time[t], "abc"[n], *place, n + 1, "big" if n else "small")))
                for n, place in enumerate(frame)
            ]
    return rows


@pytest.mark.parametrize("separator", [",", ";", "\t", "  "])
def test_csv_in_any_order_gives_the_arrays(tmp_path, separator):
    position, time = spiral()
    rows = long_form(position, time, separator)
    shuffled = [rows[0], rows[1], rows[2], rows[3], *np.random.default_rng(0).permutation(rows[4:])]
    (tmp_path / "a.csv").write_text("\n".join(shuffled) + "\n\n")
    data = load_trajectories(tmp_path / "a.csv", units={"time": "s"})
    np.testing.assert_array_equal(data.position, position)
    np.testing.assert_array_equal(data.time[0], time)
    assert data.properties["mass"].tolist() == [[1, 2, 3]] * 2
    assert data.properties["kind"][0].tolist() == ["small", "big", "big"]


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda r: r.__setitem__(9, r[9] + "x"), "'kind'.*row 10"),
        (lambda r: r.__setitem__(9, "0,0.1,c,five,1,3,big"), "row 10.*'x'.*'five'"),
        (lambda r: r.insert(9, r[8]), "rows 9 and 10.*'b'"),
        (lambda r: r.pop(8), "'b' has no row at time"),
        (lambda r: r.__setitem__(0, r[0].replace("body", "what")), "'particle'"),
        (lambda r: r.__delitem__(slice(-3, None)), "'1' has 39 times"),
        (lambda r: r.__setitem__(9, r[9] + ",1,2,3"), "not a table"),
    ],
)  # fmt: skip
def test_csv_errors_name_the_row(tmp_path, edit, words):
    rows = long_form(*spiral())
    edit(rows)
    (tmp_path / "a.csv").write_text("\n".join(rows))
    with pytest.raises(ValueError, match=words):
        load_trajectories(tmp_path / "a.csv")


def ase_frames(times=9, skew=0.0):
    from ase import Atoms

    rng = np.random.default_rng(1)
    cell = np.diag([10.0, 11.0, 12.0])
    cell[1, 0] = skew
    start = rng.uniform(0, 10, (4, 3))
    for t in range(times):
        atoms = Atoms("NaClNaCl", positions=start + 0.1 * t, cell=cell, pbc=True, info={"time": 2.0 * t})
        atoms.set_velocities(np.full((4, 3), 0.1 / 2 / 0.09822694788464063))  # 0.1 Å per 2 fs, in ASE's units
        yield atoms


def test_extxyz_velocities_agree_with_the_motion(tmp_path):
    import ase.io

    ase.io.write(tmp_path / "a.extxyz", list(ase_frames()))
    data = load_trajectories(tmp_path / "a.extxyz", properties=("species", "mass"))
    moved = np.diff(data.position, axis=1) / np.diff(data.time)[..., None, None]
    np.testing.assert_allclose(data.velocity[:, 1:], moved, rtol=1e-6)
    np.testing.assert_array_equal(data.box, [10, 11, 12])
    assert data.names == ("Na0", "Cl1", "Na2", "Cl3")
    assert data.units["velocity"] == "angstrom/fs"


def test_skewed_cells_missing_times_and_other_files_are_refused(tmp_path):
    import ase.io

    ase.io.write(tmp_path / "skew.extxyz", list(ase_frames(skew=1.0)))
    with pytest.raises(ValueError, match="orthorhombic"):
        load_trajectories(tmp_path / "skew.extxyz")
    frames = list(ase_frames())
    frames[3].info.clear()
    ase.io.write(tmp_path / "timeless.extxyz", frames)
    with pytest.raises(ValueError, match=r"frame 3.*dt="):
        load_trajectories(tmp_path / "timeless.extxyz")
    assert load_trajectories(tmp_path / "timeless.extxyz", dt=0.5).time[0, 2] == 1.0
    (tmp_path / "junk.xyz").write_text("nonsense\n")
    with pytest.raises(ValueError, match="ASE cannot read"):
        load_trajectories(tmp_path / "junk.xyz")


def test_accelerations_are_estimated_once_with_their_error():
    time = np.linspace(0, 6, 400)
    position = np.stack(
        [np.stack([np.cos(time), np.sin(time)], -1), np.stack([3 + 0 * time, time**2], -1)], 1
    )
    estimated = Trajectories(position, time).with_accelerations()
    circle = estimated.acceleration[0, :, 0] + estimated.position[0, :, 0]
    assert np.abs(circle).max() < 1e-8
    np.testing.assert_allclose(estimated.acceleration[0, :, 1], [[0, 2.0]] * estimated.shape[1], atol=1e-8)
    assert estimated.acceleration_error.max() < 1e-8
    assert estimated.velocity is not None
    assert estimated.with_accelerations() is estimated
