"""A small experiment file that the tests of this room read and spoil."""

from __future__ import annotations

from pathlib import Path

RECIPE = """\
name: ag-news
model: {path: Qwen/Qwen2.5-7B-Instruct}
data:
  source: {kind: hub, path: fancyzhx/ag_news}
  split: {holdout: 7600, by: text, stratify: label, seed: 17}
task:
  kind: classify
  labels: [World, Sports, Business, Sci/Tech]
  prompt: "Classify the following news article:\\n\\n{text}"
  answer: json
stages:
  - name: adapt
    parts: {language: {kind: lora, rank: 16, alpha: 32}}
    epochs: 1
    batch: {num_examples: 32}
    optimizer: {learning_rate: 2e-4, schedule: cosine, warmup: 0.03}
evaluate: {every: 200 steps, max_validation_records: 1000, patience: 3}
variants:
  full:  {stages.0.parts.language: {kind: full}}
  lora:  {}
  qlora: {model.weights: nf4}
"""


def write(folder: Path, *changes: tuple[str, str], text: str = RECIPE) -> Path:
    """The recipe as a file, with texts replaced; a text that is not there is a mistake in the test."""
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path
