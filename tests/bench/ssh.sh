#!/bin/sh
# ssh: our connections and tunnels against OpenSSH's client, as ratios of one run
cd "$(dirname "$0")/../.." && exec "${HKRUN:-build/release/hkrun}" test tests/bench/ssh_bench.lua
