"""Whole networks, one file each."""

from sciml.models.collaborative_filter import CollaborativeFilter
from sciml.models.complex_network import ComplexNetwork
from sciml.models.contact_network import ContactNetwork
from sciml.models.dmpnn import DMPNN
from sciml.models.drug_target import DrugTarget, PairGraphs
from sciml.models.field_network import FieldNetwork
from sciml.models.gin import GIN
from sciml.models.graph_transformer import GraphTransformer
from sciml.models.image_network import ImageNetwork
from sciml.models.interaction_network import InteractionNetwork
from sciml.models.memory_network import MemoryNetwork
from sciml.models.molecule_encoder import MoleculeEncoder
from sciml.models.painn import PaiNN
from sciml.models.potential import Potential, Prediction
from sciml.models.property_predictor import PropertyPredictor
from sciml.models.residue_network import ResidueNetwork
from sciml.models.residue_predictor import ResiduePredictor
from sciml.models.schnet import SchNet
from sciml.models.sequence_encoder import SequenceEncoder

__all__ = [
    "DMPNN",
    "GIN",
    "CollaborativeFilter",
    "ComplexNetwork",
    "ContactNetwork",
    "DrugTarget",
    "FieldNetwork",
    "GraphTransformer",
    "ImageNetwork",
    "InteractionNetwork",
    "MemoryNetwork",
    "MoleculeEncoder",
    "PaiNN",
    "PairGraphs",
    "Potential",
    "Prediction",
    "PropertyPredictor",
    "ResidueNetwork",
    "ResiduePredictor",
    "SchNet",
    "SequenceEncoder",
]
