--- Deployments from GitHub to ECS on Fargate: the script that a stage of the workflow runs, and what it is told.
local aws = require "aws"
local errors = require "errors"
local policy = require "heroku_to_aws.pipeline_policy"

local M = {}

--- Deploys as hkrun does: the release phase is a task that ends before any service changes. What runs is what ran before, with
--- another image. In GitHub's log stands nothing that the app printed: everybody may read that of a public repository.
M.script = [==[
#!/usr/bin/env bash
# Deploys one image of an app to ECS on Fargate: the release phase runs once; if it is well, every service gets the image. They
# take it all, or all go back. Commands, sizes, variables and secrets are those that run.
# hkrun wrote this when it moved the app; it is yours to change.
#
#   CLUSTER          the cluster
#   SERVICES         its services, web first
#   RELEASE          the task definition of the release phase; without it there is none
#   JOBS             the task definitions that EventBridge Scheduler starts, if any
#   IMAGE            the image in Amazon ECR, by its digest
#   VERSION          what the version is called
#   WAIT_SECONDS     how long a deployment may take until it is well, 1800 by default
#   RELEASE_SECONDS  how long the release phase may take, 3600 by default
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
declare -A before deployment            # of each service: its task definition, and how its deployment is called
changed=                                # the services that were told to take the image

# Whatever ends this before all of them run it: none does.
finish() {
  for service in $changed; do
    if aws ecs update-service --cluster "$CLUSTER" --service "$service" --task-definition "${before[$service]}" > /dev/null; then
      echo "$service goes back to ${before[$service]##*/}"
    fi
  done
  rm -rf "$work"
}
trap finish EXIT

fail() {
  echo "::error::$*"
  exit 1
}

describe() {
  aws ecs describe-services --cluster "$CLUSTER" --services "$1" --query "services[0].$2" --output "$3"
}

# The image of the app in a task definition: of the container that has the name of its family.
image_of() {
  local family=${1##*/}
  aws ecs describe-task-definition --task-definition "$1" --output text \
    --query "taskDefinition.containerDefinitions[?name=='${family%:*}'] | [0].image"
}

# Registers a task definition anew, with nothing but the image of the app changed, and prints its ARN.
register() {
  aws ecs describe-task-definition --task-definition "$1" --include TAGS --output json | jq --arg image "$IMAGE" '
    (.tags // []) as $tags | .taskDefinition | .family as $app
    | if any(.containerDefinitions[]; .name == $app) then . else error("\($app) has no container of that name") end
    | (.containerDefinitions[] | select(.name == $app) | .image) = $image
    | del(.taskDefinitionArn, .revision, .status, .requiresAttributes, .compatibilities,
          .registeredAt, .registeredBy, .deregisteredAt, .deleteRequestedAt)
    | if $tags == [] then . else .tags = $tags end' > "$work/definition.json"
  aws ecs register-task-definition --cli-input-json "file://$work/definition.json" --query taskDefinition.taskDefinitionArn --output text
}

# Runs the release phase, and waits for its end.
release() {
  local task network definition status code reason stop=$((SECONDS + ${RELEASE_SECONDS:-3600}))
  task=$(aws ecs list-tasks --cluster "$CLUSTER" --family "$RELEASE" --desired-status RUNNING --query 'taskArns[0]' --output text)
  [ "$task" = None ] || fail "the release phase of an earlier deployment runs yet, as task ${task##*/}: try again when it has ended"
  definition=$(register "$RELEASE")
  network=$(describe "${SERVICES%% *}" networkConfiguration json)
  task=$(aws ecs run-task --cluster "$CLUSTER" --task-definition "$definition" --launch-type FARGATE --network-configuration "$network" \
    --started-by "github-$VERSION" --query 'tasks[0].taskArn' --output text)
  [ "$task" != None ] || fail "ECS started no task of $definition"
  while true; do
    IFS='|' read -r status code reason <<< "$(aws ecs describe-tasks --cluster "$CLUSTER" --tasks "$task" --output text \
      --query "tasks[0].[lastStatus,containers[?name=='$RELEASE'] | [0].exitCode,stoppedReason]" | tr '\t' '|')"
    [ "$status" != STOPPED ] || break
    [ "$SECONDS" -lt "$stop" ] || fail "the release phase has not ended in time, and goes on as task ${task##*/}; no service was changed"
    sleep "${POLL_SECONDS:-5}"
  done
  [ "$code" = 0 ] || fail "the release phase ended with code $code ($reason), and no service was changed;" \
    "what it printed is in CloudWatch Logs, task ${task##*/} of $RELEASE"
  echo "the release phase ended well"
}

# What ECS says of a service whose tasks fail.
why() {
  local tasks
  describe "$1" 'events[:8].message' text | tr '\t' '\n'
  tasks=$(aws ecs list-tasks --cluster "$CLUSTER" --service-name "$1" --desired-status STOPPED --query 'taskArns[:3]' --output text)
  if [ -n "$tasks" ] && [ "$tasks" != None ]; then
    # shellcheck disable=SC2086
    aws ecs describe-tasks --cluster "$CLUSTER" --tasks $tasks --query 'tasks[].[taskArn,stoppedReason,containers[0].exitCode]' --output text
  fi
}

# Waits until a service is steady on the image. ECS's circuit breaker goes back by another deployment.
wait_for() {
  local service=$1 stop=$((SECONDS + ${WAIT_SECONDS:-1800})) id state
  local late=$((SECONDS + ${SETTLE_SECONDS:-30})) began=      # until then it may look as it did before it was asked
  while true; do
    read -r id state <<< "$(describe "$service" "deployments[?status=='PRIMARY'] | [0].[id,rolloutState]" text)"
    case $id/$state in
      "${deployment[$service]}"/COMPLETED) return ;;
      "${deployment[$service]}"/IN_PROGRESS) began=yes ;;
      *)
        if [ -n "$began" ] || [ "$SECONDS" -ge "$late" ]; then
          why "$service"
          fail "$service did not take the image: its tasks failed, or another deployment came between"
        fi
        ;;
    esac
    if [ "$SECONDS" -ge "$stop" ]; then
      why "$service"
      fail "$service is not steady on the image after ${WAIT_SECONDS:-1800} seconds"
    fi
    sleep "${POLL_SECONDS:-5}"
  done
}

tasks=0 new=
for service in $SERVICES; do
  read -r status desired definition id state <<< \
    "$(describe "$service" "[status,desiredCount,taskDefinition,deployments[?status=='PRIMARY'] | [0].[id,rolloutState]][]" text)"
  [ "$status" = ACTIVE ] || fail "there is no service $service in the cluster $CLUSTER"
  tasks=$((tasks + desired))
  before[$service]=$definition deployment[$service]=$id
  if [ "$state" = FAILED ] || [ "$(image_of "$definition")" != "$IMAGE" ]; then new="$new $service"; fi
done
[ "$tasks" -gt 0 ] || fail "$CLUSTER does not run the app yet: hkrun's cutover starts it there"

if [ -n "$new" ] && [ -n "${RELEASE:-}" ]; then release; fi
for service in $new; do
  definition=$(register "${before[$service]}")
  changed="$changed $service"
  deployment[$service]=$(aws ecs update-service --cluster "$CLUSTER" --service "$service" --task-definition "$definition" \
    --query "service.deployments[?status=='PRIMARY'] | [0].id" --output text)
done
for service in $SERVICES; do wait_for "$service"; done
changed=
for job in ${JOBS:-}; do
  if [ "$(image_of "$job")" != "$IMAGE" ]; then register "$job" > /dev/null; fi
done
echo "$SERVICES: $IMAGE"
]==]

--- The services of another app's cluster, web first.
local function services_of(cluster)
  local names = {}
  local ok, e = pcall(function()
    for arn in aws.ecs:each("list_services", { cluster = cluster }) do names[#names + 1] = arn:match "[^/]*$" end
  end)
  if not ok and not (errors.is(e, "remote") and e.code == "ClusterNotFoundException") then error(e, 0) end
  table.sort(names, function(a, b)
    local web = cluster .. "-web"
    return a == web and b ~= web or b ~= web and a < b
  end)
  return names
end

local function families_of(prefix)
  local names = {}
  for name in aws.ecs:each("list_task_definition_families", { familyPrefix = prefix, status = "ACTIVE" }) do names[#names + 1] = name end
  return names
end

--- Where an app runs; nil: it does not. Another app's services must be there already.
---@return table? place { cluster, services, release, jobs }
function M.place(app, o)
  if app ~= o.plan.name then
    local services = services_of(app)
    if #services == 0 then return nil end
    local release = app .. "-release"
    return { cluster = app, services = services, release = families_of(release)[1] == release and release or nil,
             jobs = families_of(app .. "-job-") }
  end
  local own, services = o.environments[o.plan.environments[1].name], {}
  for i, s in ipairs(own.services) do services[i] = s.name end
  return { cluster = app, services = services, release = own.release and own.release.container, jobs = own.job_families or {} }
end

--- What the script is told of a stage.
---@return { [1]: string, [2]: string }[] variables
function M.variables(stage)
  local list = { { "CLUSTER", stage.cluster }, { "SERVICES", table.concat(stage.services, " ") } }
  if stage.release then list[#list + 1] = { "RELEASE", stage.release } end
  if #stage.jobs > 0 then list[#list + 1] = { "JOBS", table.concat(stage.jobs, " ") } end
  return list
end

--- What the role of a stage may do.
---@param where { partition: string, account: string, region: string }
function M.policy(stage, where)
  return policy.fargate { partition = where.partition, region = where.region, account = where.account, cluster = stage.cluster,
                          services = stage.services, release = stage.release, jobs = stage.jobs }
end

function M.has_image() return true end

--- Nothing stands beside the script: the task definitions say what runs.
function M.files() return {} end

return M
