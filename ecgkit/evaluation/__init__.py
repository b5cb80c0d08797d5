"""How good a classifier is: arrays in, tables out; intervals by resampling patients.

Every metric is a function ``metric(y_true, y_score, weights=None)`` of arrays `(n, n_labels)`, truth of 0 and 1 and
scores. Without weights it returns one value per label, `(n_labels,)`. With `weights` `(n, n_boot)`, how often each ECG
counts in each resample, it returns `(n_boot, n_labels)`; that is all that `bootstrap` asks of a metric.

A value that a label's ECGs do not determine is nan, and means over labels (`macro`) are over the others. `patient_id`,
one per ECG, is what intervals resample; `n_boot` and `seed` are the number of resamples and their seed.
"""

from ecgkit.evaluation.probabilities import best_f1_thresholds, brier, confusion_of_labels, ece, f1, reliability
from ecgkit.evaluation.ranking import auroc, average_precision, roc_band, roc_curve
from ecgkit.evaluation.resampling import Bootstrap, bootstrap, macro, means, paired_p, resample_patients
from ecgkit.evaluation.tables import (
    paired_difference,
    printed,
    printed_difference,
    score_table,
    seeds_table,
    subgroup_table,
    with_ends,
)

__all__ = ["Bootstrap", "auroc", "average_precision", "best_f1_thresholds", "bootstrap", "brier",
           "confusion_of_labels", "ece", "f1", "macro", "means", "paired_difference", "paired_p",
           "printed", "printed_difference", "reliability", "resample_patients", "roc_band", "roc_curve",
           "score_table", "seeds_table", "subgroup_table", "with_ends"]
