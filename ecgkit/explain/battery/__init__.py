"""The battery: tests that tell explanations from attacks; arrays in, numbers out.

What its functions take and give, where they do not say otherwise:

- `x`, `before`, `after`, `replacement`: ECGs in mV, float32 of shape `(n, 12, sig_len)`, at `fs` Hz.
- `maps`: attributions to a label, or edits, of the same shape; `mask`: bool of that shape; `cells`: int of that shape,
  the number of the cell (lead × segment) that each sample belongs to, and -1 for none.
- `signed`: importance is the value of a map, and not its absolute value.
- `classifier`: a Module from `(batch, 12, sig_len)` to logits `(batch, n_labels)`; `label` or `place` is a column.
- `up`: whether the label was to appear (True) or to vanish.
- One number for each ECG, `(n,)`, is returned: nan where it is not determined.
- Arrays that do not fit each other raise an `EcgkitError` that names their shapes.
"""
