"""Style coordinates: a generator of beats whose coordinates a classifier's answer hangs on (StylEx)."""
