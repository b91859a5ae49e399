"""Pictures: what is drawn is what was given."""

import re
import sys
import threading
from html.parser import HTMLParser

import numpy as np
import pytest
import sympy

from sciml import plotting
from sciml.distill.evaluate import RolloutComparison
from sciml.distill.front import Candidate, Front
from sciml.distill.law import Constant, Law
from sciml.distill.record import MessageTable
from sciml.distill.refit import Estimate
from sciml.plotting.style import INK, moved_apart, name_of, new_figure, pretty_formula, pretty_unit

NAMES = ("sun", "earth", "moon", "$pluto$")


def drawn(ax):
    """Points of all lines that have any, as arrays [points, 2]."""
    return [line.get_xydata() for line in ax.lines if len(line.get_xdata())]


def legend_of(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.fixture
def law():
    expression = sympy.sympify("c*m_j/r**2")
    return Law(expression, "F", {"r": "AU", "m_j": ""}, "AU/day**2", {"c": Constant(-2.0)})


@pytest.fixture
def messages():
    """Messages of 30 frames between four particles: 0.1 % off the law, known to 1 % except to the last."""
    rng = np.random.default_rng(0)
    receiver, sender = (np.tile(ends, 30) for ends in np.nonzero(~np.eye(4, dtype=bool)))
    r, m_j = rng.uniform(1, 3, len(sender)), 10.0**-sender
    force = -2.0 * m_j / r**2 * 1.001
    lost = (receiver == 3) | (sender == 3)
    return MessageTable(
        variables={"r": r, "m_j": m_j},
        message=force[:, None],
        direction=np.zeros((len(r), 3)),
        sender=sender,
        receiver=receiver,
        frame=np.repeat(np.arange(30), 12),
        units={},
        scalar=force,
        error=np.where(lost, 3.0, 0.01) * np.abs(force),
    )


def rollout(particles=4, times=50):
    true = np.random.default_rng(1).normal(size=(times, particles, 3)).cumsum(0)
    predicted = true + 1e-3 * np.linspace(0, 1, times)[:, None, None] * np.arange(1, particles + 1)[:, None]
    names = (*NAMES, *(f"p{i}" for i in range(particles)))[:particles]
    return RolloutComparison(np.arange(float(times)), names, predicted, true, unit="nm", time_unit="ps")


# ------------------------------------------------------------------ laws


def test_front_draws_every_candidate_and_rings_the_chosen():
    losses = {1: 0.5, 5: 1e-3, 9: 0.0}
    front = Front.of([Candidate(sympy.Float(n), n, loss) for n, loss in losses.items()], rows=100)
    ax = plotting.front(front, front.candidates[1])
    steps, points, ring = drawn(ax)
    assert points[:, 0].tolist() == [1, 5, 9]
    assert points[:2, 1].tolist() == [0.5, 1e-3]
    assert 0 < points[2, 1] < 1e-20  # an exact formula still has a place
    assert ring.tolist() == [[5, 1e-3]]
    assert ax.get_yscale() == "log"
    assert np.array_equal(steps, points)


def test_empty_front_is_empty_axes():
    assert all(len(points) == 0 for points in drawn(plotting.front(Front((), 10))))


def test_messages_against_law_draws_each_pair_once(messages, law):
    known = messages.rows(messages.error < np.abs(messages.y))
    ax = plotting.messages_against_law(known, law, left_out=messages, names=NAMES)
    assert sorted(legend_of(ax)) == ["earth – moon", "not learned", "sun – earth", "sun – moon"]
    coloured = {line.get_label(): line.get_xydata() for line in ax.lines}
    assert len(coloured["sun – earth"]) == 60  # both directions, 30 frames
    ratio = coloured["sun – earth"][:, 1] / coloured["sun – earth"][:, 0]
    assert ratio == pytest.approx(1.001)
    _, residual = ax.figure.axes
    assert np.concatenate(drawn(residual))[:, 1] == pytest.approx(0.001)


def test_messages_are_thinned_evenly_and_pairs_beyond_eight_are_one(law):
    receiver, sender = (np.tile(ends, 20) for ends in np.nonzero(~np.eye(12, dtype=bool)))
    r, force = np.ones(len(sender)), -(10.0 ** -np.maximum(receiver, sender))
    table = MessageTable(
        {"r": r, "m_j": -force}, force[:, None], np.zeros((len(r), 3)), sender, receiver,
        np.zeros(len(r), int), {}, scalar=force,
    )  # fmt: skip
    ax = plotting.messages_against_law(table, law, most=500)
    assert "59 other pairs" in legend_of(ax)
    assert len(legend_of(ax)) == 8
    points = [p for line, p in zip(ax.lines, drawn(ax), strict=True) if line.get_marker() == "o"]
    assert sum(map(len, points)) == 500


def test_messages_into_given_axes(messages, law):
    ax = new_figure().subplots()
    assert plotting.messages_against_law(messages, law, ax) is ax
    assert len(ax.figure.axes) == 1


def test_hidden_properties_shows_promised_and_actual_error():
    estimates = {"sun": Estimate(1.0, 0.0), "earth": Estimate(2.0, 0.02), "$pluto$": Estimate(3.0, 2.4)}
    ax = plotting.hidden_properties(estimates, {"sun": 1.0, "earth": 1.9, "$pluto$": 3.0})
    ends = [bar.get_x() + bar.get_width() for bar in ax.patches]
    assert ends == pytest.approx([0.01, 0.8])
    assert drawn(ax)[0][0] == pytest.approx([2 / 1.9 - 1, 0])
    assert [t.get_text() for t in ax.texts] == ["not determined"]
    assert len(drawn(plotting.hidden_properties(estimates))) == 0


def test_signal_matrix_colours_what_was_learned(messages):
    ax = plotting.signal_matrix(messages, NAMES)
    cells = ax.collections[0].get_array().reshape(4, 4)
    learned = ~np.ma.getmaskarray(np.ma.masked_invalid(cells))
    expected = ~np.eye(4, dtype=bool)
    expected[3], expected[:, 3] = False, False
    assert np.array_equal(learned, expected)
    assert cells[0, 1] == pytest.approx(100)
    assert len(drawn(ax)[0]) == 6  # a dot for each force that was left out


def test_signal_matrix_needs_errors(messages):
    from dataclasses import replace

    with pytest.raises(ValueError, match="estimate_errors"):
        plotting.signal_matrix(replace(messages, error=None))


def test_held_out_errors_of_many_particles_shows_the_worst():
    error = np.arange(1.0, 101.0)
    names = [f"p{i}" for i in range(100)]
    ax = plotting.held_out_errors({"network": error, "law": error / 10}, names, most=10)
    network, law = drawn(ax)
    assert network[:, 0].tolist() == list(range(91, 101))
    assert law[:, 0] == pytest.approx(network[:, 0] / 10)
    assert [t.get_text() for t in ax.get_yticklabels()] == names[90:]


# ---------------------------------------------------------------- motion


def test_rollout_error_draws_distance_in_time():
    comparison = rollout()
    ax = plotting.rollout_error(comparison)
    lines = drawn(ax)
    assert len(lines) == 4
    assert lines[3][1:, 1] == pytest.approx(comparison.error[1:, 3])
    assert np.isnan(lines[3][0, 1])  # the start has no logarithm
    assert sorted(t.get_text() for t in ax.texts) == sorted([r"\$pluto\$", "sun", "earth", "moon"])
    assert "nm" in ax.get_ylabel()
    assert "ps" in ax.get_xlabel()


def test_rollout_error_names_the_worst_of_many():
    ax = plotting.rollout_error(rollout(particles=40))
    assert len(drawn(ax)) == 40
    assert len(ax.texts) == 12
    assert "p35" in {t.get_text() for t in ax.texts}
    assert "sun" not in {t.get_text() for t in ax.texts}


def test_rollout_that_blew_up_is_drawn_as_far_as_it_goes():
    comparison = rollout()
    comparison.predicted[20:, 1] = np.nan
    svg = plotting.svg(plotting.rollout_error(comparison), "error")
    assert "earth" in svg


def test_orbits_are_projected_on_the_plane():
    comparison = rollout()
    ax = plotting.orbits(comparison, plane=(0, 2))
    true, law, end = drawn(ax)[:3]
    assert np.array_equal(true, comparison.true[:, 0][:, [0, 2]])
    assert np.array_equal(law, comparison.predicted[:, 0][:, [0, 2]])
    assert np.array_equal(end, law[-1:])
    assert ax.get_ylabel() == "z [nm]"
    assert ax.get_aspect() == 1
    near = plotting.orbits(comparison, within=0.5)
    assert near.get_xlim() == (-0.5, 0.5)


def test_training_curve_reads_the_csv_of_a_run(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,step,train/loss,validation/relative_error\n0,1,0.5,\n1,2,0.1,0.2\n\n")
    ax = plotting.training_curve(path)
    loss, error = drawn(ax)
    assert loss.tolist() == [[0, 0.5], [1, 0.1]]
    assert error.tolist() == [[1, 0.2]]
    assert legend_of(ax) == ["train/loss", "validation/relative_error"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "no column 'epoch'.*a, b"),
        ("", "no column 'epoch'.*none"),
        ("epoch,loss\n", "no numbers yet"),
        ("epoch,loss\n0,1\n1,much\n", "line 3, column loss"),
    ],
)
def test_training_curve_says_what_is_wrong(tmp_path, text, message):
    path = tmp_path / "metrics.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        plotting.training_curve(path)


# ----------------------------------------------------------------- style


def test_svg_is_well_formed_with_text_and_replaceable_colours():
    ax = plotting.rollout_error(rollout())
    text = plotting.svg(ax, 'error of "a" & <b>')
    elements = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            elements.append((tag, dict(attrs)))

    Reader().feed(text)
    assert elements[0][1]["aria-label"] == 'error of "a" & <b>'
    assert "$pluto$" in text
    assert f"var(--ink, {INK})" in text
    assert "metadata" not in text
    identifiers = [a["id"] for _, a in elements if "id" in a]
    assert len(identifiers) == len(set(identifiers))
    other = plotting.svg(plotting.rollout_error(rollout(3)), "another")
    assert not set(re.findall(r'\bid="([^"]+)"', other)) & set(identifiers)


def test_pyplot_is_not_touched(messages, law):
    before = sys.modules.pop("matplotlib.pyplot", None)
    try:
        plotting.messages_against_law(messages, law)
        plotting.signal_matrix(messages)
        assert "matplotlib.pyplot" not in sys.modules
    finally:
        if before is not None:
            sys.modules["matplotlib.pyplot"] = before


def test_pictures_can_be_drawn_in_threads():
    done = []
    threads = [
        threading.Thread(target=lambda: done.append(len(drawn(plotting.orbits(rollout()))))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [12] * 4


def test_notebooks_show_figures_without_pyplot():
    assert plotting.orbits(rollout()).figure._repr_png_().startswith(b"\x89PNG")


def test_labels_are_moved_apart_in_order():
    moved = moved_apart(np.array([0.5, 0.51, 0.52, 1.3, 0.0]), 0.1)
    assert moved == pytest.approx([0.5, 0.6, 0.7, 1.0, 0.0])
    crowded = moved_apart(np.full(5, 0.99), 0.1)
    assert np.diff(crowded) == pytest.approx(np.full(4, 0.1))
    assert crowded.max() == 1.0


def test_long_names_keep_both_ends():
    label = name_of(["particle number 17 of the species B"], 0)
    assert len(label) == 14
    assert label.startswith("partic")
    assert label.endswith("cies B")
    assert name_of([], 3) == "3"


@pytest.mark.parametrize(
    ("unit", "shown"),
    [
        ("AU**3/day**2", "AU³/day²"),
        ("kg*m/s**2", "kg m/s²"),
        ("m**(1/2)", "m^(1/2)"),
        ("1/s", "1/s"),
        ("", ""),
    ],
)
def test_units_for_people(unit, shown):
    assert pretty_unit(unit) == shown


def test_formulas_for_people():
    assert pretty_formula(sympy.sympify("-c0*m_i/r**2")) == "−c0·m_i/r²"
    assert pretty_formula(sympy.sympify("r**1.5")) == "r^1.5"
