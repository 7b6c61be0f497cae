#!/usr/bin/env bash
# Does every way of training learn? A small vision-language model learns from nothing where a digit is, and is then
# adapted to other pictures in the four ways of the recipe nutrition-boxes.
#
#   benchmarks/digits.sh [qwen2_vl | qwen2_5_vl | qwen3_vl]
#
# Needs a GPU, scikit-learn and the extras vision and quant. Prints a table of five rows.
set -euo pipefail
cd "$(dirname "$0")/.."

python3 benchmarks/digits/make_model.py runs/digits-model "${1:-qwen2_vl}"
tunesmith train benchmarks/digits/see.yaml
# They are small: one GPU has room for all four at once.
for variant in llm-only vision-only two-stage joint; do
  tunesmith run benchmarks/digits/adapt.yaml --variant "$variant" > "runs/digits-$variant.log" 2>&1 &
done
wait
tunesmith compare runs/digits-adapt
