"""The audit of an experiment's data: lengths of examples, trained tokens, pictures."""
