#!/bin/sh
# Runs every suite and ends with one line: N passed, N failed. Tests wait more than they compute, so the suites run side by
# side; each is printed as a whole, while it runs if it is its turn.
set -u
passed=0 failed=0
dir=$(mktemp -d)
running=
trap 'kill $running 2>/dev/null; wait; rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM

# begin ID COMMAND...
begin () {
  id=$1
  shift
  "$@" >"$dir/$id" 2>&1 &
  running="$running $!"
  echo $! >"$dir/$id.pid"
}

# verdict ID NAME: a suite that ends without its verdict has failed.
verdict () {
  printf '== %s\n' "$2"
  pid=$(cat "$dir/$1.pid")
  tail --pid="$pid" -n +1 -f "$dir/$1" | grep -v '^ok '
  wait "$pid"
  line=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$dir/$1" | tail -n 1)
  if [ -z "$line" ]; then
    echo "$2 ended without a verdict"
    failed=$((failed + 1))
    return
  fi
  passed=$((passed + ${line%% *}))
  bad=${line#*, }
  failed=$((failed + ${bad%% *}))
}

lint () {
  if luacheck -q lua recipes tests --codes; then echo '1 passed, 0 failed'; else echo '0 passed, 1 failed'; fi
}

begin lint      lint
begin sanitized build/asan/hkrun test --timeout=900 tests/unit tests/host
begin recipes   ./hkrun test --timeout=900 tests/recipes
begin bindings  ./hkrun test --timeout=900 tests/unit tests/host
begin judges    ./hkrun test --timeout=900 tests/conformance tests/nouns recipes/examples
verdict lint      luacheck
verdict bindings  'units and bindings'
verdict judges    'foreign judges, nouns, examples'
verdict recipes   'recipes'
verdict sanitized 'units and bindings under the sanitizers'
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
