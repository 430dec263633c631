--- Deployments from GitHub to Elastic Beanstalk: the script that a stage of the workflow runs, and what it is told.
local aws = require "aws"
local bundle = require "heroku_to_aws.bundle"
local deploy = require "heroku_to_aws.deploy"
local policy = require "heroku_to_aws.pipeline_policy"

local M = {}

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

--- The environments of an app's application, the one with the release phase first. Another app's must be there already.
local function environments_of(app, o)
  local list = {}
  if app == o.plan.name then
    for i, e in ipairs(o.plan.environments) do list[i] = { name = e.name, id = o.environments[e.name].environment_id } end
    return list
  end
  for e in aws.elasticbeanstalk:each("describe_environments", { ApplicationName = app, IncludeDeleted = false }) do
    if e.Status ~= "Terminated" then list[#list + 1] = { name = e.EnvironmentName, id = e.EnvironmentId } end
  end
  table.sort(list, function(a, b) return #a.name < #b.name or #a.name == #b.name and a.name < b.name end)
  return list
end

--- Where an app runs; nil: it does not.
---@return table? place { environments, bucket }
function M.place(app, o)
  local environments = environments_of(app, o)
  return #environments > 0 and { environments = environments, bucket = deploy.bucket_name(app, o.account) } or nil
end

--- What the script is told of a stage.
---@return { [1]: string, [2]: string }[] variables
function M.variables(stage)
  local names = {}
  for i, e in ipairs(stage.environments) do names[i] = e.name end
  return { { "APPLICATION", stage.app }, { "ENVIRONMENTS", table.concat(names, " ") }, { "BUCKET", stage.bucket } }
end

--- What the role of a stage may do.
---@param where { partition: string, account: string, region: string }
function M.policy(stage, where)
  return policy.beanstalk { partition = where.partition, region = where.region, account = where.account, application = stage.app,
                            environments = stage.environments, bucket = stage.bucket }
end

--- Whether the workflow builds an image; else each bundle holds the source.
function M.has_image(o)
  return o.opt.engine ~= "none" and bundle.has_image { source = o.opt.source, platform = o.plan.platform.kind }
end

--- What each environment's bundle has beside the image or the source, by its path beside the script.
---@param of table of bundle.additions
function M.files(plan, of)
  local list = {}
  for _, e in ipairs(plan.environments) do
    for name, content in pairs(bundle.additions(e, of)) do list[("%s/%s"):format(e.name, name)] = content end
  end
  return list
end

return M
