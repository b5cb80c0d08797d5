"""What an ECG measures: its beats, intervals and amplitudes in clinical terms, and the rules that they meet."""

from ecgkit.physiology.columns import COLUMNS
from ecgkit.physiology.delineate import delineate
from ecgkit.physiology.measure import Measurements, measure
from ecgkit.physiology.median_beat import MedianBeats, median_beats
from ecgkit.physiology.quality import lead_faults
from ecgkit.physiology.repeat import repeatability
from ecgkit.physiology.rules import judge, load_rules
from ecgkit.physiology.usable import Usable, unswapped, usable
from ecgkit.physiology.verdicts import rules_table

__all__ = ["COLUMNS", "Measurements", "MedianBeats", "Usable", "delineate", "judge", "lead_faults", "load_rules",
           "measure", "median_beats", "repeatability", "rules_table", "unswapped", "usable"]
