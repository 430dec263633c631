#!/bin/sh
# Measures hkrun against other programs, in turns, on this machine: some 110 seconds of a processor, terraform's and moto's half
# of them, so two minutes where nothing else runs. The figures are ratios of one run: on a busy machine compare them, not the
# milliseconds. Goals stand beside them, a miss is MISSED.
set -eu
cd "$(dirname "$0")/../.."
HKRUN=$(realpath "${HKRUN:-build/release/hkrun}")
export HKRUN
TOOLS=build/tools/bin
[ -x $TOOLS/aws ] || { echo "there is no AWS CLI to compare with: make tools" >&2; exit 1; }
timeout -k 5 400 $TOOLS/python3 -B tests/bench/aws.py "$HKRUN" "$(pwd)/$TOOLS/aws"
timeout -k 5 200 env AWS="$(pwd)/$TOOLS/aws" "$HKRUN" - < tests/bench/aws_xml.lua
timeout -k 5 400 $TOOLS/python3 -B tests/bench/engine.py "$HKRUN"
timeout -k 5 200 tests/bench/ssh.sh
