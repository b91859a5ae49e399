"""Whole networks, one file each."""

from sciml.models.atom_encoder import AtomEncoder
from sciml.models.collaborative_filter import CollaborativeFilter
from sciml.models.complex_network import ComplexNetwork
from sciml.models.contact_network import ContactNetwork
from sciml.models.denoiser import Denoiser
from sciml.models.dmpnn import DMPNN
from sciml.models.drug_target import DrugTarget, PairGraphs
from sciml.models.egnn import EGNN
from sciml.models.field_network import FieldNetwork
from sciml.models.gin import GIN
from sciml.models.graph_transformer import GraphTransformer
from sciml.models.image_network import ImageNetwork
from sciml.models.interaction_network import InteractionNetwork
from sciml.models.mace import MACE
from sciml.models.memory_network import MemoryNetwork
from sciml.models.molecule_encoder import MoleculeEncoder
from sciml.models.molecule_transformer import MoleculeTransformer
from sciml.models.nequip import NequIP
from sciml.models.painn import PaiNN
from sciml.models.potential import Potential, Prediction
from sciml.models.potential_ensemble import PotentialEnsemble, Spread
from sciml.models.property_predictor import PropertyPredictor
from sciml.models.residue_network import ResidueNetwork
from sciml.models.residue_predictor import ResiduePredictor
from sciml.models.schnet import SchNet
from sciml.models.sequence_encoder import SequenceEncoder
from sciml.models.structure_predictor import StructurePredictor

__all__ = [
    "DMPNN",
    "EGNN",
    "GIN",
    "MACE",
    "AtomEncoder",
    "CollaborativeFilter",
    "ComplexNetwork",
    "ContactNetwork",
    "Denoiser",
    "DrugTarget",
    "FieldNetwork",
    "GraphTransformer",
    "ImageNetwork",
    "InteractionNetwork",
    "MemoryNetwork",
    "MoleculeEncoder",
    "MoleculeTransformer",
    "NequIP",
    "PaiNN",
    "PairGraphs",
    "Potential",
    "PotentialEnsemble",
    "Prediction",
    "PropertyPredictor",
    "ResidueNetwork",
    "ResiduePredictor",
    "SchNet",
    "SequenceEncoder",
    "Spread",
    "StructurePredictor",
]
