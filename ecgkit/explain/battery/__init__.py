"""The battery: tests that tell explanations from attacks; arrays in, numbers out."""
