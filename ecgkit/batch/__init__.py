"""The batch: notebooks run with a profile's parameters, their pages built into a book, the book published."""

import sys

# For one second jsonschema, which nbformat imports, would compile a grammar of web addresses; it does without where the
# module is missing, and no notebook has an address to check.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
