"""A law from contacts: which residues attract, and which hidden property of each tells it.

graphs ─► `count_contacts` ─► `contact_energies` ─► `distill_contacts` ─► `ContactLaw`, compared, reported
"""

from sciml.distill.contacts.compare import Comparison, compare
from sciml.distill.contacts.counts import ContactCounts, TooFewContactsError, count_contacts
from sciml.distill.contacts.energies import ContactEnergies, contact_energies
from sciml.distill.contacts.pipeline import ContactLaw, distill_contacts

__all__ = [
    "Comparison",
    "ContactCounts",
    "ContactEnergies",
    "ContactLaw",
    "TooFewContactsError",
    "compare",
    "contact_energies",
    "count_contacts",
    "distill_contacts",
]
