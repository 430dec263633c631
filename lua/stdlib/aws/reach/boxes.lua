--- Sets of addresses and ports, exactly: a box is a range of addresses, as aws.common.cidr's bits, and a range of ports.
local cidr = require "aws.common.cidr"

local M = {}

---@class ReachBox
---@field bits string the range, as cidr.bits says it
---@field first integer first port
---@field last integer last port

local function overlap(a, b)
  local bits = #a.bits > #b.bits and a.bits or b.bits
  local first, last = math.max(a.first, b.first), math.min(a.last, b.last)
  if first > last or bits:sub(1, #a.bits) ~= a.bits or bits:sub(1, #b.bits) ~= b.bits then return nil end
  return { bits = bits, first = first, last = last }
end

--- What is left of a box without a part of it.
local function without(box, part, into)
  for i = #box.bits + 1, #part.bits do                       -- the other half, at each bit that the part has more
    local half = part.bits:sub(1, i - 1) .. (part.bits:sub(i, i) == "0" and "1" or "0")
    into[#into + 1] = { bits = half, first = box.first, last = box.last }
  end
  if box.first < part.first then into[#into + 1] = { bits = part.bits, first = box.first, last = part.first - 1 } end
  if part.last < box.last then into[#into + 1] = { bits = part.bits, first = part.last + 1, last = box.last } end
end

--- Cuts boxes by rules of which the first that fits decides: a network ACL's entries in their order, a route table's
--- routes with the longest prefix first. What no rule fits is left out.
---@param boxes ReachBox[]
---@param rules table[] each with a box's fields
---@return { box: ReachBox, rule: table }[]
function M.cut(boxes, rules)
  local open, pieces = boxes, {}
  for _, rule in ipairs(rules) do
    local rest = {}
    for _, box in ipairs(open) do
      local hit = overlap(box, rule)
      if hit then
        pieces[#pieces + 1] = { box = hit, rule = rule }
        without(box, hit, rest)
      else
        rest[#rest + 1] = box
      end
    end
    open = rest
  end
  return pieces
end

--- Boxes without what lies in some ranges, at any port.
---@param boxes ReachBox[]
---@param ranges string[] bits
---@return ReachBox[]
function M.minus(boxes, ranges)
  for _, bits in ipairs(ranges) do
    local rest = {}
    for _, box in ipairs(boxes) do
      local hit = overlap(box, { bits = bits, first = 0, last = 65535 })
      if hit then without(box, hit, rest) else rest[#rest + 1] = box end
    end
    boxes = rest
  end
  return boxes
end

--- What lies both in some boxes and in one of the others.
---@param boxes ReachBox[]
---@param others ReachBox[]
---@return ReachBox[]
function M.both(boxes, others)
  local list = {}
  for i, piece in ipairs(M.cut(boxes, others)) do list[i] = piece.box end
  return list
end

--- The ranges of boxes by their ports, as few as it takes.
---@param boxes ReachBox[]
---@return { first: integer, last: integer, ranges: string[] }[] ranges in bits
function M.by_port(boxes)
  local groups, by_key = {}, {}
  for _, box in ipairs(boxes) do
    local key = ("%05d-%05d"):format(box.first, box.last)
    if not by_key[key] then
      by_key[key] = { key = key, first = box.first, last = box.last, has = {} }
      groups[#groups + 1] = by_key[key]
    end
    by_key[key].has[box.bits] = true
  end
  table.sort(groups, function(a, b) return a.key < b.key end)
  for _, group in ipairs(groups) do
    local has, names, changed = group.has, {}, true
    while changed do                                         -- two halves are one range
      names, changed = {}, false
      for bits in pairs(has) do names[#names + 1] = bits end
      table.sort(names)
      for _, bits in ipairs(names) do
        local whole = bits:sub(1, -2)
        local other = whole .. (bits:sub(-1) == "0" and "1" or "0")
        if #bits > 1 and has[bits] and has[other] then
          has[bits], has[other], has[whole], changed = nil, nil, true, true
        end
      end
    end
    group.has, group.key, group.ranges = nil, nil, names
  end
  return groups
end

--- Ranges in words, the first few of them.
---@param ranges string[] bits
---@return string
function M.show(ranges)
  local words = {}
  for i = 1, math.min(#ranges, 4) do words[i] = cidr.of_bits(ranges[i]) end
  return table.concat(words, ", ") .. (#ranges > 4 and (" and %d more"):format(#ranges - 4) or "")
end

return M
