#!/bin/sh
# tools/pip.sh ARGUMENTS: the pip of build/tools where it is there, else of an environment that is made for it.
set -eu
for folder in build/tools build/pip; do
  [ ! -x $folder/bin/pip ] || exec $folder/bin/pip "$@"
done
python3 -m venv build/pip
exec build/pip/bin/pip "$@"
