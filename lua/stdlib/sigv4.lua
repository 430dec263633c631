--- AWS Signature Version 4: signing, presigning and checking requests.
--- Source: "Create a signed AWS API request" (IAM User Guide). The secret key
--- goes to C as a secret; a session token stays one in the header or URL.
local host = require "host.sign"
local secret = require "secret"
local errors = require "errors"

local M = {}

local ALGORITHM = "AWS4-HMAC-SHA256"
local EMPTY = host.sha256 ""

-- Added or changed on the way, so never signed.
local UNSIGNED = {
  authorization = true, connection = true, expect = true, ["transfer-encoding"] = true, ["user-agent"] = true,
  ["x-amzn-trace-id"] = true,
}

local function encode(s, keep)
  return (s:gsub("[^%w%-._~" .. (keep or "") .. "]", function(c) return ("%%%02X"):format(c:byte()) end))
end

local function decode(s)
  return (s:gsub("%%(%x%x)", function(x) return string.char(tonumber(x, 16)) end))
end

--- The path as the service will see it. S3 takes it as it is on the wire; the
--- others resolve dots, join slashes and encode once more.
local function canonical_path(path, service)
  if path == "" then return "/" end
  if service == "s3" or service == "s3-outposts" or service == "s3express" then return encode(path, "/%%") end
  local segments = {}
  for segment in path:gmatch "[^/]+" do
    if segment == ".." then
      segments[#segments] = nil
    elseif segment ~= "." then
      segments[#segments + 1] = encode(segment)
    end
  end
  local tail = #segments > 0 and path:find "/$" and "/" or ""
  return "/" .. table.concat(segments, "/") .. tail
end

--- Pairs of the query, encoded.
---@param query string|table text of a URL, or pairs that are not encoded
local function canonical_query(query)
  local pairs_ = {}
  if type(query) == "table" then
    for i, pair in ipairs(query) do pairs_[i] = { encode(pair[1]), secret.encode(pair[2] or "", "url") } end
    return pairs_
  end
  for part in query:gmatch "[^&]+" do
    local name, value = part:match "^([^=]*)=?(.*)$"
    pairs_[#pairs_ + 1] = { encode(decode(name)), encode(decode(value)) }
  end
  return pairs_
end

local function join_query(list)
  table.sort(list, function(a, b)
    if a[1] ~= b[1] then return a[1] < b[1] end
    return type(a[2]) == "string" and type(b[2]) == "string" and a[2] < b[2]
  end)
  local parts = {}
  for i, pair in ipairs(list) do
    parts[#parts + 1] = (i > 1 and "&" or "") .. pair[1] .. "="
    parts[#parts + 1] = pair[2]
  end
  return secret.concat(parts)
end

local function trimmed(value)
  if type(value) == "table" then
    local list = {}
    for i, v in ipairs(value) do list[i] = trimmed(v) end
    return table.concat(list, ",")
  end
  if secret.is(value) then return value end
  return (tostring(value):gsub("^%s+", ""):gsub("%s+$", ""):gsub("%s+", " "))
end

--- name -> trimmed value under lower-case names
local function lower_headers(headers)
  local lower = {}
  for name, value in pairs(headers) do lower[name:lower()] = trimmed(value) end
  return lower
end

---@return string signature, string signed names of headers, joined by ";"
local function signature(r)
  local names = r.signed
  if not names then
    names = {}
    for name in pairs(r.headers) do if not UNSIGNED[name] then names[#names + 1] = name end end
    table.sort(names)
  end
  local parts = { r.method, "\n", canonical_path(r.path, r.service), "\n", join_query(r.query), "\n" }
  for _, name in ipairs(names) do
    parts[#parts + 1] = name .. ":"
    parts[#parts + 1] = r.headers[name] or ""
    parts[#parts + 1] = "\n"
  end
  local signed = table.concat(names, ";")
  parts[#parts + 1] = "\n" .. signed .. "\n" .. r.payload_hash
  local text = table.concat({ ALGORITHM, r.stamp, r.scope, host.sha256(secret.concat(parts)) }, "\n")
  return host.sigv4(r.secret_key, r.stamp:sub(1, 8), r.region, r.service, text), signed
end

local function split_url(url)
  local scheme, authority, rest = url:match "^(%a[%w+.-]*)://([^/?#]*)([^#]*)"
  if not scheme then errors.usage("sign: %s is not a URL", url) end
  local path, query = rest:match "^([^?]*)%??(.*)$"
  local default = scheme == "https" and ":443$" or ":80$"
  return scheme .. "://" .. authority, authority:gsub(default, ""), path, query
end

local function prepare(o, what)
  for _, name in ipairs { "method", "url", "service", "region", "access_key", "secret_key" } do
    if o[name] == nil then errors.usage("%s needs the option %s", what, name) end
  end
  local base, authority, path, query = split_url(o.url)
  query = o.query or query
  local stamp = os.date("!%Y%m%dT%H%M%SZ", o.time)
  local headers = lower_headers(o.headers or {})
  headers.host = headers.host or authority
  return {
    method = o.method, base = base, path = path, raw_query = query, headers = headers, stamp = stamp,
    scope = ("%s/%s/%s/aws4_request"):format(stamp:sub(1, 8), o.region, o.service),
    service = o.service, region = o.region, secret_key = o.secret_key,
    payload_hash = o.payload_hash or (o.body and host.sha256(o.body)) or EMPTY,
  }
end

---@class SigV4
---@field method string
---@field url string as it goes over the wire, percent-encoded
---@field query? { [1]: string, [2]: string|Secret|nil }[] its query as pairs that are not encoded, in place of the URL's
---@field headers? table<string, string|Secret>
---@field body? string|Secret
---@field payload_hash? string hexadecimal, or "UNSIGNED-PAYLOAD"; default: the hash of body
---@field service string the signing name: "ec2", "s3"
---@field region string
---@field access_key string
---@field secret_key Secret
---@field session_token? Secret|string
---@field time? integer seconds since 1970; default: now

--- Signs a request. Every header given is signed, but for the few that change
--- on the way (User-Agent, Expect, ...).
---@param o SigV4
---@return table<string, string|Secret> headers those given and Host, X-Amz-Date, Authorization, for S3
--- X-Amz-Content-Sha256, and X-Amz-Security-Token with a session token
function M.sign(o)
  local r = prepare(o, "sign.sigv4")
  local out = {}
  for name, value in pairs(o.headers or {}) do out[name] = value end
  local function add(name, value)
    for given in pairs(out) do if given:lower() == name:lower() then out[given] = nil end end
    out[name], r.headers[name:lower()] = value, value
  end
  add("Host", r.headers.host)
  add("X-Amz-Date", r.stamp)
  if o.session_token then add("X-Amz-Security-Token", o.session_token) end
  if o.service == "s3" then add("X-Amz-Content-Sha256", r.payload_hash) end
  r.query = canonical_query(r.raw_query)
  local hex, signed = signature(r)
  out.Authorization = ("%s Credential=%s/%s, SignedHeaders=%s, Signature=%s"):format(
    ALGORITHM, o.access_key, r.scope, signed, hex)
  return out
end

--- Makes a URL that carries its own signature.
---@param o SigV4
---@param seconds? integer how long it is valid, 1 to 604800, default 900
---@return string|Secret url a secret if there is a session token, which is part of it
function M.presign(o, seconds)
  seconds = seconds or 900
  if math.type(seconds) ~= "integer" or seconds < 1 or seconds > 604800 then
    errors.usage("sign.presign: a URL is valid for 1 to 604800 seconds, not %s", tostring(seconds))
  end
  local r = prepare(o, "sign.presign")
  if o.service == "s3" then r.payload_hash = o.payload_hash or "UNSIGNED-PAYLOAD" end
  local names = {}
  for name in pairs(r.headers) do if not UNSIGNED[name] then names[#names + 1] = name end end
  table.sort(names)
  r.query = canonical_query(r.raw_query)
  local function add(name, value) r.query[#r.query + 1] = { name, secret.encode(value, "url") } end
  add("X-Amz-Algorithm", ALGORITHM)
  add("X-Amz-Credential", o.access_key .. "/" .. r.scope)
  add("X-Amz-Date", r.stamp)
  add("X-Amz-Expires", tostring(seconds))
  if o.session_token then add("X-Amz-Security-Token", o.session_token) end
  add("X-Amz-SignedHeaders", table.concat(names, ";"))
  local hex = signature(r)
  return secret.concat { r.base, r.path == "" and "/" or r.path, "?", join_query(r.query), "&X-Amz-Signature=", hex }
end

return M
