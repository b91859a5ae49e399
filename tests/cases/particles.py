"""Layers and models on particles."""

from contract import Case

from cases.examples import FEW, FLAT, MOVING, Attention, WeightedConvolution
from sciml.models.interaction_network import InteractionNetwork
from sciml.nn.free_force import FreeForce
from sciml.nn.interaction import FormulaScalar, PairScalar, RadialForce

newton = lambda r, m_i, m_j, G: -G * m_i * m_j / r**2

CASES = [
    Case("example with cutoff and fused path", WeightedConvolution, FEW),
    Case("example with attention", Attention, FEW),
    Case("radial force, logarithmic", lambda: RadialForce(PairScalar(["mass"], logarithmic=["mass"])), FEW),
    Case("radial force, linear", lambda: RadialForce(PairScalar(["charge"], output="linear")), FLAT),
    Case("radial force, no third law", lambda: RadialForce(PairScalar(["mass"], symmetric=False)), FEW),
    Case("radial force by formula", lambda: RadialForce(FormulaScalar(newton, {"G": 2.0}, ["mass"])), FEW),
    Case("radial force, signed", lambda: RadialForce(PairScalar(["charge"], output="signed")), FLAT),
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
    Case("interaction network, learned update", lambda: InteractionNetwork(update="learned"), FEW),
    Case(
        "interaction network, free messages",
        lambda: InteractionNetwork(2, given=["charge"], message="free", update="force"),
        FLAT,
    ),
]
