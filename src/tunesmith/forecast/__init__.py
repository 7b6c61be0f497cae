"""Before a run: the audit of lengths."""
