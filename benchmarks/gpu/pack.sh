#!/usr/bin/env bash
# Gathers what bench.mjs needs on a Linux machine (x86-64) that has a GPU and no network into one folder.
#
#   benchmarks/gpu/pack.sh OUT BUNDLE...     after `make build`; then, there: bash OUT/run.sh OUT RESULTS
#
# Small bundles travel whole, with the tokens that the reference expects of them; large ones without their weights,
# 1 MB each. Node, Dawn, the Vulkan loader and the engine take 28 MB.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
out=$(mkdir -p "${1:?folder of the pack}" && cd "$1" && pwd)
shift
mkdir -p "$out/bundles" "$out/expected" "$out/traffic"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Bytes of weights beyond which they are made up on the other machine.
most=100000000

for bundle in "$@"; do
  bundle=$(cd "$bundle" && pwd)
  name=$(basename "$bundle")
  from=$(dirname "$bundle")
  weights=$(find "$bundle" -name '*.onnx_data*' -printf '%s\n' | awk '{ sum += $1 } END { printf "%.0f", sum }')
  if [ "$weights" -gt "$most" ]; then
    node "$here/skeleton.mjs" strip "$bundle" "$work/$name"
    from=$work
  elif [ "$weights" -gt 0 ]; then
    (cd "$root" && .venv/bin/python -m benchmarks.gpu.expected "$bundle" "$out/expected/$name.json")
  fi
  (cd "$root" && .venv/bin/python -m benchmarks.traffic "$bundle" "$out/traffic/$name.json")
  tar -C "$from" -cJf "$out/bundles/$name.tar.xz" "$name"
done

code=(package.json node_modules/webgpu/index.js node_modules/webgpu/package.json)
mkdir -p "$work/code/node_modules/webgpu/dist/linux-x64" "$work/code/dist" "$work/code/benchmarks"
for file in "${code[@]}"; do cp "$root/$file" "$work/code/$file"; done
mkdir -p "$work/code/dist/site" "$work/code/benchmarks/gpu"
cp "$root"/dist/site/gemtab-*.js "$work/code/dist/site"
rm -f "$work/code/dist/site"/gemtab-{worker,media,chat}*
cp "$here"/*.mjs "$work/code/benchmarks/gpu"
tar -C "$work/code" -cJf "$out/code.tar.xz" .
[ -e "$out/dawn.node.xz" ] || xz -6 -c "$root/node_modules/webgpu/dist/linux-x64/dawn.node" > "$out/dawn.node.xz"
if [ ! -e "$out/node.xz" ]; then
  # Debug symbols are a tenth of it.
  strip -o "$work/node" "$(readlink -f "$(command -v node)")" || cp "$(readlink -f "$(command -v node)")" "$work/node"
  xz -6 -T0 -c "$work/node" > "$out/node.xz"
fi
# The loader, and what NVIDIA's driver opens even where nothing is drawn: without it, it gives no instance.
libraries=(libvulkan1 libegl1 libglvnd0 libopengl0 libgl1 libglx0 libgles2)
for library in "${libraries[@]}"; do
  [ -e "$(echo "$out/$library"_*.deb)" ] || (cd "$out" && apt-get download -q "$library")
done
cp "$here/run.sh" "$out/"
du -sh "$out"
