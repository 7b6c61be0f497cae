"""From a model and held-out records to rows, scores with intervals, and comparisons."""
