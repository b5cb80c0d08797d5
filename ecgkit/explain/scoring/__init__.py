"""The battery: what shows that an explanation is meaningful; arrays in, one value per ECG out.

Signals and maps are `(n, 12, sig_len)`, millivolts and any unit. A value that an ECG does not determine is nan, and so
is that of an ECG whose map is not finite: its explainer gave none. Values over a cohort, and their intervals over
patients, are `ecgkit.evaluation`'s.
"""
