"""`python -m ecgkit.batch`: the batch without the rest of the command line; what the Makefile and Snakefile call."""

import sys

from ecgkit.batch.commands import app
from ecgkit.errors import EcgkitError

if __name__ == "__main__":
    try:
        app()
    except EcgkitError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
