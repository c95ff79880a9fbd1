#!/usr/bin/env bash
# What recorded motion, real pairs and a teacher bring: bash benchmarks/training/ablation.sh MINUTES OUTPUT
#
# Eight students of the tier `nano` from fresh weights at once, by on_gpu.sh, on one GPU that they share: student-gated.toml as
# it is, without recorded motion (straight and bent paths in its place), without real pairs, and with the shipped `large`
# as the teacher; each with two seeds. Prints the last validation of each; TIER, and what on_gpu.sh takes, say otherwise.
# AT_ONCE=1 trains one after the other, for a processor's core: docs/student.md has what that gave, with the command.
set -euo pipefail
cd "$(dirname "$0")/../.."
minutes=$1 output=$2
tier=${TIER:-nano} recipe=edgedeblur/training/recipes/student-gated.toml
mkdir -p "$output/recipes"
cp "$recipe" "$output/recipes/all.toml"
cp "$recipe" "$output/recipes/no-pairs.toml"
sed -e 's/^recorded_share = .*/recorded_share = 0.0/' -e 's/^linear_share = .*/linear_share = 0.79/' \
	"$recipe" >"$output/recipes/no-recorded.toml"
sed -e 's/^teacher = .*/teacher = 0.5/' -e 's/^feature = .*/feature = 0.05/' "$recipe" >"$output/recipes/taught.toml"
for variant in all no-recorded no-pairs taught; do
	for seed in 0 1; do
		if [ -e "$output/$variant.$seed/student-$tier.safetensors" ]; then continue; fi
		PAIRS=$([ $variant = no-pairs ] && echo no || echo yes) SEED=$seed RECIPE=$output/recipes/$variant.toml \
			bash benchmarks/training/on_gpu.sh "$tier" "$minutes" "$output/$variant.$seed" >"$output/$variant.$seed.log" 2>&1 &
		if [ "${AT_ONCE:-8}" = 1 ]; then wait; fi
	done
done
wait
for log in "$output"/*.log; do echo "$(basename "$log" .log): $(grep validation: "$log" | tail -1)"; done
