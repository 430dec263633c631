#!/bin/bash
set -eu
image=1.dkr.ecr.eu-west-1.amazonaws.com/shop:v7-1
aws ecr get-login-password --region eu-west-1 | docker login --username AWS --password-stdin "${image%%/*}"
docker pull --quiet "$image"
names=()
while read -r name; do
  case $name in
    PATH | HOME | PWD | OLDPWD | SHLVL | SHELL | USER | LOGNAME | HOSTNAME | TERM | _ | EB_IS_COMMAND_LEADER) ;;
    *) names+=(--env "$name") ;;
  esac
done < <(compgen -e)
exec docker run --rm --init "${names[@]}" "$image" /bin/bash -c 'node migrate.js'
