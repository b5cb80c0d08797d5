"""Explanation of ECG classifiers: adversarial counterfactuals, attributions, and a battery that tests both.

>>> explainer = ecgkit.explain.load()                                 # the shipped one, with its classifier
>>> explainer(x, target={"MI": 0.05}).signals                         # the same ECGs without the infarction
"""

from ecgkit.explain.attribution.methods import METHODS, attribute, completeness_error
from ecgkit.explain.baselines import PGD, LatentAscent, NearestUnlikeNeighbour, Wachter
from ecgkit.explain.counterfactual.gan import CounterfactualGAN, load
from ecgkit.explain.discovery.carried import answers, carried
from ecgkit.explain.discovery.shape import Shapes
from ecgkit.explain.results import Change, Counterfactuals, Explainer

__all__ = ["METHODS", "PGD", "Change", "CounterfactualGAN", "Counterfactuals", "Explainer", "LatentAscent",
           "NearestUnlikeNeighbour", "Shapes", "Wachter", "answers", "attribute", "carried", "completeness_error",
           "load"]
