"""The loop and what stands around it: loss, optimizer, schedule, stages, checkpoints, observers."""
