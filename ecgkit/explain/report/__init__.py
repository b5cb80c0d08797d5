"""What a reader sees of one explained ECG: what changed, in words, and a page of its own."""
