--- Pipelines: those that the apps stand in, by the manifests' `pipeline: { name, stage, review_apps, config }`.
local api = require "rehearsal.heroku.api"
local json = require "json"
local list = require "rehearsal.heroku.pages".list
local views = require "rehearsal.heroku.views"

local null = json.null

local function pipelines(a)
  local found, seen = {}, {}
  for _, app in ipairs(a.heroku.apps) do
    local own = app.pipeline
    if own and not seen[own.name] then
      seen[own.name] = true
      local owner = app.team and { id = api.uuid("team", app.team), type = "team" } or { id = api.uuid("user", a.heroku.email), type = "user" }
      found[#found + 1] = { id = api.uuid("pipeline", own.name), name = own.name, owner = owner, created_at = app.created_at,
        updated_at = app.created_at, generation = views.ref(app.generation, "generation") }
    end
  end
  return found
end

local function coupling(app)
  local own = app.pipeline
  return own and { id = api.uuid("pipeline-coupling", app.id), app = { id = app.id }, pipeline = { id = api.uuid("pipeline", own.name) },
    stage = own.stage, created_at = app.created_at, updated_at = app.created_at }
end

--- The apps of the pipeline that is asked for.
local function apps_of(a)
  local found = api.find(pipelines(a), a.pipeline, "pipeline")
  local apps = {}
  for _, app in ipairs(a.heroku.apps) do
    if app.pipeline and app.pipeline.name == found.name then apps[#apps + 1] = app end
  end
  return apps, found.id
end

local function review_app_config(a)
  local apps, id = apps_of(a)
  for _, app in ipairs(apps) do
    if app.pipeline.review_apps then
      return { automatic_review_apps = true, destroy_stale_apps = false, stale_days = 5, pipeline_id = id, wait_for_ci = false, repo = { id = 1 },
        deploy_target = { id = app.region, type = "region" }, base_name = null }
    end
  end
  api.not_found "review app config"
end

local function review_apps(a)
  local apps, id = apps_of(a)
  local found = {}
  for _, app in ipairs(apps) do
    if app.pipeline.stage == "review" then
      found[#found + 1] = { id = api.uuid("review-app", app.id), app = { id = app.id }, app_setup = null, branch = app.pipeline.branch or "main",
        pipeline = { id = id }, status = "created", creator = { id = api.uuid("user", a.heroku.email) }, wait_for_ci = false, error_status = null,
        message = null, fork_repo = null, pr_number = null, created_at = app.created_at, updated_at = app.updated_at }
    end
  end
  return list(found, { "id" })
end

--- Runs of Heroku CI; no pipeline of a rehearsal has any.
local function test_runs(a)
  apps_of(a)
  return list({}, { "id" })
end

--- The config vars that each app of a stage gets when it is made: those of review apps and of test runs.
local function stage_config(a)
  local vars = {}
  for _, app in ipairs((apps_of(a))) do
    for name, value in pairs((app.pipeline.config or {})[a.stage] or {}) do vars[name] = tostring(value) end
  end
  return vars
end

local function list_pipelines(a)
  local wanted, found = a.query["eq[name]"], {}
  for _, pipeline in ipairs(pipelines(a)) do
    if not wanted or pipeline.name == wanted then found[#found + 1] = pipeline end
  end
  return list(found, { "id", "name" })
end

local function couplings(a)
  local found = {}
  for i, app in ipairs((apps_of(a))) do found[i] = coupling(app) end
  return list(found, { "id" })
end

return {
  { "GET /pipelines", list_pipelines },
  { "GET /pipelines/{pipeline}", function(a) return api.find(pipelines(a), a.pipeline, "pipeline") end },
  { "GET /pipelines/{pipeline}/pipeline-couplings", couplings },
  { "GET /pipelines/{pipeline}/review-app-config", review_app_config },
  { "GET /pipelines/{pipeline}/review-apps", review_apps },
  { "GET /pipelines/{pipeline}/test-runs", test_runs },
  { "GET /pipelines/{pipeline}/stage/{stage}/config-vars", stage_config },
  { "GET /apps/{app}/pipeline-couplings", function(a) return coupling(a.app) or api.not_found "pipeline coupling" end },
}
