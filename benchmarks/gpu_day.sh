#!/usr/bin/env bash
# A day on a GPU in boxes of fixed time: does everything run there, and how fast?
#
#     benchmarks/gpu_day.sh OUT [--only LETTERS] [--tiny] [--script FILE] [--script-xl FILE]
#
# Needs no network. Wheels that lie in wheels/ beside this repository's files are installed into a
# folder of their own first. Each box writes OUT/BOX.log before the next begins, so that a day that
# is cut off leaves what it found; OUT/report.md is made anew after every box that measures.
#
#     m  models of published shapes, their weights at random               120 s
#     a  the tests that need a card, six at a time                         180 s
#     c  a step at batch 1, 4 and 8 beside the plain loop and the floor    100 s
#     b  `ti invert` from Enter to prompt, cold and warm                   150 s
#     d  diffusers' script at batch 1 and 4 (--script)                     150 s
#     e  XL at 1024 pixels, sixteen concepts together, small cards         200 s
#
# On a fresh machine the first import of torch and diffusers alone takes up to 25 s.
#
# --tiny tries all of it on the processor with models of a few kilobytes.
set -uo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
out=${1:?where to? benchmarks/gpu_day.sh OUT}
shift
only=macbde device=cuda python=${PYTHON:-python3}
steps=400 many=16 models=(sd15 sdxl) benchmark=()
while [ $# -gt 0 ]; do
  case $1 in
    --only) only=$2; shift 2 ;;
    --tiny) benchmark+=(--tiny); device=cpu steps=4 many=2 models=(tiny tiny-xl); shift ;;
    --script | --script-xl) benchmark+=("$1" "$2"); shift 2 ;;
    *) echo "gpu_day.sh: what is $1?" >&2; exit 2 ;;
  esac
done
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$here" || exit 1
if compgen -G "wheels/*.whl" > /dev/null; then
  site=$out/site
  "$python" -m pip install -q --no-index --no-deps --no-compile --target "$site" wheels/*.whl \
    > "$out/wheels.log" 2>&1 || { cat "$out/wheels.log" >&2; exit 1; }
  export PYTHONPATH=$site${PYTHONPATH:+:$PYTHONPATH}
fi
export PYTHONPATH=$here${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
shapes=${TI_GPU_MODELS:-$out/models}
failed=0

# box LETTER SECONDS COMMAND…: run it within its time, and say how it ended.
box() {
  local letter=$1 seconds=$2 began=$SECONDS code
  shift 2
  [[ $only == *$letter* ]] || return 0
  echo "== $letter: $*" | tee "$out/$letter.log"
  timeout --signal=INT --kill-after=30 "$seconds" "$@" >> "$out/$letter.log" 2>&1
  code=$?
  [ $code -eq 0 ] || failed=1
  echo "== $letter: exit $code after $((SECONDS - began)) s" | tee -a "$out/$letter.log"
}

measure() {
  local letter=$1 seconds=$2
  shift 2
  box "$letter" "$seconds" "$python" benchmarks/gpu.py --out "$out" --device "$device" \
    --models "$shapes" --batches 1 4 8 --many "$many" \
    --command-steps "$steps" "${benchmark[@]}" "$@"
}

if [ "$device" = cuda ]; then nvidia-smi > "$out/card.log" 2>&1; fi
box m 120 "$python" benchmarks/gpu_models.py "$shapes" "$device" "${models[@]}"
several=()
"$python" -c "import xdist" 2> /dev/null && several=(-n 6)
box a 180 "$python" -m pytest -q -p no:cacheprovider "${several[@]}" --durations=5 -m gpu tests/gpu
measure c 100 --parts steps --steps 10
measure b 150 --parts command
measure d 150 --parts script
# Sixteen concepts of as many steps as in b would take the whole day.
[ "$steps" -lt 150 ] || steps=150
measure e 200 --parts xl together low-memory
exit $failed
