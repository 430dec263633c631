--- The app's own names, after the cutover: they lead to AWS. `hkrun rollback` leads them back to Heroku.
local dns = require "dns"
local domain = require "heroku_to_aws.domain"
local errors = require "errors"
local log = require "log"
local recipe = require "recipe"
local records = require "aws.common.records"
local tables = require "heroku_to_aws.tables"
local task = require "task"
local aws = require "aws"

local M = {}

M.WAIT = 1800                           -- seconds until names that people switch must lead to AWS

--- The record that leads a name to the app. At the top of a zone no CNAME can stand (RFC 1912, 2.4): there it is an alias,
--- which Route 53 has for the names of environments and of load balancers.
local function target(place, web, ttl)
  if not place.apex then return { Name = place.name, Type = "CNAME", TTL = ttl, ResourceRecords = { { Value = web.cname } } } end
  local region = aws.elasticbeanstalk.region
  local zone = web.cname_zone or tables.beanstalk_zones[region]
    or errors.usage("recipes/heroku_to_aws/tables.lua does not know the hosted zone of Elastic Beanstalk in %s", region)
  return records.set { name = place.name, type = "A", alias = { name = web.cname, zone = zone } }
end

--- The records of names as they are, to lead them back; with the TTL that they had.
local function now(places)
  local before = {}
  for _, place in ipairs(places) do
    if place.zone then
      local sets = domain.addresses(place)
      for _, set in ipairs(sets) do
        if set.TTL and place.ttl and place.ttl > 0 then set.TTL = place.ttl end
      end
      before[#before + 1] = { name = place.name, zone = place.zone.id, sets = sets }
    end
  end
  return { names = before }
end

--- Makes these the only address records of a name, in one change.
local function replace(place, sets)
  local changes, wanted = {}, {}
  for _, set in ipairs(sets) do wanted[set.Type] = true end
  for _, set in ipairs(domain.addresses(place)) do
    if not wanted[set.Type] then changes[#changes + 1] = { Action = "DELETE", ResourceRecordSet = set } end
  end
  for _, set in ipairs(sets) do changes[#changes + 1] = { Action = "UPSERT", ResourceRecordSet = set } end
  if #changes > 0 then records.change(place.zone.id, changes) end
end

--- Why a name does not lead to the environment yet; nil when all its servers say that it does, and HTTPS answers there.
local function problem(place, web, opt)
  local asking = domain.asking(opt)
  local ours = dns.resolve(web.cname, "A", asking)
  local wanted = table.concat(ours, ", ")
  for _, seen in ipairs(dns.authoritative(place.name, "CNAME", asking)) do
    if records.plain(seen.values[1] or "") ~= records.plain(web.cname) then
      local addresses = dns.authoritative(place.name, "A", asking)
      for _, a in ipairs(addresses) do
        if a.server == seen.server and (wanted == "" or table.concat(a.values, ", ") ~= wanted) then
          return ("%s still says that %s is %s"):format(seen.server, place.name, seen.values[1] or a.values[1] or "not there")
        end
      end
    end
  end
  local address = dns.resolve(place.name, "A", asking)[1]
  if not address then return place.name .. " has no address" end
  local ok, answer = pcall(domain.ask, place.name, address, opt.health_path)
  if not ok and errors.is(answer, "cancelled") then error(answer, 0) end
  if not ok then return tostring(answer) end
  if answer.status >= 500 then return ("https://%s%s answers with status %d"):format(place.name, opt.health_path, answer.status) end
  return nil, answer.headers["strict-transport-security"] ~= nil
end

--- What to set where the DNS is not the account's.
local function by_hand(places, web)
  local rows = {}
  for _, place in ipairs(places) do
    if not place.zone then
      rows[#rows + 1] = { place.name, place.apex and "ALIAS or ANAME" or "CNAME", web.cname, "at " .. place.servers[1] }
    end
  end
  if #rows > 0 then domain.tell("switch these names to AWS now, with a TTL of " .. domain.TTL .. " s:", rows) end
end

--- Waits until a name leads to AWS.
local function verify(place, web, opt)
  return function(progress)
    local deadline = task.now() + M.WAIT
    while true do
      local ok, why, hsts = pcall(problem, place, web, opt)
      if ok and not why then return { name = place.name, hsts = hsts or false, at = os.time() } end
      if not ok and errors.is(why, "cancelled") then error(why, 0) end
      why = tostring(why)
      if task.now() > deadline then
        errors.raise { kind = "timeout", op = ("switch %s to AWS"):format(place.name), message = why, retry = true,
          hint = ("the app runs on AWS, at %s: let %s lead there (%s), and apply again, which goes on from here"):format(
            web.cname, place.name, place.apex and "an ALIAS or ANAME record: a zone's own name takes no CNAME" or "a CNAME record") }
      end
      progress:note(why)
      task.sleep(2)
    end
  end
end

--- Switches the names to the environment, and waits until the world sees it. Nothing is switched before HTTPS answers at the
--- new address for each name: browsers that were told to use HTTPS only (HSTS) would be shut out.
---@param places table[] of domain.prepare
---@param web table of aws.environment
---@param opt table
---@return table[] verified { name, hsts, at }
function M.switch(places, web, opt)
  if #places == 0 then return {} end
  local words = {}
  for i, place in ipairs(places) do words[i] = place.name end
  local switched <close> = recipe.guard {
    key = "point the domains to AWS", what = "point " .. table.concat(words, ", ") .. " to AWS",
    facts = function() return now(places) end,
    apply = function()
      for _, place in ipairs(places) do domain.ask(place.name, web.cname, opt.health_path) end
      for _, place in ipairs(places) do
        if place.zone then replace(place, { target(place, web, domain.TTL) }) end
      end
    end,
    undo = function(facts)
      for _, before in ipairs(facts.names) do replace({ name = before.name, zone = { id = before.zone } }, before.sets) end
    end,
  }
  switched:keep()                       -- what people must switch takes its time: a name that waits for them undoes no other
  if not recipe.planning() then by_hand(places, web) end
  local verified = {}
  for i, place in ipairs(places) do
    verified[i] = switched:once(("see that %s leads to AWS"):format(place.name), verify(place, web, opt))
    if place.lowered_at and place.ttl and not recipe.planning() and os.time() < place.lowered_at + place.ttl then
      log.warn("some resolvers may lead %s to Heroku until %s: its records were to be kept for %d s, and that was lowered only then",
        place.name, os.date("!%H:%M UTC", place.lowered_at + place.ttl), place.ttl)
    end
    if place.zone and not place.apex and place.ttl and place.ttl > domain.TTL then
      switched:once(("raise the TTL of %s"):format(place.name), function() replace(place, { target(place, web, place.ttl) }) end)
    end
  end
  return verified
end

return M
