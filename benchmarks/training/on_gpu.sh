#!/usr/bin/env bash
# A student trained on a GPU that is at hand for minutes: bash benchmarks/training/on_gpu.sh TIER MINUTES OUTPUT [INIT]
#
# From fresh weights by student-gated.toml, with INIT (what the last run left in OUTPUT) by student-gated-wide.toml;
# RECIPE, RATE, BATCH, CROP, SEED, and PAIRS=no (no real pairs) in the environment say otherwise, STEPS in place of MINUTES,
# VALIDATE the minutes between validations. The learning rate falls to its end within MINUTES, so the weights are finished
# whenever this ends. Two of these at once share a GPU well: `nano` and `large` that ship were trained so. Data:
# build/gpu-data, from benchmarks/training/pack.py. Needs Python with torch, opencv, scikit-image, safetensors, click and
# rich; nothing is installed or downloaded.
set -euo pipefail
cd "$(dirname "$0")/../.."
tier=$1 minutes=$2 output=$3 init=${4:-none}
data=${DATA:-build/gpu-data}
python=${PYTHON:-python3}
recipe=${RECIPE:-edgedeblur/training/recipes/student-gated$([ "$init" = none ] || echo -wide).toml}
more=(${RATE:+--rate "$RATE"} ${BATCH:+--batch "$BATCH"} ${CROP:+--crop "$CROP"} ${SEED:+--seed "$SEED"})
length=(--minutes "$minutes")
if [ -n "${STEPS:-}" ]; then length=(--steps "$STEPS"); fi
if [ "${PAIRS:-yes}" != no ]; then
	for set in gopro720_0372@0.12 gopro256_half@0.12 reds720_hamam@0.05 reds720_020@0.05; do
		more+=(--data "pairs:$data/pairs_train/$set")
	done
fi
mkdir -p "$output"
# Weights are enough to go on from; a state is left only where the run was interrupted, for --resume, here in pieces, since
# files that come back may be limited in size.
tidy() {
	rm -rf "$output/work" "$output/student-$tier.finished.pt"
	local state="$output/student-$tier.state.pt"
	if [ -e "$state" ]; then split -b 15m -d "$state" "$state." && rm "$state"; fi
	ls -l "$output"
}
trap tidy EXIT
$python -c 'import torch; print("torch", torch.__version__, torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU")'
PYTHONPATH=. PYTHONUNBUFFERED=1 $python -m edgedeblur.cli.main distill --tier "$tier" --init "$init" \
	--recipe "$recipe" "${more[@]}" \
	--data "photos:$data/photos" --data "frames:$data/gopro_video_240fps" \
	--validation "$data/pairs/gopro720" --validation "$data/pairs/gopro256" --validation "$data/pairs/reds320" \
	--device "${DEVICE:-auto}" "${length[@]}" --validate-minutes "${VALIDATE:-1.5}" --checkpoint-minutes 2 --no-tensorboard \
	--workdir "$output/work" -o "$output/student-$tier.safetensors" 2>&1 | tee "$output/train-$tier.log"
