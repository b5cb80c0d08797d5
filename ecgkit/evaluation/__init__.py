"""How good a classifier is: arrays in, tables out; intervals by resampling patients.

Every metric is a function ``metric(y_true, y_score, weights=None)`` of arrays `(n, n_labels)`. Without weights it
returns one value per label, `(n_labels,)`. With `weights` `(n, n_boot)`, how often each ECG counts in each resample,
it returns `(n_boot, n_labels)`; that is all that `bootstrap` asks of a metric.

A value that a label's ECGs do not determine is nan, and means over labels (`macro`) are over the others.
"""

from ecgkit.evaluation.agreement import agreement_table, printed_agreement
from ecgkit.evaluation.calibration import brier, ece, reliability
from ecgkit.evaluation.decisions import best_f1_thresholds, confusion_of_labels, f1
from ecgkit.evaluation.delineation import Matches, delineation_summary, delineation_table, match, printed_delineation
from ecgkit.evaluation.efficiency import (
    Curve,
    Reading,
    efficiency_table,
    label_curve,
    labels_needed,
    labels_saved,
    labels_saved_table,
    printed_efficiency,
)
from ecgkit.evaluation.ranking import auroc, average_precision, roc_band, roc_curve
from ecgkit.evaluation.repeatability import limits_of_agreement, printed_limits
from ecgkit.evaluation.resampling import Bootstrap, bootstrap, macro, paired_p, resample_patients
from ecgkit.evaluation.tables import (
    paired_difference,
    printed,
    printed_difference,
    score_table,
    seeds_table,
    subgroup_table,
)

__all__ = [
    "Bootstrap", "Curve", "Matches", "Reading", "agreement_table", "auroc", "average_precision", "best_f1_thresholds",
    "bootstrap", "brier", "confusion_of_labels", "delineation_summary", "delineation_table", "ece", "efficiency_table",
    "f1", "label_curve", "labels_needed", "labels_saved", "labels_saved_table", "limits_of_agreement", "macro", "match",
    "paired_difference", "paired_p", "printed", "printed_agreement", "printed_delineation", "printed_difference",
    "printed_efficiency", "printed_limits", "reliability", "resample_patients", "roc_band", "roc_curve", "score_table",
    "seeds_table", "subgroup_table",
]
