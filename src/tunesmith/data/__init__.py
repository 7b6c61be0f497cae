"""Records and what becomes of them until they are a batch: sources, split, leaks, order, packing."""
