--- The SQL that makes a row into a number of 64 bits.
---
--- From PostgreSQL 14 on on both sides it is hash_record_extended of the columns, and each column stands in a form whose hash
--- sees every bit of the value. For many types the value itself does: their hash functions read all of it, and are the
--- same in all versions, since hash partitions rest on them. Others hash equal what compares equal (-0 and 0, 1.0 and 1.00,
--- 24 hours and a day), fold 64 bits to 32 (times), or have no hash at all: those stand in their binary form, or as text. An int8,
--- which would be folded too, is a seed instead: a seed is used whole, and costs nothing.
---
--- That function is linear in its columns: what exchanged a column's values between two rows would leave the sum over a table
--- as it was. So its result is the seed of a second hash. Before version 14 the hash of the row's text is used, which takes
--- twice as long.
local M = {}

local DIRECT, BINARY = {}, {}
for name in ("bool char int2 int4 oid date uuid bytea macaddr macaddr8 inet cidr"):gmatch "%S+" do DIRECT[name] = true end
for name, fn in pairs { numeric = "numeric_send", interval = "interval_send", time = "time_send", timetz = "timetz_send",
                        timestamp = "timestamp_send", timestamptz = "timestamptz_send", money = "cash_send", bit = "bit_send",
                        varbit = "varbit_send", bpchar = "bpcharsend", int8 = "int8send" } do
  BINARY[name] = fn .. "(COLUMN)"
end
-- A NaN that was computed may have other bits than one that was read from a text.
BINARY.float4 = "float4send(CASE COLUMN WHEN 'NaN' THEN 'NaN' ELSE COLUMN END)"
BINARY.float8 = "float8send(CASE COLUMN WHEN 'NaN' THEN 'NaN' ELSE COLUMN END)"

local SEEDS = 100                                    -- seeds nest, and the server's parser has a depth

-- What stands for NULL among seeds: some number that nobody would choose.
local NULL = "-6148914691236517206"

local function as_text(column, o)
  if o.encodings then return ("convert_to(%s::text, 'UTF8')"):format(column) end
  return column .. '::text COLLATE "C"'
end

--- One column of a row, in a form that hashes as a whole.
---@param c { name: string, type: string? } type: its name in pg_type, where it is built in and the same on both sides
---@param o { old: boolean, encodings: boolean } old: before version 14; encodings: they differ
local function form(c, o)
  if o.old then return o.encodings and as_text(c.name, o) or c.name end
  if DIRECT[c.type] then return c.name end
  if BINARY[c.type] then return (BINARY[c.type]:gsub("COLUMN", function() return c.name end)) end
  return as_text(c.name, o)
end

--- The hash of a row.
---@param columns { name: string, type: string? }[]
function M.row(columns, o)
  local forms, seed, seeds = {}, nil, 0
  for _, c in ipairs(columns) do
    if c.type == "int8" and not o.old and seeds < SEEDS then
      seeds = seeds + 1
      local value = ("coalesce(%s, %s)"):format(c.name, NULL)
      seed = ("hashint4extended(1, %s)"):format(seed and ("%s # %s"):format(seed, value) or value)
    else
      forms[#forms + 1] = form(c, o)
    end
  end
  local list = table.concat(forms, ", ")
  if o.old then return ('hashtextextended(ROW(%s)::text COLLATE "C", 0)'):format(list) end
  local record = #forms > 0 and ("hash_record_extended(ROW(%s), 0)"):format(list)
  return ("hashint4extended(0, %s)"):format(record and seed and ("%s # %s"):format(record, seed) or record or seed or "0")
end

--- The value of a sum of hashes, as the server writes it, modulo 2^64.
---@param text string decimal
---@return integer
function M.number(text)
  local sign, digits = text:match "^(%-?)(%d+)$"
  local n = 0
  for digit in digits:gmatch "%d" do n = n * 10 + math.tointeger(tonumber(digit)) end
  return sign == "-" and -n or n
end

return M
