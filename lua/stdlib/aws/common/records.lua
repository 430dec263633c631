--- Record sets of Route 53, read and changed.
local aws = require "aws"
local errors = require "errors"
local log = require "log"
local task = require "task"

local M = {}

local SPREAD = 600                      -- seconds that a change may take until all name servers have it

--- A name as it is compared: lower case, no dot at its end, and characters as they are.
function M.plain(name)
  name = name:lower():gsub("\\(%d%d%d)", function(octal) return string.char(tonumber(octal, 8)) end)
  return (name:gsub("%.$", ""))
end

--- The record sets of exactly this name.
---@param zone string its id
---@param name string
---@return table[] sets in AWS's own members
function M.sets(zone, name)
  local list, start = {}, { HostedZoneId = zone, StartRecordName = name }
  local page = aws.route53:list_resource_record_sets(start)
  for _, set in ipairs(page.ResourceRecordSets) do
    if M.plain(set.Name) == M.plain(name) then list[#list + 1] = set end
  end
  return list
end

--- The one of a type, or nil.
function M.find(zone, name, kind)
  for _, set in ipairs(M.sets(zone, name)) do
    if set.Type == kind then return set end
  end
end

--- The values of a set, or nil where it is an alias.
function M.values(set)
  if set.AliasTarget then return nil end
  local list = {}
  for i, r in ipairs(set.ResourceRecords or {}) do list[i] = r.Value end
  return list
end

--- A set in AWS's members.
---@param o { name: string, type: string, ttl: integer?, values: string[]?, alias: { name: string, zone: string }? }
function M.set(o)
  local set = { Name = o.name, Type = o.type }
  if o.alias then
    set.AliasTarget = { DNSName = o.alias.name, HostedZoneId = o.alias.zone, EvaluateTargetHealth = false }
    return set
  end
  set.TTL, set.ResourceRecords = o.ttl, {}
  for i, value in ipairs(o.values) do set.ResourceRecords[i] = { Value = value } end
  return set
end

--- Changes a zone, and waits until all its name servers have it.
---@param zone string
---@param changes table[] { Action =, ResourceRecordSet = }
function M.change(zone, changes)
  local info = aws.route53:change_resource_record_sets({ HostedZoneId = zone, ChangeBatch = { Changes = changes } }).ChangeInfo
  local p <close> = log.progress { what = "bring the change to the name servers of the zone " .. zone }
  local deadline, pause = task.now() + SPREAD, 0.5
  while info.Status ~= "INSYNC" do
    if task.now() > deadline then
      errors.raise { kind = "timeout", op = "change the zone " .. zone, retry = true,
        message = ("the change is %s after %d s"):format(info.Status, SPREAD) }
    end
    p:note(info.Status)
    task.sleep(pause)
    pause = math.min(pause * 1.5, 10)
    info = aws.route53:get_change({ Id = info.Id }).ChangeInfo
  end
end

return M
