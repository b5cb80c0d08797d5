"""`python -m ecgkit.cli` is `ecgkit`."""

from ecgkit.cli import main

main()
