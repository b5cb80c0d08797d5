"""What a network uses, found by changing one thing at a time in the beats of ECGs, and tested on patients."""
