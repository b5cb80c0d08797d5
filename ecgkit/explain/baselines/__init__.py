"""Counterfactual explainers that others proposed, beside which ours is measured."""

from ecgkit.explain.baselines.gradient import PGD, Wachter
from ecgkit.explain.baselines.neighbour import NearestUnlikeNeighbour
from ecgkit.explain.baselines.vae import LatentAscent, train_autoencoder

__all__ = ["PGD", "LatentAscent", "NearestUnlikeNeighbour", "Wachter", "train_autoencoder"]
