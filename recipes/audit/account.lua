--- What Heroku's APIs say of whom the token belongs to: teams, spaces, pipelines, prices, invoices, keys.
--- Sources: devcenter.heroku.com/articles/platform-api-reference (its resources by name), June 2026.
local json = require "json"
local parts = require "audit.parts"

local M = {}

local picked = parts.picked

-- Kept of what belongs to no single app. The members that hold secrets are never read as text.
local LISTS = {
  { "features", "/account/features", { "name", "enabled" } },
  { "enterprise_accounts", "/enterprise-accounts", { "name" } },
  { "dyno_sizes", "/dyno-sizes", { "name", "memory", "cost", "dedicated", "generation.name" } },
  { "stacks", "/stacks", { "name", "state", "default" } },
  { "invoices", "/account/invoices", { "period_start", "period_end", "total", "state" } },
  { "keys", "/account/keys", { "comment", "fingerprint" }, secrets = { public_key = true } },
  { "authorizations", "/oauth/authorizations", { "description", "scope", "client.name" }, secrets = { token = true, code = true } },
  { "oauth_clients", "/oauth/clients", { "name" }, secrets = { secret = true } },
}

local function teams(client, gaps, now)
  local found = json.array {}
  for i, team in ipairs(client:list "/teams") do
    local at = "/teams/" .. team.id
    found[i] = parts.with(parts.pick(team, { "name", "role", "type", "enterprise_account.name" }), gaps, "the team " .. team.name, {
      { "members", function() return picked(client:list(at .. "/members"), { "email", "role" }) end },
      { "apps", function() return #client:list(at .. "/apps") end },
      { "invoices", function() return picked(client:list(at .. "/invoices"), { "period_start", "period_end", "total", "payment_status" }) end },
      { "usage", function()
        local months = client:get(("%s/usage/monthly?start=%s"):format(at, os.date("!%Y-%m", now - 62 * 86400)))
        return picked(months or {}, { "month", "dynos", "addons", "data", "partner", "space" })
      end },
    })
  end
  return found
end

--- A private space: the addresses that others see it come from, and what it is joined to.
local function space(client, gaps, one)
  local at = "/spaces/" .. one.id
  local found = parts.pick(one, { "name", "region.name", "shield", "state", "cidr", "data_cidr", "generation.name", "team.name" })
  local readers = {
    { "nat", function() return client:get(at .. "/nat").sources end },
    { "trusted", function() return picked(client:get(at .. "/inbound-ruleset").rules or {}, { "action", "source" }) end },
  }
  if found.generation == "fir" then
    readers[#readers + 1] = { "telemetry", function()
      local drains = json.array {}
      for i, drain in ipairs(client:list(at .. "/telemetry-drains")) do drains[i] = parts.telemetry(drain) end
      return drains
    end }
  else
    for _, reader in ipairs {
      { "peerings", function() return picked(client:list(at .. "/peerings"), { "pcx_id", "status", "aws_vpc_id", "aws_region", "cidr_blocks" }) end },
      { "peering", function() return parts.pick(client:get(at .. "/peering-info"), { "aws_account_id", "aws_region", "vpc_id", "vpc_cidr" }) end },
      { "vpns", function()
        return picked(client:list(at .. "/vpn-connections", { secrets = { pre_shared_key = true } }), { "name", "public_ip", "status" })
      end },
    } do readers[#readers + 1] = reader end
  end
  return parts.with(found, gaps, "the space " .. one.name, readers)
end

local function spaces(client, gaps)
  local found = json.array {}
  for i, one in ipairs(client:list "/spaces") do found[i] = space(client, gaps, one) end
  return found
end

local STAGES = { "test", "review" }                    -- those whose apps are made anew, and get config vars of the pipeline's

--- A pipeline: its apps by stage, review apps, and the names of the config vars that its passing apps get.
local function pipeline(client, gaps, one)
  local at = "/pipelines/" .. one.id
  local found = parts.pick(one, { "name", "owner.type", "generation.name" })
  local readers = {
    { "stages", function()
      local stages = {}
      for _, coupling in ipairs(client:list(at .. "/pipeline-couplings")) do
        stages[coupling.stage] = (stages[coupling.stage] or 0) + 1
      end
      return stages
    end },
    { "review_apps", function()
      local ok, config = pcall(client.get, client, at .. "/review-app-config")
      if not ok and config.kind == "not_found" then return nil end
      if not ok then error(config, 0) end
      return parts.pick(config, { "automatic_review_apps", "destroy_stale_apps", "stale_days", "wait_for_ci", "base_name" })
    end },
    { "test_runs", function() return #client:list(at .. "/test-runs") end },
    { "review_apps_now", function() return #client:list(at .. "/review-apps") end },
  }
  for _, stage in ipairs(STAGES) do
    readers[#readers + 1] = { stage .. "_config", function()
      return parts.names(client:get(("%s/stage/%s/config-vars"):format(at, stage), { secrets = true }) or {})
    end }
  end
  return parts.with(found, gaps, "the pipeline " .. one.name, readers)
end

local function pipelines(client, gaps)
  local found = json.array {}
  for i, one in ipairs(client:list "/pipelines") do found[i] = pipeline(client, gaps, one) end
  return found
end

--- Whose token it is, and what belongs to no single app.
---@param client HerokuClient
---@return table account
function M.read(client)
  local who = client:get("/account", { what = "read the Heroku account" })
  local inner = json.array {}
  local readers = {
    { "requests_left", function() return client:get("/account/rate-limits").remaining end },
    { "teams", function() return teams(client, inner, os.time()) end },
    { "spaces", function() return spaces(client, inner) end },
    { "pipelines", function() return pipelines(client, inner) end },
  }
  for _, list in ipairs(LISTS) do
    readers[#readers + 1] = { list[1], function() return picked(client:list(list[2], { secrets = list.secrets }), list[3]) end }
  end
  local found, gaps = parts.gather(readers)
  for _, gap in ipairs(inner) do gaps[#gaps + 1] = gap end
  table.sort(gaps, function(a, b) return a.what < b.what end)
  found.email, found.two_factor, found.gaps = who.email, who.two_factor_authentication, gaps
  return found
end

--- The list prices of the plans of the apps' add-ons.
---@param apps table[]
---@return table<string, { cents: integer, unit: string, contract: boolean }> plans by name
---@return table[] gaps
function M.plans(client, apps)
  local names, seen, readers = {}, {}, {}
  for _, app in ipairs(apps) do
    for _, addon in ipairs(app.addons or {}) do
      if not seen[addon.plan] then seen[addon.plan], names[#names + 1] = true, addon.plan end
    end
  end
  for i, name in ipairs(names) do
    readers[i] = { "the plan " .. name, function() return parts.pick(client:get("/plans/" .. name).price or {}, { "cents", "unit", "contract" }) end }
  end
  local found, gaps = parts.gather(readers)
  local plans = {}
  for what, price in pairs(found) do plans[what:match "^the plan (.*)$"] = price end
  return plans, gaps
end

--- The apps of a pipeline.
---@param name string or its id
---@return string[] names
function M.in_pipeline(name, client)
  local found = client:get("/pipelines/" .. name, { what = "read the Heroku pipeline " .. name })
  local names = {}
  for i, coupling in ipairs(client:list("/pipelines/" .. found.id .. "/pipeline-couplings")) do names[i] = coupling.app.name or coupling.app.id end
  return names
end

return M
