#!/bin/bash
set -eu
image=hkrun-release
docker build --quiet --tag "$image" .
names=()
while read -r name; do
  case $name in
    PATH | HOME | PWD | OLDPWD | SHLVL | SHELL | USER | LOGNAME | HOSTNAME | TERM | _ | EB_IS_COMMAND_LEADER) ;;
    *) names+=(--env "$name") ;;
  esac
done < <(compgen -e)
exec docker run --rm --init "${names[@]}" "$image" /bin/sh -c 'bin/rails db:migrate'
