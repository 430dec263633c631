--- The workflow of deployments from GitHub. What each of its stages runs is the target's: pipeline_beanstalk.lua, pipeline_fargate.lua.
local M = {}

--- The actions, each pinned to a commit: a tag can be moved to another one (docs.github.com, "Security hardening for GitHub
--- Actions"). Of February 2026.
M.actions = {
  checkout = "actions/checkout@de0fac2e4500dabe0009e67214ff5f5447ce83dd # v6.0.2",
  credentials = "aws-actions/configure-aws-credentials@8df5847569e6427dd6c4fb1cf565c83acfa8afa7 # v6.0.0",
}

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
    outputs:
      digest: ${{ steps.image.outputs.digest }}
    steps:
@ENTER@      - name: Build the image and push it to Amazon ECR
        id: image
        run: |
          image=$REPOSITORY:${GITHUB_SHA::12}
          digest() {
            aws ecr describe-images --repository-name "${REPOSITORY#*/}" --image-ids "imageTag=${GITHUB_SHA::12}" \
              --query 'imageDetails[0].imageDigest' --output text
          }
          if found=$(digest 2> /dev/null); then
            echo "$image is there"
          else
            file=Dockerfile
            [ -f "$file" ] || file=@FOLDER@/Dockerfile
            [ -f "$file" ] || { echo "::error::the repository has no Dockerfile"; exit 1; }
            docker build --platform linux/amd64 --file "$file" --tag "$image" .
            aws ecr get-login-password | docker login --username AWS --password-stdin "${REPOSITORY%%/*}"
            docker push "$image"
            found=$(digest)
          fi
          echo "digest=$found" >> "$GITHUB_OUTPUT"

]]

local JOB = [[
  @JOB@:
@NEEDS@    runs-on: ubuntu-24.04
    timeout-minutes: 90
@ENVIRONMENT@    steps:
@APPROVED@@ENTER@      - name: Deploy to @APPLICATION@
        env:
@VARIABLES@        run: |
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
--- script stands in the repository; repository: of the app's images in Amazon ECR; stages: { stage, app, role, variables, protected }
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
  local before
  for i, s in ipairs(o.stages) do
    local variables, job, needs = {}, "deploy-" .. s.app, { o.repository and "build" or before, o.repository and before }
    for n, v in ipairs(s.variables) do variables[n] = ("          %s: %s\n"):format(v[1], v[2]) end
    if o.repository then variables[#variables + 1] = "          DIGEST: ${{ needs.build.outputs.digest }}\n" end
    parts[#parts + 1] = filled(JOB, {
      JOB = job, NEEDS = needs[1] and ("    needs: [%s]\n"):format(table.concat(needs, ", ")) or "", FOLDER = o.folder, APPLICATION = s.app,
      ENVIRONMENT = s.protected and filled(PROTECTED, { STAGE = s.stage }) or "",
      APPROVED = s.protected and filled(APPROVED, { STAGE = s.stage }) or "",
      ENTER = enter(s.role), VARIABLES = table.concat(variables),
      IMAGE = o.repository and "          export IMAGE=$REPOSITORY@$DIGEST\n" or "",
    }) .. (i < #o.stages and "\n" or "")
    before = job
  end
  return table.concat(parts)
end

return M
