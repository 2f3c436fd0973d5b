#!/usr/bin/env bash
# Measures every bundle of a pack on this machine, which needs a Vulkan driver and nothing else. pack.sh made the pack.
#
#   bash PACK/run.sh PACK RESULTS [SECONDS] [bench.mjs' options for bundles of true shape]
#
# RESULTS: folder for a log and a JSON file of each bundle. SECONDS: limit for one bundle (75). Tables come last.
set -uo pipefail
pack=$(cd "${1:?folder of the pack}" && pwd)
results=$(mkdir -p "${2:?folder for results}" && cd "$2" && pwd)
limit=${3:-75}
shift $(($# < 3 ? $# : 3))
[ $# -gt 0 ] || set -- --prompts 128,1024,4096 --at 512,4096 --steps 64 --sampled --profile decode,sampled,fill --context 8192

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
tar -xJf "$pack/code.tar.xz"
xz -dc "$pack/node.xz" > node && chmod +x node
xz -dc "$pack/dawn.node.xz" > node_modules/webgpu/dist/linux-x64/dawn.node
for deb in "$pack"/*.deb; do dpkg -x "$deb" vulkan; done
export LD_LIBRARY_PATH="$work/vulkan/usr/lib/x86_64-linux-gnu${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" XDG_RUNTIME_DIR="$work"
# NVIDIA's containers keep the driver's description here, where no loader looks.
driver=/usr/local/nvidia/share/vulkan/icd.d/nvidia_icd.json
[ -z "${VK_DRIVER_FILES:-}" ] && [ -e "$driver" ] && export VK_DRIVER_FILES="$driver"

# measure NAME BUNDLE [options]
measure() {
  local name=$1 bundle=$2 began=$SECONDS
  shift 2
  timeout -k 5 "$limit" ./node benchmarks/gpu/bench.mjs "bundles/$bundle" --traffic "$pack/traffic/$bundle.json" --json "$results/$name.json" "$@" > "$results/$name.log" 2>&1
  echo "$name: exit $? after $((SECONDS - began)) s" | tee -a "$results/$name.log"
}

mkdir bundles
for tar in "$pack"/bundles/*.tar.xz; do tar -C bundles -xJf "$tar"; done
for bundle in $(ls bundles); do
  expected="$pack/expected/$bundle.json"
  [ -e "$expected" ] || continue
  for plan in f32 f16; do
    measure "$bundle-$plan" "$bundle" --plan "$plan" --expect "$expected" --prompts 128,1024 --at 512 --no-copies
  done
done
for bundle in $(ls bundles); do
  [ -e "$pack/expected/$bundle.json" ] || measure "$bundle" "$bundle" "$@"
done
for log in "$results"/*.log; do
  grep -lq "exit 0 " "$log" || { echo "--- the end of $(basename "$log")"; tail -n 12 "$log" | cut -c1-300; }
done
./node benchmarks/gpu/summary.mjs "$results"/*.json | tee "$results/summary.txt"
