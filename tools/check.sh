#!/bin/sh
# Runs every suite and ends with one line: N passed, N failed.
set -u
passed=0 failed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# suite NAME COMMAND...: a suite that ends without its verdict has failed.
suite () {
  name=$1
  shift
  printf '== %s\n' "$name"
  "$@" 2>&1 | tee "$log" | grep -v '^ok '
  line=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1)
  if [ -z "$line" ]; then
    echo "$name ended without a verdict"
    failed=$((failed + 1))
    return
  fi
  passed=$((passed + ${line%% *}))
  bad=${line#*, }
  failed=$((failed + ${bad%% *}))
}

lint () {
  if luacheck -q lua recipes tests --codes >"$log.lint" 2>&1; then echo '1 passed, 0 failed'
  else cat "$log.lint"; echo '0 passed, 1 failed'; fi
  rm -f "$log.lint"
}

suite luacheck lint
suite 'units and bindings' ./hkrun test --timeout=900 tests/unit tests/host
suite 'the same under the sanitizers' build/asan/hkrun test --timeout=900 tests/unit tests/host
suite 'nouns, recipes, foreign judges' ./hkrun test --timeout=900 tests/nouns tests/recipes recipes/examples tests/conformance
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
