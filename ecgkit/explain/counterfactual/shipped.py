"""The explainer that comes with the package, ready to be asked."""

from __future__ import annotations

from pathlib import Path

from ecgkit.errors import EcgkitError
from ecgkit.explain.counterfactual.gan import CounterfactualGAN
from ecgkit.models.weights import load_classifier, shipped_explainers

#: Explains the classifier of the same name.
DEFAULT = "ptbxl-superclass"


def load(path_or_name: str | Path = DEFAULT, classifier: str | Path | None = None) -> CounterfactualGAN:
    """Give a trained explainer with its classifier.

    Parameters
    ----------
    path_or_name : path
        The name of a shipped explainer, or a file of `CounterfactualGAN.save`.
    classifier : path, optional
        The classifier that it explains: a file, or the name of a shipped one; by default the one of the same name.

    Returns
    -------
    CounterfactualGAN
        Call it with ECGs ``(n, 12, sig_len)`` in mV at its `fs` and ``target={"MI": 0.05}``.

    Raises
    ------
    EcgkitError
        Where there is no such file, or it explains another classifier.
    """
    if classifier is None:
        known = shipped_explainers()
        if str(path_or_name) not in known:
            remedy = "give also the classifier that it explains" if Path(path_or_name).is_file() else \
                f"no such explainer is shipped (there are {', '.join(known) or 'none'}), and there is no such file"
            raise EcgkitError(f"{path_or_name}: {remedy}")
        classifier = path_or_name
    return CounterfactualGAN.restored(path_or_name, load_classifier(classifier))
