--- Makes what stands in a dump, in its order: many statements in one round trip, marked together; when one of them
--- fails, they are done one by one, so that the error names the object.
local connection = require "pg.connection"
local errors = require "errors"

local M = {}

local BATCH = 100

--- Runs one entry; the error names it.
local function apply(conn, entry)
  local ok, e = pcall(conn.exec, conn, entry.sql)
  if ok then return end
  if errors.is(e) and e.kind ~= "cancelled" then
    e.op = ("create %s %s in %s"):format(entry.type:lower(), entry.name, conn.name)
    if e.code == "42501" and entry.type == "EXTENSION" then
      e.hint = "the target role may not create it: let the server's administrator do so first"
    end
  end
  error(e, 0)
end

--- Comments on what the server itself made; whoever does not own it need not set them.
local function is_spare(entry) return entry.type == "COMMENT" and entry.name == "SCHEMA public" end

local function one_by_one(conn, ledger, list, failed)
  for _, entry in ipairs(list) do
    local tx <close> = conn:transaction()
    local ok, e = pcall(apply, conn, entry)
    if ok then
      conn:exec(ledger:mark(entry.mark))
      tx:commit()
    elseif not errors.is(e, "remote") then error(e, 0)
    else
      tx:rollback()
      if not (is_spare(entry) and e.code == "42501") then
        if not failed then error(e, 0) end
        local what = ("%s %s"):format(entry.type:lower(), entry.name)
        failed[#failed + 1] = { what = what, kind = e.kind, code = e.code, message = e.message, cause = e }
      end
    end
  end
end

--- Applies entries that are not marked yet.
---@param conn PgConnection
---@param ledger PgLedger
---@param entries DumpEntry[]
---@param failed? table[] takes what fails; without it the first failure is raised
function M.entries(conn, ledger, entries, failed)
  local list = {}
  for _, entry in ipairs(entries) do
    entry.done = true
    if entry.sql ~= "" and not ledger.done[entry.mark] then list[#list + 1] = entry end
  end
  for i = 1, #list, BATCH do
    local some, parts, marks = {}, {}, {}
    for k = i, math.min(i + BATCH - 1, #list) do
      some[#some + 1], parts[#parts + 1] = list[k], list[k].sql
      marks[#marks + 1] = ledger:mark(list[k].mark) .. ";"
    end
    local ok, e = pcall(conn.exec, conn, table.concat(marks, "\n") .. table.concat(parts, "\n"))
    if not ok then
      if not errors.is(e, "remote") then error(e, 0) end
      one_by_one(conn, ledger, some, failed)
    end
  end
end

--- Gives each entry the name of its mark.
function M.name(entries)
  local seen = {}
  for _, entry in ipairs(entries) do
    local name = ("%s %s.%s"):format(entry.type:lower(), entry.schema, entry.name)
    seen[name] = (seen[name] or 0) + 1
    entry.mark = seen[name] == 1 and name or name .. " #" .. seen[name]
  end
end

--- Entries that can be made: comments on extensions are left out, and an extension that the target does not offer is an error.
function M.possible(conn, entries)
  local offered, missing, kept = {}, {}, {}
  for row in conn:rows "SELECT name FROM pg_available_extensions" do offered[row.name] = true end
  for _, entry in ipairs(entries) do
    if entry.type == "EXTENSION" and not offered[entry.name] then missing[#missing + 1] = entry.name end
    local is_public = entry.type == "SCHEMA" and entry.name == "public"
    if not is_public and not (entry.type == "COMMENT" and entry.name:find "^EXTENSION ") then kept[#kept + 1] = entry end
  end
  if #missing > 0 then
    errors.raise { op = "copy into " .. conn.name, kind = "invalid", message =
        "the target server does not offer the extension " .. table.concat(missing, ", "),
      hint = "drop it on the source if nothing uses it, or choose a target that has it" }
  end
  return kept
end

--- Sequences stand where they stand on the source.
function M.sequences(conn, list)
  local parts = {}
  for _, s in ipairs(list) do
    parts[#parts + 1] = ("setval(%s, %d, %s)"):format(connection.quote_value(s.name), s.last, s.called)
  end
  for i = 1, #parts, 200 do
    conn:exec("SELECT " .. table.concat(parts, ", ", i, math.min(i + 199, #parts)))
  end
end

return M
