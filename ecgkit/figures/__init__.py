"""Every picture of the book: data in, a matplotlib `Figure` out; no global state is read or left behind.

Figures are not pyplot's: a notebook shows the one that a cell ends with (after ``%matplotlib inline``), and shows it
once; a script saves it with `Figure.savefig`, and nothing is left to close.

Everywhere an ECG is `(12, sig_len)` in millivolts with its leads in the order of `ecgkit.leads.LEADS`, `fs` is its
sampling rate in Hz, labels `(n, n_labels)` are 0 and 1, scores `(n, n_labels)` are probabilities, `label_names` has a
name for each label, `title` is written above the picture, and an `EcgkitError` says which shapes or names do not fit.
"""

from ecgkit.figures.annotated import annotated_ecg
from ecgkit.figures.attribution import attribution_map, attribution_on_ecg, beeswarm, quac_curves, waterfall
from ecgkit.figures.augmentations import augmentation_gallery
from ecgkit.figures.cohort import age_sex, confusion_map, cooccurrence_map, embedding_map
from ecgkit.figures.counterfactual import (
    before_after,
    before_after_gallery,
    changed_beats,
    edit_map,
    gan_history,
    planted_hits,
    sweep,
)
from ecgkit.figures.curves import (
    asked_measured,
    interval_plot,
    label_efficiency,
    pretraining_curves,
    reliability_diagram,
    roc_curves,
    training_curve,
)
from ecgkit.figures.ecg_paper import gallery, plot_ecg
from ecgkit.figures.style import PALETTE, STYLE, styled

__all__ = [
    "PALETTE", "STYLE", "age_sex", "annotated_ecg", "asked_measured", "attribution_map", "attribution_on_ecg",
    "augmentation_gallery", "beeswarm", "before_after", "before_after_gallery", "changed_beats", "confusion_map",
    "cooccurrence_map", "edit_map", "embedding_map", "gallery", "gan_history", "interval_plot", "label_efficiency",
    "planted_hits", "plot_ecg", "pretraining_curves", "quac_curves", "reliability_diagram", "roc_curves", "styled",
    "sweep", "training_curve", "waterfall",
]
