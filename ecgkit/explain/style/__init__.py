"""Style coordinates: a generator of beats whose coordinates a classifier's answer hangs on (StylEx)."""

from ecgkit.explain.style.explainer import StyleExplainer

__all__ = ["StyleExplainer"]
