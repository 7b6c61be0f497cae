"""Tunesmith's speed and memory beside its peers': every engine in a process of its own, on the same batches.

    python -m benchmarks.speed [--workloads short-text ...] [--methods lora ...] [--engines tunesmith trl ...] [--small]
    python -m benchmarks.speed --goals --out speed [--seconds 590 --continue]

Read it in this order: `workloads` (what is trained on), `shapes` and `weights` (the models), `methods`, `engines/` (one
file an engine), `one` (one engine's process), `clock` (what is measured), `process` (that process from outside), `runs`
(jobs one after the other), `goals` (what is run together), `fitting` (settings in little memory), `compare`,
`table`, `markdown`, and `__main__`.
"""
