"""A heart as a current dipole seen by twelve leads: ECGs whose diseases, boundaries and intervals are known."""

from ecgkit.simulator.catalogue import ALL_NAMES, CLASSES, EDIT_NAMES, EDITS, FINER_EDITS, FINER_NAMES, NORMAL
from ecgkit.simulator.cohort import Cohort
from ecgkit.simulator.planted import PLANTS
from ecgkit.simulator.waves import MARKS, WAVES, Intervals, Waves

__all__ = ["ALL_NAMES", "CLASSES", "EDITS", "EDIT_NAMES", "FINER_EDITS", "FINER_NAMES", "MARKS", "NORMAL", "PLANTS",
           "WAVES", "Cohort", "Intervals", "Waves"]
