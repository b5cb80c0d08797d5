"""A browser for the page of the reading study."""

from tests.explain.report.conftest import browse

__all__ = ["browse"]
