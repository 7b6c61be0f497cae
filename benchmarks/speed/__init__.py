"""Tunesmith's speed and memory beside its peers': every engine in a process of its own, on the same batches.

    python -m benchmarks.speed [--workloads short-text ...] [--methods lora ...] [--engines tunesmith trl ...] [--small]

Read it in this order: `workloads` (what is trained on), `shapes` and `weights` (the models), `methods`, `engines/` (one
file an engine), `one` (one engine's process), `clock` (what is measured), `table`, and `__main__`, which runs them all.
"""
