"""Random forests on binned features, kept as a few arrays, so that a file of them is small and nothing is unpickled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecgkit.errors import EcgkitError
from ecgkit.training.probe import Features, check_shapes

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier

#: A feature is cut into so many bins; a missing value has one of its own below them.
N_BINS = 128
#: Share of the features that each split chooses from: more than the usual square root, since many say the same.
TRIED = 0.2
#: A label of fewer of the ECGs is rare: its ECGs are drawn as often as all others together, so that each tree sees
#: them, and leaves hold at least so many ECGs, since those of a single one say yes or no where one should say perhaps.
RARE, LEAF = 0.05, 3
#: Leaves' shares are kept in steps of this.
_STEPS = 255
_LEAF = -1


@dataclass(frozen=True)
class Bins:
    """Where each feature is cut into bins of equal numbers of ECGs: `edges` `(n_features, N_BINS - 1)`, nan beyond."""

    edges: NDArray[np.float64]

    @classmethod
    def of(cls, features: Features) -> Bins:
        """Learn edges from features `(n, n_features)`, nan where missing; no label is needed."""
        edges = np.full((features.shape[1], N_BINS - 1), np.nan)
        shares = np.linspace(0, 1, N_BINS + 1)[1:-1]
        for row, column in zip(edges, features.T, strict=True):
            known = column[~np.isnan(column)]
            cuts = np.unique(np.quantile(known, shares)) if len(known) else known
            row[:len(cuts)] = cuts
        return cls(edges)

    def __call__(self, features: Features) -> NDArray[np.uint8]:
        """Bin features `(n, n_features)`: 0 where missing, from 1 on by size."""
        if features.shape[1] != len(self.edges):
            raise EcgkitError(f"{features.shape[1]} features, and the bins are of {len(self.edges)}")
        columns = [np.where(np.isnan(column), 0, 1 + np.searchsorted(row[~np.isnan(row)], column, side="right"))
                   for row, column in zip(self.edges, features.T, strict=True)]
        return np.stack(columns, axis=1).astype(np.uint8)


@dataclass(frozen=True)
class Forest:
    """Forests of equally many trees, one forest for each label; nodes of all trees follow each other, depth first.

    A node's `feature` is the one that it asks for, -1 for a leaf; bins up to its `threshold` go on to the next node,
    others `skip` so many nodes. A leaf's `threshold` is its share of ECGs with the label, of 255, and its `skip` says
    how many ECGs it was grown from. Trees begin at `roots`, `(n_labels, n_trees)`.
    """

    bins: Bins
    feature: NDArray[np.int16]
    threshold: NDArray[np.uint8]
    skip: NDArray[np.int32]
    roots: NDArray[np.int64]

    def __post_init__(self) -> None:
        inner, n = np.flatnonzero(self.feature != _LEAF), len(self.feature)
        ends = ((self.feature[inner], len(self.bins.edges)), (inner + self.skip[inner], n), (self.roots, n))
        if (self.skip < (self.feature != _LEAF)).any() or any((at < 0).any() or (at >= end).any() for at, end in ends):
            raise ValueError("a tree that goes round or leads nowhere")  # as in a damaged file: never to be walked

    def predict(self, features: Features) -> NDArray[np.float64]:
        """Probabilities `(n, n_labels)` of features `(n, n_features)`, nan where missing."""
        x = self.bins(features)
        return np.concatenate([self._predict(part) for part in np.array_split(x, -(-len(x) // 256) or 1)])

    def _predict(self, x: NDArray[np.uint8]) -> NDArray[np.float64]:
        node = np.broadcast_to(self.roots.ravel(), (len(x), self.roots.size)).copy()
        rows, trees = np.nonzero(self.feature[node] != _LEAF)
        while len(rows):
            at = node[rows, trees]
            right = x[rows, self.feature[at]] > self.threshold[at]
            node[rows, trees] = at = at + np.where(right, self.skip[at], 1)
            inside = self.feature[at] != _LEAF
            rows, trees = rows[inside], trees[inside]
        shares = self.threshold[node].reshape(len(x), *self.roots.shape)
        return shares.mean(axis=2) / _STEPS

    def trees(self) -> list[list[dict[str, NDArray[Any]]]]:
        """Each label's trees one by one, as arrays of their nodes, the root first.

        Bins of `feature` up to `threshold` go to node `left`, others to `right`, which are -1 in a leaf; `share` is the
        leaf's, and `n` how many ECGs the node was grown from. `EcgkitError` where the leaves do not tell.
        """
        leaf, at = self.feature == _LEAF, np.arange(len(self.feature))
        last = np.where(leaf, at, at + self.skip)
        while not leaf[last].all():
            last = last[last]  # of each branch the last node, a leaf
        roots, inner = self.roots.ravel(), at[~leaf]
        nested = (last[inner + 1] + 1 == inner + self.skip[inner]).all() and np.array_equal(
            np.append(roots, len(at)), np.append(0, last[roots] + 1))
        if not nested or (self.skip[leaf] < 1).any():
            raise EcgkitError("this forest's leaves do not tell how many ECGs they were grown from; fit it anew")
        grown = np.append(0, np.cumsum(np.where(leaf, self.skip, 0), dtype=np.int64))
        n = grown[last + 1] - grown[:-1]

        def tree(root: int) -> dict[str, NDArray[Any]]:
            here = slice(root, last[root] + 1)
            left, right = (np.where(leaf[here], -1, at[here] - root + step) for step in (1, self.skip[here]))
            return {"feature": self.feature[here], "threshold": self.threshold[here], "left": left, "right": right,
                    "share": self.threshold[here] / _STEPS, "n": n[here]}

        return [[tree(root) for root in label] for label in self.roots]


def random_forest(features: Features, labels: NDArray[np.uint8], *, seed: int, n_trees: int = 100,
                  bins: Bins | None = None) -> tuple[Forest, NDArray[np.float64]]:
    """Grow a random forest for each label (Breiman 2001), with trees that are grown to their ends.

    Parameters
    ----------
    features, labels : ndarray, shape (n, n_features) and (n, n_labels)
        Measurements, nan where missing, and labels, multi-hot.
    seed, n_trees : int
        Trees of each label.
    bins : Bins, optional
        Better of all ECGs, labelled or not; by default of `features`.

    Returns
    -------
    Forest
    ndarray, shape (n, n_labels)
        Out-of-bag probabilities: each ECG as the trees see it that were grown without it; nan where there is no such
        tree, and the label's share where there is only one class.

    Raises
    ------
    EcgkitError
        Where shapes do not fit.
    """
    from sklearn.ensemble import RandomForestClassifier  # a second, which only growing needs

    check_shapes(features, labels, "measurements")
    bins = bins or Bins.of(features)
    x, y = bins(features), np.asarray(labels, dtype=bool)
    out_of_bag = np.tile(y.mean(axis=0), (len(y), 1))
    trees = []
    for k, truth in enumerate(y.T):
        if truth.all() or not truth.any():
            trees.append([_leaf(float(truth[0]), len(y))] * n_trees)
            continue
        rare = {"class_weight": "balanced", "min_samples_leaf": LEAF} if truth.mean() < RARE else {}
        grown = RandomForestClassifier(n_trees, max_features=TRIED, random_state=seed, **rare).fit(x, truth)
        trees.append([_arrays(tree.tree_) for tree in grown.estimators_])
        out_of_bag[:, k] = _out_of_bag(grown, x)
    flat = [tree for forest in trees for tree in forest]
    sizes = np.array([len(feature) for feature, _, _ in flat])
    feature, threshold, skip = (np.concatenate(part) for part in zip(*flat, strict=True))
    return Forest(bins, feature, threshold, skip, (np.cumsum(sizes) - sizes).reshape(len(trees), n_trees)), out_of_bag


_Tree = tuple[NDArray[np.int16], NDArray[np.uint8], NDArray[np.int32]]


def _leaf(share: float, n: int) -> _Tree:
    return (np.array([_LEAF], dtype=np.int16), np.array([round(_STEPS * share)], dtype=np.uint8),
            np.array([n], dtype=np.int32))


def _arrays(tree: object) -> _Tree:
    """Nodes of one of scikit-learn's trees, whose left child is always the next node."""
    left, right, feature, threshold, value, n = (
        np.asarray(getattr(tree, name))
        for name in ("children_left", "children_right", "feature", "threshold", "value", "n_node_samples"))
    leaf = left == -1
    assert (left[~leaf] == np.flatnonzero(~leaf) + 1).all()
    share = value[:, 0, 1] / value[:, 0].sum(axis=1)
    return (np.where(leaf, _LEAF, feature).astype(np.int16),
            np.where(leaf, np.round(_STEPS * share), np.floor(threshold)).astype(np.uint8),
            np.where(leaf, n, right - np.arange(len(left))).astype(np.int32))


def _out_of_bag(grown: RandomForestClassifier, x: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean over the trees that did not draw an ECG; nan where all did."""
    total, count = np.zeros(len(x)), np.zeros(len(x))
    for tree, drawn in zip(grown.estimators_, grown.estimators_samples_, strict=True):
        rest = np.ones(len(x), dtype=bool)
        rest[drawn] = False
        if rest.any():
            total[rest] += tree.predict_proba(x[rest])[:, 1]
            count += rest
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
