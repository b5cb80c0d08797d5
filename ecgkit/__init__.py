"""ecgkit: fewer labels, clearer reasons. Machine learning on 12-lead ECGs as a reproducible book."""

__version__ = "0.1.0"
