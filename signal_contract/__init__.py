"""What publisher, operator and agent agree on: the signal, its subject, its signature, who may do what.

Pure, but for `link` (opens connections) and the `cli` package (renders answers).
"""

__version__ = "0.1.0"
