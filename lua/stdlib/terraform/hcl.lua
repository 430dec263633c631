--- Writes HCL, the language of Terraform's files, as `terraform fmt` leaves it.
---
--- A body is a list of `{ name, value }`, in its order. A value is a boolean, number, string, list or map of them, or one of
--- the makers below. What is nil is left out.
local json = require "json"

local M = {}

local Expression, Json, Blocks = {}, {}, {}

local WIDTH = 100                                            -- columns up to which a list stays on its line

--- HCL as it stands: a reference, a function's call.
---@param text string
function M.expression(text) return setmetatable({ text = text }, Expression) end

--- A document in JSON, written as jsonencode({ ... }).
---@param value table
function M.json(value) return setmetatable({ value = value }, Json) end

--- One or more nested blocks of a name, each a body.
---@param ... table
function M.blocks(...) return setmetatable({ ... }, Blocks) end

---@param name string
---@return boolean whether HCL takes it without quotes
function M.is_identifier(name) return name:find "^[%a_][%w_%-]*$" ~= nil end

local ESCAPES = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ['"'] = '\\"', ["\\"] = "\\\\" }

--- The inside of a quoted string.
---@param s string
---@return string
function M.escape(s)
  s = s:gsub('[%c"\\]', function(c) return ESCAPES[c] or ("\\u%04x"):format(c:byte()) end)
  return (s:gsub("([$%%]){", "%1%1{"))
end

local function is_list(v) return #v > 0 or json.is_array(v) end

local function sorted_keys(map)
  local keys = {}
  for key in pairs(map) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  return keys
end

local write

--- Names, equals signs in one column, and values. Lines that go on below break a column, as in `terraform fmt`.
local function aligned(pairs_of, indent)
  local lines, first = {}, 1
  local function close(last)
    local width = 0
    for i = first, last do width = math.max(width, utf8.len(pairs_of[i][1]) or #pairs_of[i][1]) end
    for i = first, last do
      local name, value = pairs_of[i][1], pairs_of[i][2]
      lines[#lines + 1] = indent .. name .. (" "):rep(width - (utf8.len(name) or #name)) .. " = " .. value
    end
  end
  for i, pair in ipairs(pairs_of) do
    if pair[2]:find("\n", 1, true) then
      close(i - 1)
      lines[#lines + 1] = indent .. pair[1] .. " = " .. pair[2]
      first = i + 1
    end
  end
  close(#pairs_of)
  return table.concat(lines, "\n")
end

local function write_list(list, indent, refer)
  local parts, width = {}, #indent
  for i, v in ipairs(list) do
    parts[i] = write(v, indent .. "  ", refer)
    width = width + #parts[i] + 2
    if parts[i]:find("\n", 1, true) then width = width + WIDTH end
  end
  if width <= WIDTH then return "[" .. table.concat(parts, ", ") .. "]" end
  return ("[\n%s  %s,\n%s]"):format(indent, table.concat(parts, ",\n" .. indent .. "  "), indent)
end

local function write_map(map, indent, refer)
  local list = {}
  for i, key in ipairs(sorted_keys(map)) do
    local name = tostring(key)
    list[i] = { M.is_identifier(name) and name or '"' .. M.escape(name) .. '"', write(map[key], indent .. "  ", refer) }
  end
  if #list == 0 then return "{}" end
  return ("{\n%s\n%s}"):format(aligned(list, indent .. "  "), indent)
end

--- A value as HCL. `refer(string)` may answer HCL that stands for a string.
function write(v, indent, refer)
  local t, meta = type(v), getmetatable(v)
  if meta == Expression then return v.text end
  if meta == Json then return ("jsonencode(%s)"):format(write(v.value, indent, refer)) end
  if v == json.null then return "null" end
  if t == "string" then return refer and refer(v) or '"' .. M.escape(v) .. '"' end
  if t == "boolean" then return tostring(v) end
  if t == "number" then return math.tointeger(v) and ("%d"):format(v) or ("%.14g"):format(v) end
  if is_list(v) then return write_list(v, indent, refer) end
  return write_map(v, indent, refer)
end

--- A body's lines, without the braces around them.
local function write_body(body, indent, refer)
  local out, run = {}, {}
  local function flush()
    if run[1] then out[#out + 1] = aligned(run, indent) end
    run = {}
  end
  for _, item in ipairs(body) do
    local name, value = item[1], item[2]
    if getmetatable(value) == Blocks then
      flush()
      for _, inner in ipairs(value) do
        if out[1] then out[#out + 1] = "" end
        local inside = write_body(inner, indent .. "  ", refer)
        out[#out + 1] = inside == "" and ("%s%s {\n%s}"):format(indent, name, indent) or ("%s%s {\n%s\n%s}"):format(indent, name, inside, indent)
      end
    elseif value ~= nil then
      if #run == 0 and out[1] then out[#out + 1] = "" end
      run[#run + 1] = { name, write(value, indent, refer) }
    end
  end
  flush()
  return table.concat(out, "\n")
end

--- A block at the top of a file.
---@param words string[] `{ "resource", "aws_vpc", "shop" }`: the first stands bare, the others in quotes
---@param body table[]
---@param refer? fun(s: string): string? what stands for a string, instead of its quotes
---@return string
function M.block(words, body, refer)
  local head = words[1]
  for i = 2, #words do head = ('%s "%s"'):format(head, words[i]) end
  return ("%s {\n%s\n}\n"):format(head, write_body(body, "  ", refer))
end

return M
