--- The ec2 protocol: query with lists that are always flat and names that start with a capital letter.
local query = require "aws.protocol.query"

local M = { begin = query.begin, result = query.result, error = query.error, data = query.data }

---@type aws.QueryDialect
local EC2 = {
  empty_lists = false,
  name = function(member)
    if member.query then return member.query end
    return member.wire and member.wire:gsub("^%l", string.upper) or member.name
  end,
  list = function(_, prefix) return prefix end,
}

function M.request(model, op, args) return query.request(model, op, args, EC2) end

return M
