"""From examples to batches: sampler, packer, shared prefixes, decode workers, collator, positions and segments."""
