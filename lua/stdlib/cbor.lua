--- CBOR (RFC 8949), the binary form of JSON that newer AWS services speak.
---
---     local bytes = cbor.encode { id = 7, tags = { "a", "b" } }
---     local value = cbor.decode(bytes)
---
--- Integers have 64 bits. Text and bytes are both strings in Lua: a string is written as text, `cbor.bytes(s)` as
--- bytes. json.null stands for null, json.array{} for an empty list; a table with a value at 1 is a list, another one a map.
local errors = require "errors"
local json = require "json"
local secret = require "secret"

local M = {}

local DEEPEST = 256

local Bytes, Tag, Single, Double, Map = {}, {}, {}, {}, {}

--- A string, or a secret, that is written as bytes.
---@param value string|Secret
function M.bytes(value) return setmetatable({ value }, Bytes) end

--- A value under a tag: cbor.tag(1, os.time()) is a time.
---@param number integer
---@param value any
function M.tag(number, value) return setmetatable({ number, value }, Tag) end

--- A number that is written as a float of 32 bits, whatever its value.
---@param value number
function M.single(value) return setmetatable({ value }, Single) end

--- A number that is written as a float of 64 bits, whatever its value.
---@param value number
function M.double(value) return setmetatable({ value }, Double) end

--- A map whose members are written in the order given.
---@param members { [1]: any, [2]: any }[]
function M.map(members) return setmetatable(members, Map) end

local function invalid(fmt, ...) errors.raise { kind = "invalid", op = "write CBOR", message = fmt:format(...) } end

local function head(major, n)
  major = major << 5
  if n < 0 then return (">BI8"):pack(major | 27, n) end       -- an unsigned number of 64 bits
  if n < 24 then return string.char(major | n) end
  if n < 0x100 then return (">BI1"):pack(major | 24, n) end
  if n < 0x10000 then return (">BI2"):pack(major | 25, n) end
  if n < 0x100000000 then return (">BI4"):pack(major | 26, n) end
  return (">BI8"):pack(major | 27, n)
end

--- The two bytes of a number that a float of 16 bits holds exactly; nil for another.
local function half(value)
  if value ~= value then return 0x7E00 end
  local sign = (value < 0 or 1 / value < 0) and 0x8000 or 0
  value = math.abs(value)
  if value == math.huge then return sign | 0x7C00 end
  if value == 0 then return sign end
  if value < 2 ^ -14 then                                     -- subnormal: a multiple of 2^-24
    local n = math.tointeger(value * 2 ^ 24)
    return n and sign | n
  end
  local bits = (">I4"):unpack((">f"):pack(value))
  local exponent, fraction = (bits >> 23) - 127, bits & 0x7FFFFF
  if exponent > 15 or fraction & 0x1FFF ~= 0 or (">f"):unpack((">f"):pack(value)) ~= value then return nil end
  return sign | (exponent + 15) << 10 | fraction >> 13
end

--- The shortest float that holds the value.
local function float(value)
  local short = half(value)
  if short then return (">BI2"):pack(0xF9, short) end
  if (">f"):unpack((">f"):pack(value)) == value then return (">Bf"):pack(0xFA, value) end
  return (">Bd"):pack(0xFB, value)
end

local write

local function write_text(out, major, value)
  out[#out + 1] = head(major, secret.is(value) and secret.size(value) or #value)
  out[#out + 1] = value
end

local function sorted_keys(map)
  local keys = {}
  for key in pairs(map) do
    if type(key) ~= "string" and math.type(key) ~= "integer" then invalid("a table has a key of type %s", type(key)) end
    keys[#keys + 1] = key
  end
  table.sort(keys, function(a, b)
    if type(a) ~= type(b) then return type(a) == "number" end
    return a < b
  end)
  return keys
end

local function write_table(out, value, depth)
  if depth > DEEPEST then invalid("a table is nested deeper than %d levels; does it hold itself?", DEEPEST) end
  local keys = sorted_keys(value)
  if json.is_array(value) or value[1] ~= nil then
    if #keys ~= #value then invalid "a list has holes or names" end
    out[#out + 1] = head(4, #value)
    for _, item in ipairs(value) do write(out, item, depth + 1) end
    return
  end
  out[#out + 1] = head(5, #keys)
  for _, key in ipairs(keys) do
    write(out, key, depth + 1)
    write(out, value[key], depth + 1)
  end
end

local SPECIAL = {
  [Bytes] = function(out, value) write_text(out, 2, value[1]) end,
  [Tag] = function(out, value, depth)
    out[#out + 1] = head(6, value[1])
    write(out, value[2], depth + 1)
  end,
  [Single] = function(out, value) out[#out + 1] = (">Bf"):pack(0xFA, value[1]) end,
  [Double] = function(out, value) out[#out + 1] = (">Bd"):pack(0xFB, value[1]) end,
  [Map] = function(out, value, depth)
    out[#out + 1] = head(5, #value)
    for _, pair in ipairs(value) do
      write(out, pair[1], depth + 1)
      write(out, pair[2], depth + 1)
    end
  end,
}

function write(out, value, depth)
  local kind = type(value)
  if value == json.null then
    out[#out + 1] = "\xF6"
  elseif kind == "string" or secret.is(value) then
    if kind == "string" and not utf8.len(value) then invalid "text is not UTF-8; cbor.bytes writes bytes" end
    write_text(out, 3, value)
  elseif math.type(value) == "integer" then
    out[#out + 1] = value >= 0 and head(0, value) or head(1, ~value)
  elseif kind == "number" then
    out[#out + 1] = float(value)
  elseif kind == "boolean" then
    out[#out + 1] = value and "\xF5" or "\xF4"
  elseif kind == "table" then
    local special = SPECIAL[getmetatable(value)]
    if special then special(out, value, depth) else write_table(out, value, depth) end
  else
    invalid("a %s cannot be written", kind)
  end
end

--- Writes a value: keys sorted, integers and floats in their shortest form. Raises kind "invalid" for what CBOR cannot
--- hold and for a table that holds itself.
---@param value any
---@return string|Secret a secret if any part is one
function M.encode(value)
  local out = {}
  write(out, value, 0)
  return secret.concat(out)
end

---@class cbor.Reader
---@field text string
---@field at integer next byte

local function malformed(r, fmt, ...)
  errors.raise { kind = "invalid", op = "read CBOR", message = fmt:format(...) .. (" at byte %d"):format(r.at) }
end

local function take(r, count)
  if count < 0 or count > #r.text - r.at + 1 then malformed(r, "the text ends too early") end
  local from = r.at
  r.at = from + count
  return r.text:sub(from, r.at - 1)
end

local ARGUMENT = { [24] = ">I1", [25] = ">I2", [26] = ">I4", [27] = ">I8" }
local INDEFINITE = 31

--- The number that follows the first byte; one above 2^63 comes out negative.
local function argument(r, info)
  if info < 24 then return info end
  local format = ARGUMENT[info] or malformed(r, "the length %d is reserved", info)
  return (format:unpack(take(r, format:packsize())))
end

local read

local function first(r)
  local byte = take(r, 1):byte()
  return byte >> 5, byte & 31
end

local function at_break(r)
  if r.text:byte(r.at) ~= 0xFF then return false end
  r.at = r.at + 1
  return true
end

--- Whether another item of a list or map follows.
local function has_more(r, length, count)
  if length then return math.ult(count, length) end
  return not at_break(r)
end

local function read_chars(r, major, info)
  if info ~= INDEFINITE then return take(r, argument(r, info)) end
  local parts = {}
  while not at_break(r) do
    local kind, size = first(r)
    if kind ~= major or size == INDEFINITE then malformed(r, "a piece of a string is of another kind") end
    parts[#parts + 1] = take(r, argument(r, size))
  end
  return table.concat(parts)
end

local function unsigned(n) return n >= 0 and n or n + 2.0 ^ 64 end

local TAGS = {
  [2] = function(value)                                       -- a big number; beyond 64 bits as a float
    if #value:gsub("^\0+", "") < 8 or #value == 8 and value:byte() < 128 then
      local n = 0
      for i = 1, #value do n = n << 8 | value:byte(i) end
      return n
    end
    local n = 0.0
    for i = 1, #value do n = n * 256 + value:byte(i) end
    return n
  end,
}
TAGS[3] = function(value)
  local n = TAGS[2](value)
  return math.type(n) == "integer" and ~n or -1 - n
end

local function read_half(bits)
  local exponent, fraction = bits >> 10 & 31, bits & 0x3FF
  local value
  if exponent == 31 then value = fraction == 0 and math.huge or 0 / 0
  elseif exponent == 0 then value = fraction * 2.0 ^ -24
  else value = (1 + fraction / 1024) * 2.0 ^ (exponent - 15) end
  return bits & 0x8000 ~= 0 and -value or value
end

local SIMPLE = { [20] = false, [21] = true, [22] = json.null, [23] = json.null } -- 23: undefined

local READ = {
  [0] = function(r, info) return unsigned(argument(r, info)) end,
  function(r, info)
    local n = argument(r, info)
    return n >= 0 and ~n or -1 - unsigned(n)
  end,
  function(r, info) return read_chars(r, 2, info) end,
  function(r, info)
    local text = read_chars(r, 3, info)
    return utf8.len(text) and text or malformed(r, "text is not UTF-8")
  end,
  function(r, info, depth)
    local list, length, count = json.array {}, info ~= INDEFINITE and argument(r, info), 0
    while has_more(r, length, count) do
      count = count + 1
      list[count] = read(r, depth + 1)
    end
    return list
  end,
  function(r, info, depth)
    local map, length, count = {}, info ~= INDEFINITE and argument(r, info), 0
    while has_more(r, length, count) do
      count = count + 1
      local key = read(r, depth + 1)
      if type(key) ~= "string" and math.type(key) ~= "integer" then malformed(r, "a key is a %s", type(key)) end
      map[key] = read(r, depth + 1)
    end
    return map
  end,
  function(r, info, depth)
    local tag, value = argument(r, info), read(r, depth + 1)
    if not TAGS[tag] then return value end
    return type(value) == "string" and TAGS[tag](value) or malformed(r, "a big number is no bytes")
  end,
  function(r, info)
    if SIMPLE[info] ~= nil then return SIMPLE[info] end
    if info == 25 then return read_half((">I2"):unpack(take(r, 2))) end
    if info == 26 then return ((">f"):unpack(take(r, 4))) end
    if info == 27 then return ((">d"):unpack(take(r, 8))) end
    malformed(r, "the simple value %d means nothing", info)
  end,
}

function read(r, depth)
  if depth > DEEPEST then malformed(r, "the text is nested deeper than %d levels", DEEPEST) end
  local major, info = first(r)
  return READ[major](r, info, depth)
end

--- Reads one value. A tag is left out, but for big numbers (beyond 64 bits they are floats); undefined is null. Raises
--- kind "invalid" for a text that is malformed, cut off, nested too deeply or too long.
---@param text string
---@return any
function M.decode(text)
  local r = { text = text, at = 1 }
  local value = read(r, 0)
  if r.at <= #text then malformed(r, "there is more after the value") end
  return value
end

return M
