#!/bin/bash
set -eu
exec /bin/bash -c 'node migrate.js'
