--- CSV (RFC 4180): a title line, a line for each row, CRLF between them, quotes where a value needs them. Nested values
--- are JSON, secrets "(secret)". `csv(x)` is the text of a result.
local errors = require "errors"
local host = require "host.list"
local list = require "list"
local path = require "list.path"
local plain = require "show.plain"

local M = {}

local function field(v)
  if v == nil or getmetatable(v) == "null" then return "" end
  local s = type(v) == "table" and require("json").encode(v) or tostring(v)
  return s:find '[,"\r\n]' and '"' .. s:gsub('"', '""') .. '"' or s
end

--- The rows that a value is: a list, the list of an answer, or a single row.
local function rows_of(v)
  if type(v) ~= "table" then return { { Value = v } } end
  local rows = path.is_list(v) and v or require("show").main(v) or { v }
  for i, row in ipairs(rows) do
    if type(row) ~= "table" or path.is_list(row) then
      local wrapped = {}
      for k, item in ipairs(rows) do wrapped[k] = { Value = item } end
      return wrapped
    end
    if i == #rows then return rows end
  end
  return rows
end

--- Writes a list of structs, a list of values, an answer with a list in it, or a struct.
---@param value any
---@return string
function M.encode(value)
  local v = plain.of(value)
  local rows = rows_of(v)
  if #rows == 0 then return "" end
  local columns, lines, titles = require("show.columns").of(rows, {}), {}, {}
  for i, c in ipairs(columns) do titles[i] = field(c.name) end
  lines[1] = table.concat(titles, ",")
  for _, row in ipairs(rows) do
    local fields = {}
    for i, c in ipairs(columns) do fields[i] = field(c.get(row)) end
    lines[#lines + 1] = table.concat(fields, ",")
  end
  return table.concat(lines, "\r\n") .. "\r\n"
end

local function records(text)
  local all, record, at, line = {}, {}, 1, 1
  while at <= #text do
    local value, stop
    if text:sub(at, at) == '"' then
      local from, parts = at + 1, {}
      while true do
        local quote = text:find('"', from, true)
        if not quote then return nil, { kind = "invalid", message = ("not valid CSV at line %d: a quote is not closed"):format(line) } end
        parts[#parts + 1] = text:sub(from, quote - 1)
        from = quote + 2
        if text:sub(quote + 1, quote + 1) ~= '"' then stop = quote + 1 break end
        parts[#parts + 1] = '"'
      end
      value = table.concat(parts)
    else
      stop = text:find('[,\r\n]', at) or #text + 1
      value = text:sub(at, stop - 1)
      if value:find('"', 1, true) then
        return nil, { kind = "invalid", message = ("not valid CSV at line %d: a quote inside a bare value"):format(line) }
      end
    end
    record[#record + 1] = value
    line = line + select(2, value:gsub("\n", ""))
    local separator = text:match("^\r?\n", stop) or text:sub(stop, stop)
    if separator == "," then
      if stop == #text then record[#record + 1] = "" end
    elseif separator == "" or separator:find "\n" then
      all[#all + 1], record, line = record, {}, line + 1
    else
      return nil, { kind = "invalid", message = ("not valid CSV at line %d: text after a closing quote"):format(line) }
    end
    at = stop + #separator
  end
  if #record > 0 then all[#all + 1] = record end
  return all
end

--- Reads rows by the names of the title line; every value is text.
---@param text string
---@return List? rows
---@return table? err kind "invalid", with the line
function M.decode(text)
  if type(text) ~= "string" then errors.usage("csv.decode needs text, not a %s", type(text)) end
  local all, err = records((text:gsub("^\239\187\191", "")))
  if not all then return nil, err end
  local titles, rows = table.remove(all, 1) or {}, {}
  for i, record in ipairs(all) do
    if #record ~= #titles then
      return nil, { kind = "invalid", message = ("row %d of the CSV has %d values, the title line %d"):format(i, #record, #titles) }
    end
    rows[i] = {}
    for k, title in ipairs(titles) do rows[i][title] = record[k] end
  end
  return list.ordered(host.mark(rows), titles)
end

--- The text of a result, without the last line's end.
return setmetatable(M, { __call = function(_, v) return (M.encode(v):gsub("\r\n$", "")) end })
