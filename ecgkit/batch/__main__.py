"""`python -m ecgkit.batch`: the batch without the rest of the command line; what the Makefile and Snakefile call."""

from __future__ import annotations

from ecgkit.batch.commands import main

if __name__ == "__main__":
    main()
