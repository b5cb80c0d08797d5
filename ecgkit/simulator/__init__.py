"""A heart as a current dipole seen by twelve leads: ECGs whose diseases, boundaries and intervals are known."""

from ecgkit.simulator.catalogue import CLASSES, EDIT_NAMES, EDITS, NORMAL
from ecgkit.simulator.cohort import Cohort
from ecgkit.simulator.waves import MARKS, WAVES, Intervals, Waves

__all__ = ["CLASSES", "EDITS", "EDIT_NAMES", "MARKS", "NORMAL", "WAVES", "Cohort", "Intervals", "Waves"]
