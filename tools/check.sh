#!/bin/sh
# Runs every suite and ends with one line: N passed, N failed.
set -u
passed=0 failed=0
dir=$(mktemp -d)
log=$dir/log
sanitized=
trap 'kill $sanitized 2>/dev/null; rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM

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
  if luacheck -q lua recipes tests --codes >"$dir/lint" 2>&1; then echo '1 passed, 0 failed'
  else cat "$dir/lint"; echo '0 passed, 1 failed'; fi
}

# Tests wait more than they compute: the sanitizers' run goes on beside the others.
build/asan/hkrun test --timeout=900 tests/unit tests/host >"$dir/sanitized" 2>&1 &
sanitized=$!
suite luacheck lint
suite 'units and bindings' ./hkrun test --timeout=900 tests/unit tests/host
suite 'nouns, recipes, foreign judges' ./hkrun test --timeout=900 tests/nouns tests/recipes recipes/examples tests/conformance
wait $sanitized
sanitized=
suite 'units and bindings under the sanitizers' cat "$dir/sanitized"
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
