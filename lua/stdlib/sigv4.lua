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
--- others resolve dots and encode once more.
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
  local tail = #segments > 0 and path:find "/%.?%.?$" and "/" or ""
  return "/" .. table.concat(segments, "/") .. tail
end

--- Pairs of the query, encoded and sorted, leaving out one name.
local function canonical_query(query, without)
  local pairs_ = {}
  for part in query:gmatch "[^&]+" do
    local name, value = part:match "^([^=]*)=?(.*)$"
    name = encode(decode(name))
    if name ~= without then pairs_[#pairs_ + 1] = { name, encode(decode(value)) } end
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

local function refuse(code, fmt, ...)
  return nil, { kind = "auth", code = code, message = fmt:format(...), retry = false }
end

--- What a request says about its signature, from its header or its query.
local function read_claim(headers, query)
  local claim = {}
  local authorization = headers.authorization
  if authorization then
    claim.credential, claim.names, claim.signature = authorization:match(
      "^AWS4%-HMAC%-SHA256%s+Credential=([^,%s]+),%s*SignedHeaders=([^,%s]+),%s*Signature=(%x+)$")
    claim.stamp, claim.token = headers["x-amz-date"], headers["x-amz-security-token"]
    claim.payload_hash = headers["x-amz-content-sha256"]
    claim.limit = 900
  else
    local q = {}
    for _, pair in ipairs(query) do q[pair[1]] = decode(pair[2]) end
    if q["X-Amz-Algorithm"] ~= ALGORITHM then return nil end
    claim.credential, claim.names, claim.signature = q["X-Amz-Credential"], q["X-Amz-SignedHeaders"], q["X-Amz-Signature"]
    claim.stamp, claim.token, claim.limit = q["X-Amz-Date"], q["X-Amz-Security-Token"], tonumber(q["X-Amz-Expires"])
    claim.presigned = true
  end
  if not (claim.credential and claim.names and claim.signature and claim.stamp and claim.limit) then return nil end
  claim.access_key, claim.date, claim.region, claim.service =
    claim.credential:match "^([^/]+)/(%d+)/([^/]+)/([^/]+)/aws4_request$"
  return claim.access_key and claim
end

--- Checks the signature of a request that a server received.
---@param o { method: string, path: string, query: string?, headers: table<string, string>, body: string?,
--- payload_hash: string?, time: integer?, secret_key: fun(access_key: string): Secret? }
--- path and query as they came over the wire; time: now
---@return { access_key: string, region: string, service: string, token: string? }? claim
---@return table? err kind "auth", code as AWS names it
function M.verify(o)
  local headers = lower_headers(o.headers)
  local query = canonical_query(o.query or "")
  local c = read_claim(headers, query)
  if not c then return refuse("MissingAuthenticationToken", "the request is not signed") end
  local key = o.secret_key(c.access_key)
  if not key then return refuse("InvalidClientTokenId", "the access key is not known") end
  local y, mo, d, h, mi, s = c.stamp:match "^(%d%d%d%d)(%d%d)(%d%d)T(%d%d)(%d%d)(%d%d)Z$"
  if not y or c.date ~= y .. mo .. d then
    return refuse("IncompleteSignature", "the date of the request does not match its credential")
  end
  -- os.time reads local time; the same error on both sides cancels out
  local sent = os.time { year = y, month = mo, day = d, hour = h, min = mi, sec = s, isdst = false }
  local now = os.time(os.date("!*t", o.time) --[[@as osdateparam]])
  local age = now - sent
  if age < -900 or age > c.limit then return refuse("RequestExpired", "the request is %d seconds old", age) end
  local names = {}
  for name in c.names:gmatch "[^;]+" do names[#names + 1] = name end
  local hash = o.payload_hash or (o.body and host.sha256(o.body)) or EMPTY
  if c.presigned then
    query = canonical_query(o.query, "X-Amz-Signature")
    if c.service == "s3" then hash = "UNSIGNED-PAYLOAD" end
  elseif c.payload_hash then
    if c.payload_hash ~= "UNSIGNED-PAYLOAD" and not c.payload_hash:find "^STREAMING%-" and c.payload_hash ~= hash then
      return refuse("XAmzContentSHA256Mismatch", "the body is not the one that was signed")
    end
    hash = c.payload_hash
  end
  local want = signature {
    method = o.method, path = o.path, query = query, headers = headers, signed = names, payload_hash = hash,
    stamp = c.stamp, scope = c.credential:match "^[^/]+/(.*)$", service = c.service, region = c.region, secret_key = key,
  }
  if not secret.equal(want, c.signature) then
    return refuse("SignatureDoesNotMatch", "the signature does not match the request")
  end
  return { access_key = c.access_key, region = c.region, service = c.service, token = c.token }
end

return M
