--- The app's own names, before the cutover: a certificate that is issued, HTTPS that answers at the new address, and records
--- that nobody keeps for long. The names lead to Heroku all the while; dns.lua switches them.
local aws = require "aws"
local dns = require "dns"
local errors = require "errors"
local http = require "http"
local log = require "log"
local recipe = require "recipe"
local records = require "aws.common.records"
local task = require "task"

local M = {}

M.TTL = 60                              -- seconds, while names move
local HOURS = 3600                      -- seconds to wait for records that people set

--- How this recipe asks the DNS.
---@param opt table
function M.asking(opt) return { server = opt.dns_server, timeout = 20 } end

--- The names that move along: those given, or all custom ones of Heroku's with "all".
---@param facts table
---@param opt table
---@return string[]
function M.names(facts, opt)
  local on_heroku, all, names = {}, {}, {}
  for _, d in ipairs(facts.domains or {}) do
    if d.kind == "custom" then
      on_heroku[d.hostname:lower()] = true
      all[#all + 1] = d.hostname:lower()
    end
  end
  table.sort(all)
  for _, name in ipairs(opt.domain or {}) do
    if name == "all" then return all end
    name = name:lower():gsub("%.$", "")
    if not on_heroku[name] then
      log.warn("--domain: %s is no domain of the app on Heroku (%s)", name, #all > 0 and table.concat(all, ", ") or "it has none")
    end
    names[#names + 1] = name
  end
  return names
end

--- What names mean for the plan: certificates stand on load balancers only, and port 80 leads to 443.
---@param plan table of mapping.plan
---@param facts table
---@param opt table
function M.plan(plan, facts, opt)
  plan.domains = M.names(facts, opt)
  local web = plan.environments[1]
  if #plan.domains == 0 then return end
  if web.processes[1].type ~= "web" then errors.usage("--domain: the app has no web process that %s could lead to", plan.domains[1]) end
  web.load_balanced, web.https = true, true
end

--- Where a name's records stand: the account's zone, if the world asks that one.
---@param name string
---@param opt table
---@return { name: string, zone: table?, apex: boolean, servers: string[], of: string }
function M.place(name, opt)
  local of, servers = dns.zone((name:gsub("^%*%.", "")), M.asking(opt))
  local zone = aws.hosted_zone { name }
  if zone and not (zone.name == of and table.concat(zone.servers, " ") == table.concat(servers, " ")) then
    log.warn("the account has a hosted zone %s, but the world asks %s for %s: its records are set there", zone.name,
      table.concat(servers, ", "), name)
    zone = nil
  end
  return { name = name, zone = zone, apex = name == of, servers = servers, of = of }
end

--- Tells people now what to do: what follows waits for it.
---@param what string
---@param rows string[][] record, type, value, where
function M.tell(what, rows)
  log.info("%s", what)
  for _, row in ipairs(rows) do log.info("    %s", table.concat(row, "  ")) end
end

local function has(r, opt)
  local ok, values = pcall(dns.resolve, r.name, r.type, M.asking(opt))
  if not ok and errors.is(values, "cancelled") then error(values, 0) end
  return ok and values[1] ~= nil and records.plain(values[1]) == r.value
end

--- Waits until records that people set are in the DNS.
local function wait_for(list, opt)
  local p <close> = log.progress { what = ("%d records in the DNS"):format(#list) }
  local deadline = task.now() + HOURS
  while true do
    local missing
    for _, r in ipairs(list) do
      if not has(r, opt) then missing = r break end
    end
    if not missing then return end
    if task.now() > deadline then
      errors.raise { kind = "timeout", op = "get the certificate", retry = true,
        message = ("%s %s is not in the DNS after %d minutes"):format(missing.name, missing.type, HOURS // 60),
        hint = "set the records above at your DNS provider, and apply again: it goes on from here" }
    end
    p:note(missing.name .. " is not there yet")
    task.sleep(5)
  end
end

--- The certificate for all names, issued. Its records are made where the zone is the account's; else it says which to set.
---@param names string[]
---@param opt table
---@return table certificate of aws.certificate
function M.certificate(names, opt)
  local certificate = aws.certificate { names[1], names = { table.unpack(names, 2) } }
  if recipe.is_unknown(certificate.records) then return certificate end
  local by_hand, rows = {}, {}
  for _, r in ipairs(certificate.records) do
    local zone = M.place(r.of, opt).zone
    if zone then aws.dns_record { r.name, zone = zone, type = r.type, ttl = 300, values = { r.value } }
    else
      by_hand[#by_hand + 1] = r
      rows[#rows + 1] = { r.name, r.type, r.value }
    end
  end
  if recipe.planning() then return certificate end
  if #by_hand > 0 and certificate.status ~= "ISSUED" then
    M.tell("set these records at your DNS provider, and leave them there: they prove the names, and AWS renews the certificate by them", rows)
    wait_for(by_hand, opt)
  end
  certificate:wait()
  return certificate
end

--- Asks for a page of a name at an address, with the certificate checked against the name.
---@return HttpAnswer
function M.ask(name, address, path)
  return http.get(("https://%s%s"):format(name, path), { connect_to = address, timeout = 20, fresh = true })
end

--- Whether HTTPS answers for a name at the new address; nil and why not.
local function answers(name, address, path)
  local ok, answer = pcall(M.ask, name, address, path)
  if ok then return answer end
  if errors.is(answer, "cancelled") then error(answer, 0) end
  return nil, answer
end

local ADDRESSES = { A = true, AAAA = true, CNAME = true }

--- The record sets that lead a name somewhere.
---@param place table of place, with a zone
---@return table[] sets in AWS's own members
function M.addresses(place)
  local sets = {}
  for _, set in ipairs(records.sets(place.zone.id, place.name)) do
    if ADDRESSES[set.Type] then sets[#sets + 1] = set end
  end
  return sets
end

--- Sets how long others keep a name's records: those for which `wanted(set)` is another number than now.
local function keep_for(place, wanted)
  local changes = {}
  for _, set in ipairs(M.addresses(place)) do
    local ttl = set.TTL and wanted(set)
    if ttl and ttl ~= set.TTL then
      set.TTL = ttl
      changes[#changes + 1] = { Action = "UPSERT", ResourceRecordSet = set }
    end
  end
  if #changes > 0 then records.change(place.zone.id, changes) end
end

--- Lowers how long others keep a name's records, where they are the account's, until `hkrun rollback`.
---@return { ttl: integer, at: integer }? before how long that was; nil in a plan
local function lower(place)
  local lowered <close> = recipe.guard {
    key = "lower the TTL of " .. place.name,
    facts = function()
      local by_type, most = {}, 0
      for _, set in ipairs(M.addresses(place)) do
        by_type[set.Type] = set.TTL
        most = math.max(most, set.TTL or 0)
      end
      return { ttl = most, by_type = by_type, at = os.time() }
    end,
    apply = function() keep_for(place, function(set) return math.min(set.TTL, M.TTL) end) end,
    undo = function(facts) keep_for(place, function(set) return set.TTL == M.TTL and facts.by_type[set.Type] end) end,
  }
  lowered:keep()
  return lowered.facts
end

--- Gets names ready to be switched: HTTPS answers for each at the new address, and no resolver keeps the old records long.
---@param names string[]
---@param web table of aws.environment
---@param opt table
---@return table[] places of place, with the TTL of before
function M.prepare(names, web, opt)
  local places = {}
  for i, name in ipairs(names) do
    local place = M.place(name, opt)
    places[i] = place
    if place.zone then
      local before = lower(place)
      if before then place.ttl, place.lowered_at = before.ttl, before.at end
    elseif recipe.planning() then
      log.warn("%s: its DNS is at %s, not at Route 53: lower the TTL of its record there to %d s a day before", name, place.servers[1], M.TTL)
    end
  end
  if recipe.planning() then return places end
  for _, name in ipairs(names) do
    local deadline = task.now() + 300
    while true do
      local answer, why = answers(name, web.cname, "/")
      if answer then break end
      if task.now() > deadline then error(why, 0) end
      task.sleep(1)
    end
  end
  return places
end

--- The app at its new address, as a browser asks for it by its name; without names, as it is.
---@param web table of aws.environment
---@param plan table of mapping.plan
---@return string? url, table? how options of http.get; nothing where the app has no web process: its machine has an address nevertheless
function M.site(web, plan)
  if plan.environments[1].processes[1].type ~= "web" then return nil end
  local name = plan.domains[1]
  if not name then return web.url end
  return "https://" .. name, { connect_to = web.cname }
end

return M
