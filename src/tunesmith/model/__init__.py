"""Models: families, loading and precision, parts, packed attention, what is trainable."""
