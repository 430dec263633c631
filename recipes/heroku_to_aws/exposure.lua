--- Who can connect to what was made, judged from AWS's own answers before customers depend on it: a database or a cache
--- that more can reach than the app and the bastion, and an ssh port that more can reach than was asked for, stop the move.
local aws = require "aws"
local cidr = require "aws.common.cidr"
local recipe = require "recipe"

local M = {}

--- What stands in the report: what the internet and other networks reach, then what the groups do.
---@param openings Opening[] of aws.reach
---@return string[][]
function M.rows(openings)
  local rows, row_of = { { "who", "from", "reaches" } }, {}
  for _, what in ipairs { "internet", "network", "group" } do
    for _, o in ipairs(openings) do
      local who = o.what == "network" and o.via or what
      local reaches = o.text:gsub(" from .*$", "")
      local row = row_of[who .. reaches]
      if o.what ~= what then goto next end
      if row then row[2] = row[2] .. ", " .. o.from
      else
        row = { who, o.from, reaches }
        rows[#rows + 1], row_of[who .. reaches] = row, row
      end
      ::next::
    end
  end
  return rows
end

--- The openings that must not be.
---@param openings Opening[] of aws.reach
---@param o { allow: any[], ssh_from: string?, bastion: string? } allow: the groups that may reach the stores
---@return Opening[]
function M.faults(openings, o)
  local list, allowed = {}, {}
  for _, group in pairs(o.allow) do allowed[type(group) == "table" and group.id or group] = true end
  local ssh_from = o.ssh_from and cidr.canonical(o.ssh_from)
  for _, opening in ipairs(openings) do
    local store = opening.kind == "database" or opening.kind == "cache"
    local ssh = opening.id == o.bastion and opening.what ~= "group" and opening.from ~= ssh_from
    if store and not (opening.what == "group" and allowed[opening.group]) or ssh then list[#list + 1] = opening end
  end
  return list
end

--- Reports what is reachable, and stops on what must not be.
---@param o { network: table, allow: any[], bastion: table?, ssh_from: string? }
function M.check(o)
  if recipe.planning() then return end
  local openings, words = aws.reach { vpc = o.network.id }, {}
  recipe.report("Reachable, and nothing else is", M.rows(openings), { head = true })
  for i, fault in ipairs(M.faults(openings, { allow = o.allow, bastion = o.bastion and o.bastion.id, ssh_from = o.ssh_from })) do
    words[i] = fault.text
  end
  recipe.need(#words == 0, "what must be private is not: %s. Take that rule out of its security group, then apply again", table.concat(words, "; "))
end

return M
