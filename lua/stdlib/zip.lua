--- Archives: zip and tar.gz, and gzip for byte strings. The work is done on a
--- worker thread; each function waits for it and raises when it fails.
local host = require "host.zip"
local errors = require "errors"
local options = require "options"
local task = require "task"
local fs = require "fs"

local M = {}

local GIGABYTE = 1 << 30

local function finish(op, timeout, job, err)
  local handle <close> = errors.check(op, job, err)
  timeout = timeout or 600
  if not task.await(handle:id(), timeout) then
    errors.raise { op = op, kind = "timeout", message = ("not done within %g s"):format(timeout) }
  end
  local results = table.pack(handle:result())
  errors.check(op, results[1], results[2])
  return table.unpack(results, 1, results.n)
end

local TIMEOUT = { "timeout", "seconds", type = "number", default = 600 }

--- Packs files. Equal content gives equal bytes: entries are sorted, and have
--- no owner and no time of their own. Secrets are refused.
---@param what string|{ path: string, data: string?, file: string?, mode: integer? }[] a folder, or entries: each has a
--- path inside the archive and either bytes or a file; mode defaults to the file's, else 0644
---@param opts? { format: "zip"|"tar.gz", to: string?, ignore: string[]?, timeout: number? } `to` writes a file
--- (by way of one that ends in .part); `ignore` has patterns as in .gitignore, for a folder
---@return string|integer archive its bytes; with `to`, how many they are
function M.pack(what, opts)
  local o = options.check(opts or {}, {
    { "format", "kind of archive", default = "zip", one_of = { "zip", "tar.gz" }, type = "string" },
    { "to", "file to write", type = "string" }, { "ignore", "patterns to leave out", type = "list" }, TIMEOUT,
  }, "zip.pack")
  local op = type(what) == "string" and "pack the folder " .. what or "pack " .. (o.to or "an archive")
  return (finish(op, o.timeout, host.pack(what, o.format, o.to, o.ignore)))
end

--- Whether bytes begin as a zip, gzip or tar file does.
local function is_archive(s)
  return s:find "^PK[\3\5]" ~= nil or s:find "^\x1f\x8b" ~= nil or s:sub(258, 262) == "ustar"
end

--- path, bytes: one of both
local function source(archive)
  if is_archive(archive) then return nil, archive, "an archive" end
  return archive, nil, archive
end

--- Unpacks an archive into a folder, which is made if it is not there. Raises
--- kind "invalid" for an absolute path, "..", a device, or a link that leads
--- out of the folder, and "limit" when it grows too large; what was unpacked
--- until then stays.
---@param archive string a path, or the bytes of a zip, tar or tar.gz
---@param dir string
---@param opts? { strip: integer?, limit: integer?, links: "refuse"|"skip", timeout: number? } strip: how many names to
--- take off the front of each path; limit: bytes in all, default 4 GiB; links: what to do with those that lead out
---@return { files: integer, bytes: integer, skipped: table[] }
function M.unpack(archive, dir, opts)
  local o = options.check(opts or {}, {
    { "strip", "names to take off", type = "integer", default = 0 },
    { "limit", "bytes in all", type = "integer", default = 4 * GIGABYTE },
    { "links", "links that lead out", type = "string", default = "refuse", one_of = { "refuse", "skip" } }, TIMEOUT,
  }, "zip.unpack")
  local path, bytes, name = source(archive)
  fs.mkdir_p(dir)
  local files, total, skipped = finish(("unpack %s into %s"):format(name, dir), o.timeout,
    host.unpack(path, bytes, dir, o.strip, o.limit, o.links == "skip"))
  return { files = files, bytes = total, skipped = skipped }
end

--- The entries of an archive, in its order.
---@param archive string a path, or the bytes of a zip, tar or tar.gz
---@param timeout? number seconds, default 600
---@return { path: string, type: "file"|"folder"|"link"|"other", size: integer, mode: integer, link: string? }[]
function M.list(archive, timeout)
  local path, bytes, name = source(archive)
  return (finish("list " .. name, timeout, host.list(path, bytes)))
end

--- gzip of a byte string; equal bytes give equal results.
---@param bytes string
---@return string
function M.deflate(bytes)
  return (finish("compress", nil, host.deflate(bytes)))
end

--- The way back. Raises kind "limit" when it would be more than `limit` bytes.
---@param gzip string
---@param limit? integer bytes, default 1 GiB
---@return string
function M.inflate(gzip, limit)
  return (finish("decompress", nil, host.inflate(gzip, limit or GIGABYTE)))
end

return M
