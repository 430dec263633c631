--- An account on the rehearsal's Heroku with all that Heroku's API can tell of one: teams, spaces, pipelines, Cedar and Fir
--- apps, an add-on that several apps share. No word of it that only its owner may read lacks the mark.
local M = {}

M.mark = "HUSH4711"

--- App number n: each third is of Fir, each second in the pipeline, each fifth uses the first one's database, each seventh is
--- a team's, each tenth in a private space.
local function app(n)
  local name, is_fir, mark = ("app-%02d"):format(n), n % 3 == 0, M.mark
  local size = is_fir and "dyno-1c-0.5gb" or "Standard-1X"
  local manifest = {
    app = { name = name, region = "eu", generation = is_fir and "fir" or "cedar",
      stack = not is_fir and (n == 4 and "heroku-20" or "heroku-24") or nil,
      buildpacks = { is_fir and "heroku/nodejs" or "heroku/ruby" }, slug_size = n * 1000, acm = n % 2 == 1, maintenance = n == 8,
      team = (n % 7 == 0 or n % 10 == 0) and "crew" or nil, space = n % 10 == 0 and (is_fir and "fir-space" or "cedar-space") or nil },
    formation = { web = { quantity = n % 4, size = size, command = "run" },
      worker = { quantity = 1, size = not is_fir and "Basic" or size, command = "work" } },
    config = { API_KEY = mark, GREETING = "hello " .. mark },
    addons = {}, domains = { name .. ".example.com" }, certificates = n % 2 == 1 and { name .. ".example.com" } or {},
    webhooks = { { url = ("https://u:%s@hooks.example.com/x?token=%s"):format(mark, mark), include = { "api:release", "api:build" },
      level = n == 1 and "sync" or nil } },
    features = n % 2 == 0 and { "preboot" } or {}, collaborators = { { email = "a@example.com", role = n == 1 and "member" or nil } },
    autoscale = n == 1 and { min = 1, max = 5, p95 = 500, alert = 900 } or nil,
  }
  if n == 1 or n % 2 == 0 and n % 5 ~= 0 then
    table.insert(manifest.addons, { plan = "heroku-postgresql:standard-0", as = "DATABASE",
      following = n == 1 and ("postgres://u:%s@ec2-1.compute-1.amazonaws.com:5432/d"):format(mark) or nil })
  elseif n % 5 == 0 then table.insert(manifest.addons, { of = "app-01::DATABASE", as = "DATABASE", credential = n == 10 and "analyst" or nil }) end
  if n == 1 then
    table.insert(manifest.addons, { plan = "heroku-redis:premium-0", as = "REDIS" })
    table.insert(manifest.addons, { plan = "papertrail:choklad", as = "PAPERTRAIL", config = { PAPERTRAIL_API_TOKEN = mark } })
    table.insert(manifest.addons, { plan = "scheduler:standard", as = "SCHEDULER" })
  elseif n == 2 then
    table.insert(manifest.addons, { plan = "heroku-kafka:basic-0", as = "KAFKA", config = {
      KAFKA_URL = "kafka+ssl://" .. mark .. ".example.com:9096" } })
  end
  if is_fir then
    manifest.telemetry = { { endpoint = "https://t.example.com/" .. mark, signals = { "logs" }, headers = { ["x-key"] = mark } } }
  else
    manifest.drains = { ("syslog+tls://%s@logs.example.com:%d"):format(mark, 6000 + n),
      n == 1 and { url = "https://logs.papertrail.example.com/" .. mark, addon = "PAPERTRAIL" } or nil }
  end
  if n % 2 == 0 then
    manifest.pipeline = { name = "shop", stage = n == 2 and "production" or n == 6 and "review" or "staging", review_apps = n == 2,
      config = n == 2 and { review = { REVIEW_KEY = mark }, test = { CI_KEY = mark } } or nil }
  end
  return manifest
end
M.app = app

--- The account, with so many apps.
---@param apps integer
---@return table as `account:` of a rehearsal.yml has it
function M.of(apps)
  local mark = M.mark
  local account = {
    name = "Rehearsal", country = "US", two_factor = true, features = { "metrics-request-volume" }, apps = {},
    teams = {
      { name = "crew", role = "admin", enterprise = "acme", members_at_most = 25, members = { { email = "b@example.com", role = "admin", name = "B" },
        { email = "c@example.com" } }, invoices = { { from = "2026-05-01", to = "2026-06-01", cents = 12345 } },
        usage = { { month = "2026-05", dynos = 3.25, addons = 5000 } } },
      { name = "friends", role = "member" },
    },
    spaces = {
      { name = "cedar-space", team = "crew", region = "virginia", shield = true, nat = { "192.0.2.1", "192.0.2.2" }, trusted = { "198.51.100.0/24" },
        peerings = { { id = "pcx-123456789", vpc = "vpc-1", account = "012345678910", region = "us-east-1", cidrs = { "10.9.0.0/16" } } },
        vpns = { { name = "office", ip = "198.51.100.7", key = mark, cidrs = { "10.8.0.0/16" } } } },
      { name = "fir-space", team = "crew", region = "frankfurt", generation = "fir", nat = { "192.0.2.3" },
        telemetry = { { endpoint = "https://spaces.example.com/" .. mark, headers = { key = mark } } } },
    },
    invoices = { { from = "2026-05-01", to = "2026-06-01", cents = 4200 } },
    keys = { { comment = "laptop", fingerprint = "17:63:a4:ba:24:d3:7f:af:17:c8:94:82:7e:80:56:bf", public = "ssh-ed25519 AAAA " .. mark } },
    authorizations = { { description = "deploy bot", scope = { "write" }, token = mark, client = "Dashboard" },
      { description = "laptop", token = mark } },
    clients = { { name = "our-login", redirect = "https://login.example.com/cb?x=" .. mark, secret = mark } },
  }
  for n = 1, apps do account.apps[n] = app(n) end
  return account
end

return M
