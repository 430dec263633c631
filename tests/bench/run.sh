#!/bin/sh
# Measures hkrun against other programs, in turns, on this machine. Under a minute. The figures are ratios of one run:
# on a busy machine compare them, not the milliseconds.
set -eu
cd "$(dirname "$0")/../.."
HKRUN=${HKRUN:-build/release/hkrun}
export HKRUN
AWS=build/tools/bin/aws
[ -x $AWS ] || AWS=$(command -v aws) || { echo "there is no AWS CLI to compare with: make tools" >&2; exit 1; }
export AWS
timeout -k 5 40 "$HKRUN" - < tests/bench/start.lua
timeout -k 5 60 tests/bench/ssh.sh
