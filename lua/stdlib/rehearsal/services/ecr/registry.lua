--- The registry of ECR: the part of the OCI distribution specification that container engines use to push and pull.
--- https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md
local fs = require "fs"
local json = require "json"
local sign = require "sign"
local sorted_keys = require "sorted_keys"
local zip = require "zip"

local M = {}

--- The repositories of a region, by name.
function M.repositories(cloud, region)
  local s = cloud:store("ecr", region)
  s.repositories = s.repositories or {}
  return s.repositories
end

--- Lets the bearer of a password in; he sees the repositories of a region.
function M.allow(cloud, password, region, expires)
  cloud:store "ecr-passwords"[password] = { region = region, expires = expires }
end

-- Files: blobs by their digest, and uploads that are not over ----------------

local function folder(cloud, r) return fs.join(cloud.dir, "ecr", r.region, r.name) end

local function blob_path(cloud, r, digest) return fs.join(folder(cloud, r), "blobs", (digest:gsub(":", "-"))) end

function M.forget(cloud, r) fs.rmtree(folder(cloud, r)) end

local function is_digest(s) return s:find "^sha256:%x+$" ~= nil and #s == 71 end

-- Answers ------------------------------------------------------------------

local function fails(status, code, fmt, ...)
  return { status = status, json = { errors = { { code = code, message = fmt:format(...) } } }, headers = {
    ["Docker-Distribution-Api-Version"] = "registry/2.0",
    ["WWW-Authenticate"] = status == 401 and 'Basic realm="Amazon ECR",service="ecr.amazonaws.com"' or nil } }
end

--- An answer; without a body where it only tells how long that would be.
local function done(status, headers, body)
  headers = headers or {}
  headers["Docker-Distribution-Api-Version"] = "registry/2.0"
  return { status = status, headers = headers, body = not headers["Content-Length"] and (body or "") or nil }
end

local function path_of(r, rest) return ("/v2/%s/%s"):format(r.name, rest) end

--- The bytes of a request go to the end of a file.
local function take(req, path)
  if req.body_file and not fs.exists(path) then fs.write(path, "", 384) end
  if req.body_file then fs.append(path, fs.read(req.body_file))
  elseif req.body and req.body ~= "" then fs.append(path, req.body) end
end

local function upload_path(cloud, r, id) return fs.join(folder(cloud, r), "uploads", id) end

--- Ends an upload: its bytes must have the digest that the client says.
local function finish(cloud, r, id, digest)
  local path = upload_path(cloud, r, id)
  if not is_digest(digest or "") then return fails(400, "DIGEST_INVALID", "the digest %s is none", tostring(digest)) end
  if "sha256:" .. sign.sha256_file(path) ~= digest then
    return fails(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
  end
  fs.mkdir_p(fs.join(folder(cloud, r), "blobs"))
  fs.rename(path, blob_path(cloud, r, digest))
  return done(201, { Location = path_of(r, "blobs/" .. digest), ["Docker-Content-Digest"] = digest })
end

local function size_of(path) return (fs.stat(path) or { size = 0 }).size end

--- POST begins an upload, PATCH goes on with it, PUT ends it.
local function uploads(cloud, req, r, id)
  if req.method == "POST" and id == "" then
    local from, digest = req.query.from, req.query.mount
    local other = from and digest and M.repositories(cloud, r.region)[from]
    if other and fs.exists(blob_path(cloud, other, digest)) then
      fs.mkdir_p(fs.join(folder(cloud, r), "blobs"))
      fs.write(blob_path(cloud, r, digest), fs.read(blob_path(cloud, other, digest)), 384)
      return done(201, { Location = path_of(r, "blobs/" .. digest), ["Docker-Content-Digest"] = digest })
    end
    id = sign.uuid()
    fs.mkdir_p(fs.join(folder(cloud, r), "uploads"))
    fs.write(upload_path(cloud, r, id), "", 384)
    if req.query.digest then
      take(req, upload_path(cloud, r, id))
      return finish(cloud, r, id, req.query.digest)
    end
    return done(202, { Location = path_of(r, "blobs/uploads/" .. id), Range = "0-0", ["Docker-Upload-UUID"] = id })
  end
  local path = upload_path(cloud, r, id)
  if id:find "[^%x-]" or not fs.exists(path) then return fails(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry") end
  if req.method == "DELETE" then fs.remove(path) return done(204) end
  if req.method ~= "GET" then take(req, path) end
  if req.method == "PUT" then return finish(cloud, r, id, req.query.digest) end
  return done(req.method == "GET" and 204 or 202, { Location = path_of(r, "blobs/uploads/" .. id), ["Docker-Upload-UUID"] = id,
    Range = ("0-%d"):format(math.max(0, size_of(path) - 1)) })
end

local function blobs(cloud, req, r, rest)
  local id = rest:match "^uploads/?(.*)$"
  if id then return uploads(cloud, req, r, id) end
  local path = is_digest(rest) and blob_path(cloud, r, rest)
  if not path or not fs.exists(path) then return fails(404, "BLOB_UNKNOWN", "blob unknown to registry") end
  local headers = { ["Docker-Content-Digest"] = rest, ["Content-Type"] = "application/octet-stream" }
  if req.method == "HEAD" then headers["Content-Length"] = size_of(path) return done(200, headers) end
  if req.method ~= "GET" then return fails(405, "UNSUPPORTED", "The operation is unsupported.") end
  headers["Docker-Distribution-Api-Version"] = "registry/2.0"
  return { status = 200, headers = headers, file = path }
end

--- Takes a manifest whose blobs, or for an index whose manifests, are all there.
local function put_manifest(cloud, req, r, reference)
  local text = req.body or (req.body_file and fs.read(req.body_file)) or ""
  local digest, document = "sha256:" .. sign.sha256(text), json.decode(text)
  if type(document) ~= "table" then return fails(400, "MANIFEST_INVALID", "manifest invalid") end
  if is_digest(reference) and reference ~= digest then return fails(400, "DIGEST_INVALID", "the manifest is %s", digest) end
  local size = #text
  for _, part in ipairs(document.manifests or {}) do
    if not r.manifests[part.digest] then return fails(400, "MANIFEST_BLOB_UNKNOWN", "Manifest %s is not there", part.digest) end
  end
  for _, part in ipairs(document.config and { document.config, table.unpack(document.layers or {}) } or {}) do
    if not fs.exists(blob_path(cloud, r, part.digest)) then
      return fails(400, "BLOB_UNKNOWN", "Image manifest references a layer that does not exist: %s", part.digest)
    end
    size = size + (part.size or 0)
  end
  if not is_digest(reference) then
    local there = r.named[reference]
    if there and there ~= digest and r.mutability == "IMMUTABLE" then
      return fails(400, "TAG_INVALID", "The image tag '%s' already exists in the '%s' repository and cannot be overwritten because the repository "
        .. "is immutable.", reference, r.name)
    end
    r.named[reference] = digest
  end
  r.manifests[digest] = { text = text, type = req.headers["content-type"] or document.mediaType, size = size, pushed = cloud.clock:now() }
  return done(201, { Location = path_of(r, "manifests/" .. digest), ["Docker-Content-Digest"] = digest })
end

local function manifests(cloud, req, r, reference)
  if req.method == "PUT" then return put_manifest(cloud, req, r, reference) end
  local digest = is_digest(reference) and reference or r.named[reference]
  local found = digest and r.manifests[digest]
  if not found then return fails(404, "MANIFEST_UNKNOWN", "Requested image not found") end
  if req.method ~= "GET" and req.method ~= "HEAD" then return fails(405, "UNSUPPORTED", "The operation is unsupported.") end
  local headers = { ["Docker-Content-Digest"] = digest, ["Content-Type"] = found.type,
                    ["Content-Length"] = req.method == "HEAD" and #found.text or nil }
  return done(200, headers, found.text)
end

local function tags(_, _, r)
  return { status = 200, json = { name = r.name, tags = json.array(sorted_keys(r.named)) } }
end

--- Who asks: "Basic" with the user AWS and a password that still holds.
---@return string? region
local function region_of(cloud, req)
  local word = (req.headers.authorization or ""):match "^[Bb]asic%s+(%S+)"
  local ok, plain = pcall(sign.unbase64, word or "")
  local password = ok and plain and plain:match "^AWS:(%x+)$"
  local known = password and cloud:store "ecr-passwords"[password]
  return known and known.expires > cloud.clock:now() and known.region or nil
end

local PARTS = { blobs = blobs, manifests = manifests, tags = tags }

--- Answers a container engine.
---@return table? answer nil: the request is no business of a registry
function M.handle(cloud, req)
  if not req.path:find "^/v2/" or (req.headers.authorization or ""):find "^AWS4" then return nil end
  local region = region_of(cloud, req)
  if not region then return fails(401, "UNAUTHORIZED", "Not Authorized") end
  if req.path == "/v2/" then return done(200) end
  local name, part, rest = req.path:match "^/v2/(.+)/(blobs)/(.*)$"
  if not name then name, part, rest = req.path:match "^/v2/(.+)/(%l+)/([^/]+)$" end
  local handler = PARTS[part or ""]
  if not handler then return fails(404, "NAME_UNKNOWN", "repository name not known to registry") end
  local r = M.repositories(cloud, region)[name]
  if not r then
    return fails(404, "NAME_UNKNOWN", "The repository with name '%s' does not exist in the registry with id '%s'", name, cloud.account)
  end
  return handler(cloud, req, r, rest)
end

-- Pulling ------------------------------------------------------------------

--- Files that a layer takes away: ".wh.NAME" removes NAME of the layers below, ".wh..wh..opq" all that is in its folder.
local function whiteouts(path)
  local gone = {}
  for _, entry in ipairs(zip.list(path)) do
    local dir, name = entry.path:match "^(.-)([^/]+)$"
    local hidden = name and name:match "^%.wh%.(.+)$"
    if hidden then gone[#gone + 1] = { dir = dir, hidden = hidden ~= ".wh..opq" and hidden or nil, own = entry.path } end
  end
  return gone
end

local function add_layer(path, root)
  local gone = whiteouts(path)
  for _, g in ipairs(gone) do
    local dir = fs.join(root, g.dir)
    if g.hidden then fs.rmtree(fs.join(dir, g.hidden))
    elseif fs.exists(dir) then
      for _, name in ipairs(fs.list(dir)) do fs.rmtree(fs.join(dir, name)) end
    end
  end
  zip.unpack(path, root, { links = "skip" })
  for _, g in ipairs(gone) do fs.rmtree(fs.join(root, g.own)) end
end

local function find(cloud, reference)
  local host, name, ref = reference:match "^([^/]+)/(.-)[@:]([%w_.:-]+)$"
  if host ~= cloud.url:match "//(.*)$" then return nil end
  for key in pairs(cloud.state) do
    local region = key:match "^ecr/(.+)$"
    local r = region and M.repositories(cloud, region)[name]
    local digest = r and (is_digest(ref) and ref or r.named[ref])
    if digest and r.manifests[digest] then return r, r.manifests[digest] end
  end
end

--- The manifest for this kind of machine, where an index lists several.
local function choose(r, manifest)
  local document = json.decode(manifest.text)
  if not document.manifests then return document end
  for _, m in ipairs(document.manifests) do
    if not m.platform or m.platform.architecture == "amd64" then return json.decode(r.manifests[m.digest].text) end
  end
end

local function words(list) return type(list) == "table" and { table.unpack(list) } or nil end

--- Lays out an image: the files of its layers below `root`, and what its configuration says.
function M.pull(cloud, reference, root)
  local r, manifest = find(cloud, reference)
  local document = r and choose(r, manifest)
  if not document then return nil end
  fs.mkdir_p(root)
  for _, layer in ipairs(document.layers) do add_layer(blob_path(cloud, r, layer.digest), root) end
  local config = json.decode(fs.read(blob_path(cloud, r, document.config.digest))).config or {}
  local workdir = type(config.WorkingDir) == "string" and config.WorkingDir ~= "" and config.WorkingDir or "/"
  local image = { root = root, workdir = workdir, from = reference, env = {}, ports = {},
                  command = words(config.Cmd), entrypoint = words(config.Entrypoint) }
  for _, entry in ipairs(words(config.Env) or {}) do
    local name, value = entry:match "^([^=]+)=(.*)$"
    if name and name ~= "PATH" then image.env[name] = value end
  end
  for port in pairs(type(config.ExposedPorts) == "table" and config.ExposedPorts or {}) do
    image.ports[#image.ports + 1] = math.tointeger(tonumber(port:match "%d+"))
  end
  return image
end

return M
