"""Layers and models on particles."""

from contract import Case

from cases.examples import FEW, FLAT, FLOWING, MOVING, REMEMBERED, Attention, WeightedConvolution
from sciml.models.interaction_network import InteractionNetwork
from sciml.models.memory_network import MemoryNetwork
from sciml.nn.free_force import FreeForce
from sciml.nn.interaction import FormulaScalar, PairScalar, RadialForce
from sciml.nn.potential_scalar import PotentialScalar
from sciml.nn.vector_force import VectorForce

newton = lambda r, m_i, m_j, G: -G * m_i * m_j / r**2


def along(dim, *vectors, third_law=True):
    """Forces along vectors, each scalar of the distance and of the velocity in two parts."""
    scalar = lambda: PairScalar(
        ["mass"], invariants=["r", "w_r", "w_t"], symmetric=third_law, output="signed", logarithmic=["mass"]
    )
    return lambda: VectorForce(dim, {name: scalar() for name in vectors})


CASES = [
    Case("example with cutoff and fused path", WeightedConvolution, FEW),
    Case("example with attention", Attention, FEW),
    Case("radial force, logarithmic", lambda: RadialForce(PairScalar(["mass"], logarithmic=["mass"])), FEW),
    Case("radial force, linear", lambda: RadialForce(PairScalar(["charge"], output="linear")), FLAT),
    Case("radial force, no third law", lambda: RadialForce(PairScalar(["mass"], symmetric=False)), FEW),
    Case("radial force by formula", lambda: RadialForce(FormulaScalar(newton, {"G": 2.0}, ["mass"])), FEW),
    Case("radial force, signed", lambda: RadialForce(PairScalar(["charge"], output="signed")), FLAT),
    Case("radial force of a potential", lambda: RadialForce(PotentialScalar(["mass"], output="signed")), FEW),
    Case(
        "radial force of a potential, linear",
        lambda: RadialForce(PotentialScalar(["charge"], output="linear", symmetric=False)),
        FLAT,
    ),
    Case("vector force", along(3, "r_hat", "w_vec"), MOVING),
    Case(
        "vector force, plane of motion", along(3, "r_hat", "w_across", "r_cross_w", third_law=False), MOVING
    ),
    Case("vector force, 2D, turned", along(2, "r_hat", "r_turned"), FLOWING),
    Case("vector force, along an axis", along(3, "r_hat", "z_hat", third_law=False), MOVING),
    Case("free force", lambda: FreeForce(3, ["mass"]), FEW),
    Case("free force, many channels", lambda: FreeForce(2, ["mass"], channels=7, regularizer="l1"), FLAT),
    Case("interaction network", lambda: InteractionNetwork(given=["mass"]), FEW),
    Case("interaction network, 2D", lambda: InteractionNetwork(2, given=["mass"], output="linear"), FLAT),
    Case(
        "interaction network, hidden masses",
        lambda: InteractionNetwork(particles=4, hidden=["mass"], train_hidden=True),
        FEW,
    ),
    Case("interaction network, drag", lambda: InteractionNetwork(given=["mass"], own_force=True), MOVING),
    Case(
        "interaction network, free messages and drag",
        lambda: InteractionNetwork(given=["mass"], message="free", message_size=5, own_force=True),
        MOVING,
    ),
    Case(
        "interaction network, potential", lambda: InteractionNetwork(given=["mass"], message="potential"), FEW
    ),
    Case(
        "interaction network, vectors and a magnetic field in 2D",
        lambda: InteractionNetwork(
            2, given=["mass", "charge"], message="vectors", output="linear", own_force=["v_turned"]
        ),
        FLOWING,
    ),
    Case(
        "interaction network, fields",
        lambda: InteractionNetwork(given=["mass"], own_force=["v_vec", "v_cross_z", "e_z", "x_vec"]),
        MOVING,
    ),
    Case(
        "memory network",
        lambda: MemoryNetwork(
            2, times=3, given=["mass", "charge"], start="charge", reads=["mass", "v"], output="linear"
        ),
        REMEMBERED,
    ),
    Case("interaction network, learned update", lambda: InteractionNetwork(update="learned"), FEW),
    Case(
        "interaction network, free messages",
        lambda: InteractionNetwork(2, given=["charge"], message="free", update="force"),
        FLAT,
    ),
]
