"""What would this ECG look like if the classifier said something else: a generator trained against a discriminator."""
