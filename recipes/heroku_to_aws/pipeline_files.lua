--- The text of what a deployment from GitHub is: the workflow, and the script that each of its stages runs.
local M = {}

--- The actions, each pinned to a commit: a tag can be moved to another one (docs.github.com, "Security hardening for GitHub
--- Actions"). Of February 2026.
M.actions = {
  checkout = "actions/checkout@de0fac2e4500dabe0009e67214ff5f5447ce83dd # v6.0.2",
  credentials = "aws-actions/configure-aws-credentials@8df5847569e6427dd6c4fb1cf565c83acfa8afa7 # v6.0.0",
}

--- Deploys as hkrun does: the release phase is a command of the bundle, and the environment that has it is first.
M.script = [[
#!/usr/bin/env bash
# Deploys one version of an app to Elastic Beanstalk: to each environment in turn, until it is healthy on it.
# hkrun wrote this when it moved the app; it is yours to change.
#
#   APPLICATION    the application
#   ENVIRONMENTS   its environments, the one with the release phase first
#   BUCKET         where its bundles are kept
#   VERSION        what the version is called
#   IMAGE          its image in Amazon ECR; without it, a bundle holds the source of HEAD
#   WAIT_SECONDS   how long a deployment may take until it is healthy, 1800 by default
set -euo pipefail

files=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
  echo "::error::$*"
  exit 1
}

# An environment's status, health and version.
look() {
  aws elasticbeanstalk describe-environments --application-name "$APPLICATION" --environment-names "$1" --no-include-deleted \
    --query 'Environments[0].[Status,Health,VersionLabel]' --output text | tr '\t' '|'
}

events() {
  aws elasticbeanstalk describe-events --application-name "$APPLICATION" --environment-name "$1" --max-records 20 \
    --query 'Events[].[EventDate,Severity,Message]' --output text
}

# Makes the bundle of an environment: its files, and the source where there is no image.
bundle() {
  local dir=$work/$1
  mkdir -p "$dir"
  if [ -z "${IMAGE:-}" ]; then git archive HEAD | tar -x -C "$dir"; fi
  if [ -d "$files/$1" ]; then cp -R "$files/$1/." "$dir/"; fi
  [ -e "$dir/docker-compose.yml" ] || [ -e "$dir/Dockerfile" ] || [ -e "$dir/Procfile" ] ||
    fail "nothing says what $1 runs: hkrun writes .github/deploy/$1 when it moves $APPLICATION with --github"
  if [ -n "${IMAGE:-}" ]; then find "$dir" -type f -exec sed -i "s|IMAGE_OF_THE_APP|$IMAGE|g" {} +; fi
  (cd "$dir" && zip -q -r -y "$work/$1.zip" .)
}

version_status() {
  aws elasticbeanstalk describe-application-versions --application-name "$APPLICATION" --version-labels "$1" \
    --query 'ApplicationVersions[0].Status' --output text
}

# Makes the version of an environment, if it is not there yet.
make_version() {
  local label=$1-$VERSION status
  if [ "$(version_status "$label")" = None ]; then
    bundle "$1"
    aws s3 cp --only-show-errors "$work/$1.zip" "s3://$BUCKET/$label.zip"
    aws elasticbeanstalk create-application-version --application-name "$APPLICATION" --version-label "$label" \
      --description "GitHub ${GITHUB_REPOSITORY:-} ${GITHUB_SHA:-}" --source-bundle "S3Bucket=$BUCKET,S3Key=$label.zip" --process > /dev/null
  fi
  while status=$(version_status "$label"); [ "$status" = PROCESSING ] || [ "$status" = BUILDING ]; do sleep "${POLL_SECONDS:-5}"; done
  [ "$status" = PROCESSED ] || [ "$status" = UNPROCESSED ] || fail "Elastic Beanstalk says of the bundle $label: $status"
}

# Waits until an environment is well on a version; fails when it goes back to another.
wait_for() {
  local environment=$1 label=$2 stop=$((SECONDS + ${WAIT_SECONDS:-1800})) status health running
  local late=$((SECONDS + ${SETTLE_SECONDS:-30})) began=      # until then it may look as it did before it was asked
  while true; do
    IFS='|' read -r status health running <<< "$(look "$environment")"
    case $status in
      Ready)
        if [ "$running" = "$label" ] && [ "$health" = Green ]; then return; fi
        if [ "$running" != "$label" ] && { [ -n "$began" ] || [ "$SECONDS" -ge "$late" ]; }; then
          events "$environment"
          fail "$environment did not take $label: it runs $running"
        fi
        ;;
      Updating) began=yes ;;
      *) fail "$environment is $status" ;;
    esac
    if [ "$SECONDS" -ge "$stop" ]; then
      events "$environment"
      fail "$environment is $status, $health on $running after ${WAIT_SECONDS:-1800} seconds; $label was to run"
    fi
    sleep "${POLL_SECONDS:-5}"
  done
}

for environment in $ENVIRONMENTS; do
  label=$environment-$VERSION
  IFS='|' read -r status _ running <<< "$(look "$environment")"
  case $status/$running in
    None/*) fail "there is no environment $environment" ;;
    */None | */"Sample Application" | */"$APPLICATION-parked")
      fail "$environment does not run the app yet: hkrun's cutover starts it there" ;;
  esac
  if [ "$running" != "$label" ]; then
    make_version "$environment"
    aws elasticbeanstalk update-environment --application-name "$APPLICATION" --environment-name "$environment" \
      --version-label "$label" > /dev/null
  fi
  wait_for "$environment" "$label"
  echo "$environment runs $label"
done
]]

local function filled(template, values)
  return (template:gsub("@(%u[%u_]*)@", function(name)
    return values[name] or error(("nothing is said for %s"):format(name), 0)
  end))
end

local HEAD = [[
# Deploys @APP@ to AWS @WHEN@, as hkrun does.
# hkrun wrote this when it moved the app; it is yours to change.
name: Deploy @APP@

on:
  push:
    branches: ["@BRANCH@"]
  workflow_dispatch:

permissions:
  id-token: write
  contents: read

concurrency:
  group: deploy-@APP@
  cancel-in-progress: false

env:
  AWS_REGION: @REGION@
@REPOSITORY@
jobs:
]]

local ENTER = [[
      - uses: @CHECKOUT@
      - uses: @CREDENTIALS@
        with:
          role-to-assume: @ROLE@
          aws-region: ${{ env.AWS_REGION }}
]]

local BUILD = [[
  build:
    runs-on: ubuntu-24.04
    timeout-minutes: 60
    steps:
@ENTER@      - name: Build the image and push it to Amazon ECR
        run: |
          image=$REPOSITORY:${GITHUB_SHA::12}
          if aws ecr describe-images --repository-name "${REPOSITORY#*/}" --image-ids "imageTag=${GITHUB_SHA::12}" > /dev/null 2>&1; then
            echo "$image is there"
            exit 0
          fi
          file=Dockerfile
          [ -f "$file" ] || file=@FOLDER@/Dockerfile
          [ -f "$file" ] || { echo "::error::the repository has no Dockerfile"; exit 1; }
          docker build --platform linux/amd64 --file "$file" --tag "$image" .
          aws ecr get-login-password | docker login --username AWS --password-stdin "${REPOSITORY%%/*}"
          docker push "$image"

]]

local JOB = [[
  @JOB@:
@NEEDS@    runs-on: ubuntu-24.04
    timeout-minutes: 90
@ENVIRONMENT@    steps:
@APPROVED@@ENTER@      - name: Deploy to @APPLICATION@
        env:
          APPLICATION: @APPLICATION@
          ENVIRONMENTS: @ENVIRONMENTS@
          BUCKET: @BUCKET@
        run: |
@IMAGE@          VERSION=${GITHUB_SHA::12} bash @FOLDER@/deploy.sh
]]

--- GitHub makes an environment that nobody has set up, without any rule: then nobody would be asked.
local APPROVED = [[
      - name: Stop unless a person has agreed
        env:
          GH_TOKEN: ${{ github.token }}
        run: |
          rules=$(gh api "repos/$GITHUB_REPOSITORY/environments/@STAGE@" --jq '.protection_rules[].type')
          grep -qx required_reviewers <<< "$rules" || { echo "::error::the environment @STAGE@ has no required reviewers"; exit 1; }
]]

local PROTECTED = [[
    environment: @STAGE@
    permissions:
      id-token: write
      contents: read
      actions: read
]]

--- Writes the workflow. Its stages are one after the other; all but the first wait for a person.
---@param o { app: string, branch: string, region: string, folder: string, repository: string?, stages: table[] } folder: where the
--- script stands in the repository; repository: of the app's images in Amazon ECR; stages: { stage, app, role, bucket, environments,
--- protected }
---@return string yaml
function M.workflow(o)
  local function enter(role)
    return filled(ENTER, { CHECKOUT = M.actions.checkout, CREDENTIALS = M.actions.credentials, ROLE = role })
  end
  local first = o.stages[1]
  local parts = { filled(HEAD, { APP = o.app, BRANCH = o.branch, REGION = o.region,
    WHEN = #o.stages == 1 and "on each push" or ("stage by stage: to %s on each push, further when a person agrees"):format(first.stage),
    REPOSITORY = o.repository and ("  REPOSITORY: %s\n"):format(o.repository) or "" }) }
  if o.repository then parts[2] = filled(BUILD, { ENTER = enter(first.role), FOLDER = o.folder }) end
  local before = o.repository and "build" or nil
  for i, s in ipairs(o.stages) do
    local names, job = {}, "deploy-" .. s.app
    for n, e in ipairs(s.environments) do names[n] = e.name end
    parts[#parts + 1] = filled(JOB, {
      JOB = job, NEEDS = before and ("    needs: %s\n"):format(before) or "", FOLDER = o.folder, APPLICATION = s.app,
      ENVIRONMENT = s.protected and filled(PROTECTED, { STAGE = s.stage }) or "",
      APPROVED = s.protected and filled(APPROVED, { STAGE = s.stage }) or "",
      ENTER = enter(s.role), ENVIRONMENTS = table.concat(names, " "), BUCKET = s.bucket,
      IMAGE = o.repository and "          export IMAGE=$REPOSITORY:${GITHUB_SHA::12}\n" or "",
    }) .. (i < #o.stages and "\n" or "")
    before = job
  end
  return table.concat(parts)
end

return M
