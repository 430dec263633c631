--- Address ranges: IPv4 as VPCs have them, and both kinds as AWS writes them.
local errors = require "errors"

local M = {}

--- Reads "10.40.0.0/16". Raises "usage" in one sentence when it is not a range, or has bits beyond its prefix.
---@param text string
---@return { address: integer, bits: integer }
function M.parse(text)
  local a, b, c, d, bits = tostring(text):match "^(%d+)%.(%d+)%.(%d+)%.(%d+)/(%d+)$"
  local address = 0
  for _, part in ipairs { a, b, c, d } do
    local n = math.tointeger(tonumber(part))
    if n > 255 or #part > 3 then address = nil break end
    address = address << 8 | n
  end
  bits = math.tointeger(tonumber(bits))
  if not a or not address or bits > 32 then
    errors.usage("%s is not an address range like 10.40.0.0/16", tostring(text))
  end
  local range = { address = address, bits = bits }
  local start = address >> (32 - bits) << (32 - bits)
  if start ~= address then
    errors.usage("%s has bits beyond its prefix: the range is %s", text, M.show { address = start, bits = bits })
  end
  return range
end

---@param range { address: integer, bits: integer }
---@return string
function M.show(range)
  local n = range.address
  return ("%d.%d.%d.%d/%d"):format(n >> 24 & 255, n >> 16 & 255, n >> 8 & 255, n & 255, range.bits)
end

--- The part number i (from 0) of a range that is cut into 2^cut equal parts.
---@param range { address: integer, bits: integer }
---@param cut integer
---@param i integer
---@return string
function M.part(range, cut, i)
  local bits = range.bits + cut
  return M.show { address = range.address | i << (32 - bits), bits = bits }
end

--- The eight numbers of an IPv6 address; nil when it is none.
local function groups_of(text)
  local function numbers(part)
    local list = {}
    if part == "" then return list end
    for word in (part .. ":"):gmatch "([^:]*):" do
      if not word:find "^%x%x?%x?%x?$" then return nil end
      list[#list + 1] = tonumber(word, 16)
    end
    return list
  end
  local head, tail = text:match "^(.-)::(.*)$"
  local list, rest = numbers(head or text), numbers(tail or "")
  if not list or not rest then return nil end
  local gap = 8 - #list - #rest
  if head and gap < 1 or not head and gap ~= 0 then return nil end
  for _ = 1, gap do list[#list + 1] = 0 end
  return table.move(rest, 1, #rest, #list + 1, list)
end

--- An IPv6 address as RFC 5952 wants it: lower case, the longest run of zeros left out.
local function show_groups(groups)
  local first, longest = nil, 1
  for i = 1, 8 do
    local n = 0
    while groups[i + n] == 0 do n = n + 1 end
    if n > longest then first, longest = i, n end
  end
  local words = {}
  for i, n in ipairs(groups) do words[i] = ("%x"):format(n) end
  if not first then return table.concat(words, ":") end
  return table.concat(words, ":", 1, first - 1) .. "::" .. table.concat(words, ":", first + longest)
end

--- A range as AWS keeps it: without bits beyond its prefix, IPv6 in its shortest form. What is no range stays as it is.
---@param text string
---@return string
function M.canonical(text)
  local host, bits = text:match "^(.+)/(%d+)$"
  bits = math.tointeger(tonumber(bits))
  if not bits then return text end
  local a, b, c, d = host:match "^(%d+)%.(%d+)%.(%d+)%.(%d+)$"
  if a and bits <= 32 then
    local address = tonumber(a) << 24 | tonumber(b) << 16 | tonumber(c) << 8 | tonumber(d)
    return M.show { address = address >> (32 - bits) << (32 - bits), bits = bits }
  end
  local groups = host:find(":", 1, true) and bits <= 128 and groups_of(host)
  if not groups then return text end
  for i = 1, 8 do
    local kept = math.max(0, math.min(16, bits - (i - 1) * 16))
    groups[i] = groups[i] >> (16 - kept) << (16 - kept)
  end
  return show_groups(groups) .. "/" .. bits
end

--- A range as "4" or "6" and one character for each bit of its prefix: a range holds another when the other begins with
--- it. Nil when the text is no range.
---@param text string "10.40.0.0/16"
---@return string? "40000101000101000"
function M.bits(text)
  local host, length = text:match "^(.+)/(%d+)$"
  length = math.tointeger(tonumber(length))
  if not length then return nil end
  local a, b, c, d = host:match "^(%d+)%.(%d+)%.(%d+)%.(%d+)$"
  local numbers, size = { tonumber(a), tonumber(b), tonumber(c), tonumber(d) }, 8
  if not a then numbers, size = host:find(":", 1, true) and groups_of(host), 16 end
  if not numbers or length > #numbers * size then return nil end
  local bits = {}
  for _, n in ipairs(numbers) do
    if n >= 1 << size then return nil end
    for i = size - 1, 0, -1 do bits[#bits + 1] = n >> i & 1 end
  end
  return (a and "4" or "6") .. table.concat(bits, "", 1, length)
end

--- The other way round.
---@param bits string
---@return string "10.40.0.0/16"
function M.of_bits(bits)
  local v4, length = bits:sub(1, 1) == "4", #bits - 1
  local size, numbers = v4 and 8 or 16, {}
  local all = bits:sub(2) .. ("0"):rep((v4 and 32 or 128) - length)
  for word in all:gmatch(("."):rep(size)) do numbers[#numbers + 1] = tonumber(word, 2) end
  return (v4 and table.concat(numbers, ".") or show_groups(numbers)) .. "/" .. length
end

--- A range for a VPC: AWS takes /16 to /28. `parts`: how many subnets of at least /28 it must hold.
---@param text string
---@return { address: integer, bits: integer }
function M.vpc(text)
  local range = M.parse(text)
  if range.bits < 16 or range.bits > 24 then
    errors.usage("%s cannot be the range of the VPC: choose one from /16 to /24, like 10.40.0.0/16", text)
  end
  return range
end

return M
