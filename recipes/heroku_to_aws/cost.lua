--- What the app costs today on Heroku, and what it will on AWS: line by line, a month of 730 hours. A line without a price is
--- unknown, and is never counted as nothing. Prices of AWS: prices.lua; today's come from Heroku's API. See docs/mapping.md.
local from_audit = require "heroku_to_aws.from_audit"
local lines_of = require "heroku_to_aws.cost_lines"
local prices = require "heroku_to_aws.prices"
local tables = require "heroku_to_aws.tables"

local M = {}

---@class CostLine
---@field what string
---@field how string how many of what
---@field cents integer? a month; nil: unknown
---@field note string?

---@class CostSide
---@field lines CostLine[]
---@field total integer cents a month, of the lines whose price is known
---@field unknown string[] those whose is not

--- The sum of what is known, and the names of what is not.
---@param lines CostLine[]
---@return CostSide
local function side(lines)
  local total, unknown = 0, {}
  for _, line in ipairs(lines) do
    if line.cents then total = total + line.cents else unknown[#unknown + 1] = line.what end
  end
  return { lines = lines, total = total, unknown = unknown }
end

--- Cents a month of a price as the Platform API gives it.
---@param price { cents: integer?, unit: string?, contract: boolean? }?
---@return integer? cents, string? why there is none
local function monthly(price)
  if not price then return nil, "Heroku's API tells no price" end
  if price.contract then return nil, "priced by contract" end
  if math.type(price.cents) ~= "integer" then return nil, "Heroku's API tells no price" end
  return price.cents * (price.unit == "hour" and prices.hours or 1)
end

--- A dyno's price: what the API says; for sizes of which it says nothing, what Heroku lists.
local function dyno_price(size, from_api)
  for _, found in ipairs(from_api or {}) do
    local cents = found.name:lower() == size and monthly(found.cost)
    if cents then return cents end
  end
  local listed = tables.dynos[size]
  if not listed then return nil, "its size is not in the tables" end
  return listed.cents, ("Heroku's list price (%s); the API tells none"):format(tables.sources[listed.source].read)
end

--- Today's bill.
---@param facts table of audit.read, with `dyno_sizes`; add-ons with `price` and, where another app pays, `app`
---@return CostSide
function M.today(facts)
  local lines, eco = {}, false
  for _, p in ipairs(facts.formation) do
    if p.quantity > 0 then
      local size = (p.size or "standard-1x"):lower()
      local cents, note = dyno_price(size, facts.dyno_sizes)
      local again = size == "eco" and eco
      eco = eco or size == "eco"
      if size ~= "eco" then cents = cents and cents * p.quantity
      else cents, note = again and 0 or cents, "flat, for all eco dynos of the account" end
      lines[#lines + 1] = { what = p.type, how = ("%d x %s"):format(p.quantity, p.size), cents = cents, note = note }
    end
  end
  for _, a in ipairs(facts.addons) do
    local cents, note = monthly(a.price)
    if a.app and a.app ~= facts.app.name then cents, note = 0, ("billed to the app %s"):format(a.app) end
    lines[#lines + 1] = { what = a.service, how = a.plan, cents = cents, note = note }
  end
  return side(lines)
end

--- Today's bill beside that of AWS.
---@param facts table of heroku_to_aws.audit, or an app of recipes/audit.lua (then opt.dyno_sizes are those of its account)
---@param plan table of mapping.plan
---@param opt? table the recipe's options: region, zones, activate_bastion, create_alarm, data, domain; and `nat` (boolean),
--- `graviton` (boolean: machines of arm64 for the app), `x86_stores` (boolean), `multi_az` (boolean, instead of the plan's),
--- `fargate` (boolean), `traffic_gigabytes` and `log_gigabytes` (a month), `live` (of live_prices.ask)
---@return { region: string, known_region: boolean, today: CostSide, aws: CostSide, live: table? }
function M.of(facts, plan, opt)
  if not facts.app then facts = from_audit(facts, (opt or {}).dyno_sizes) end
  local o = setmetatable({}, { __index = opt or {} })
  o.region = o.region or "us-east-1"
  local price, known = prices.of(o.region, o.live and o.live.prices)
  local today = M.today(facts)
  local lines = lines_of(plan, o, price)
  for i, a in ipairs(plan.addons) do                   -- what goes on costs what it does today
    local now = facts.addons[i]
    if a.becomes ~= "moved" and now and not (now.app and now.app ~= facts.app.name) then
      local cents, note = monthly(now.price)
      lines[#lines + 1] = { what = a.service, how = a.plan .. ", which goes on", cents = cents, note = note }
    end
  end
  return { region = o.region, known_region = known, today = today, aws = side(lines), live = o.live or nil }
end

--- The same plan otherwise: each as a name and what is other in the options.
---@return { [1]: string, [2]: table }[]
local function others(plan, opt)
  local list, here = {}, opt.region or "us-east-1"
  for _, region in ipairs(prices.regions) do
    if region ~= here then list[#list + 1] = { "in " .. region, { region = region, live = false } } end
  end
  if plan.postgres then
    list[#list + 1] = plan.postgres.multi_az and { "database in a single zone", { multi_az = false } }
      or { "database with a standby (Multi-AZ)", { multi_az = true } }
  end
  list[#list + 1] = { "app on Graviton (needs images for arm64)", { graviton = true } }
  if plan.postgres or plan.cache then list[#list + 1] = { "stores on x86-64", { x86_stores = true } } end
  list[#list + 1] = { "with a NAT gateway in each zone", { nat = true } }
  if opt.activate_bastion ~= false then list[#list + 1] = { "without the bastion", { activate_bastion = false } } end
  return list
end

--- What it would cost otherwise.
---@param facts table
---@param plan table
---@param opt? table
---@return { what: string, total: integer, unknown: string[], difference: integer? }[] difference: to the plan, in cents a month;
--- nil where not the same lines have a price
function M.variants(facts, plan, opt)
  opt = opt or {}
  local base, list = M.of(facts, plan, opt).aws, {}
  local missing = table.concat(base.unknown, "\n")
  for i, other in ipairs(others(plan, opt)) do
    local o = setmetatable(other[2], { __index = opt })
    local found = M.of(facts, plan, o).aws
    list[i] = { what = other[1], total = found.total, unknown = found.unknown,
      difference = table.concat(found.unknown, "\n") == missing and found.total - base.total or nil }
  end
  return list
end

--- 123456 -> "$1234.56"
---@param cents integer?
---@return string
function M.money(cents)
  if not cents then return "unknown" end
  return ("%s$%d.%02d"):format(cents < 0 and "-" or "", math.abs(cents) // 100, math.abs(cents) % 100)
end

return M
