--- What a request carries beside its arguments: signatures and tokens, host prefixes, checksums, compression.
-- luacheck: no max line length
local test = require "test"
local aws = require "aws"
local config = require "aws.config"
local fs = require "fs"
local lab = dofile "tests/support/request_lab.lua"
local secret = require "secret"
local sign = require "sign"
local zip = require "zip"
local T = test.cases()

local struct = lab.struct

--- Settings of the environment, for one case.
local function with_env(env)
  local before = config.getenv
  test.defer(function() config.getenv = before end)
  config.getenv = function(name) return env[name] end
end

local function headers_of(client, args)
  local headers = {}
  for name, value in pairs(client:request("do", args or {}).headers) do headers[name:lower()] = value end
  return headers
end

T["an operation is signed as the model says"] = function()
  with_env { HOME = test.tmpdir(), AWS_BEARER_TOKEN_TOYS_ROOM = "token-1" }
  local function authorization(op, meta)
    meta.signingName = meta.signingName or "toys-room"
    return headers_of(lab.client("json", {}, { op = op, meta = meta })).authorization
  end
  local v4 = "^AWS4%-HMAC%-SHA256 Credential=AK/%d+/us%-east%-1/toys%-room/aws4_request, SignedHeaders="
  test.match(authorization({}, {}), v4)
  test.match(authorization({ auth = { "aws.auth#sigv4" } }, {}), v4)
  test.match(authorization({}, { auth = { "aws.auth#sigv4a", "aws.auth#sigv4" } }), v4)
  test.equal(authorization({ authtype = "none" }, {}), nil)
  test.equal(authorization({ auth = { "smithy.api#noAuth" } }, {}), nil)
  local bearer = authorization({}, { auth = { "aws.auth#sigv4", "smithy.api#httpBearerAuth" } })
  test.truthy(secret.is(bearer) and secret.equal(bearer, "Bearer token-1"))
  test.match(authorization({}, { auth = { "aws.auth#sigv4", "smithy.api#httpBearerAuth" }, signingName = "other" }), "^AWS4")
  test.raises("needs a bearer token: set AWS_BEARER_TOKEN_OTHER", authorization, {}, { auth = { "smithy.api#httpBearerAuth" }, signingName = "other" })
  test.raises("needs SigV4a signatures, which hkrun does not make", authorization, { auth = { "aws.auth#sigv4a" } }, {})
  test.raises("needs signatures of version 2", authorization, {}, { signatureVersion = "v2" })
end

T["a session token is a header that is signed; in a presigned URL it makes the URL a secret"] = function()
  local client = lab.client("query", {}, { client = { credentials = { access_key_id = "AK", secret_access_key = "SK", session_token = "ST" } } })
  local headers = headers_of(client)
  test.truthy(secret.equal(headers["x-amz-security-token"], "ST"))
  test.match(headers.authorization, "x%-amz%-security%-token")
  test.truthy(secret.is(client:presign("do", {})))
end

T["an unsigned body is not part of the signature over TLS; in the clear it is"] = function()
  local function signature(endpoint, body)
    local client = lab.client("rest-json", { In = struct({ P = "Blob" }, { payload = "P" }) },
                              { op = { authtype = "v4-unsigned-body" }, client = { endpoint = endpoint } })
    return headers_of(client, { P = body }).authorization:match "Signature=(%x+)"
  end
  test.equal(signature("https://example.com", "a"), signature("https://example.com", "b"))
  test.truthy(signature("http://example.com", "a") ~= signature("http://example.com", "b"))
end

T["a host prefix goes before a name, not before an address, and takes only labels"] = function()
  with_env { HOME = test.tmpdir() }
  local shapes = { In = struct({ Id = { shape = "String", hostLabel = true } }, { required = { "Id" } }) }
  local function url(endpoint, id)
    return lab.client("json", shapes, { op = { endpoint = { hostPrefix = "{Id}.data-" } }, client = { endpoint = endpoint } }):request("do", { Id = id }).url
  end
  test.equal(url("https://example.com", "x-1"), "https://x-1.data-example.com/")
  test.equal(url("http://127.0.0.1:99", "x-1"), "http://127.0.0.1:99/")
  for _, bad in ipairs { "a/b", "a b", "a?", "", "é" } do
    test.raises("Id can only have letters, digits, hyphens and dots", url, "https://example.com", bad)
  end
  with_env { HOME = test.tmpdir(), AWS_DISABLE_HOST_PREFIX_INJECTION = "true" }
  test.equal(url("https://example.com", "x"), "https://example.com/")
end

--- A client whose operation takes checksums of its payload.
local function summing(more, client)
  local op = { httpChecksum = { requestAlgorithmMember = "A", requestChecksumRequired = false } }
  for key, value in pairs(more or {}) do op[key] = value end
  return lab.client("rest-json", { In = struct({ P = { shape = "Blob", streaming = true }, A = { shape = "String", location = "header", locationName = "x-amz-sdk-algorithm" },
    Own = { shape = "String", location = "header", locationName = "x-amz-checksum-sha256" } }, { payload = "P" }) }, { op = op, client = client })
end

--- Of the body "123456789", the published check values.
local SUMS = {
  CRC32 = "y/Q5Jg==", CRC32C = "4waSgw==", CRC64NVME = "rosUhgp5mIg=", SHA1 = "98O8HYCOBHMq32eZZczDTKeuNEE=",
  SHA256 = "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=",
}

T["checksums: CRC-32 by default, another when it is asked for, of bytes and of files"] = function()
  with_env { HOME = test.tmpdir() }
  local path = test.tmpdir() .. "/body"
  fs.write(path, "123456789")
  local headers = headers_of(summing(), { P = "123456789" })
  test.equal({ headers["x-amz-checksum-crc32"], headers["x-amz-sdk-algorithm"] }, { SUMS.CRC32, "CRC32" })
  for name, sum in pairs(SUMS) do
    for _, body in ipairs { "123456789", { file = path } } do
      headers = headers_of(summing(), { P = body, A = name })
      test.equal({ headers["x-amz-checksum-" .. name:lower()], headers["x-amz-sdk-algorithm"] }, { sum, name })
      headers = headers_of(summing(nil, { endpoint = "http://example.com" }), { P = body, A = name })
      test.equal(headers["x-amz-checksum-" .. name:lower()], sum, "in the clear")
    end
  end
  test.raises("cannot make the checksum CRC31 %(did you mean crc32%?%)", headers_of, summing(), { P = "x", A = "CRC31" })
end

T["checksums: the caller's own is kept; none where none is asked for; settings can ask for fewer"] = function()
  with_env { HOME = test.tmpdir() }
  local headers = headers_of(summing(), { P = "x", Own = "mine" })
  test.equal({ headers["x-amz-checksum-sha256"], headers["x-amz-checksum-crc32"] }, { "mine", nil })
  headers = headers_of(summing { httpChecksum = false }, { P = "x" })
  test.equal(headers["x-amz-checksum-crc32"], nil)
  headers = headers_of(summing { httpChecksum = false, httpChecksumRequired = true }, { P = "123456789" })
  test.equal({ headers["x-amz-checksum-crc32"], headers["x-amz-sdk-algorithm"] }, { SUMS.CRC32, nil })
  with_env { HOME = test.tmpdir(), AWS_REQUEST_CHECKSUM_CALCULATION = "when_required" }
  test.equal(headers_of(summing(), { P = "x" })["x-amz-checksum-crc32"], nil)
  test.truthy(headers_of(summing { httpChecksumRequired = true }, { P = "x" })["x-amz-checksum-crc32"])
end

T["compression: from 10 KiB on, where the model allows it and no setting forbids it"] = function()
  with_env { HOME = test.tmpdir() }
  local function request(size, encodings)
    local client = lab.client("rest-json", { In = struct({ P = "Blob" }, { payload = "P" }) }, { op = { requestcompression = encodings and { encodings = encodings } } })
    return client:request("do", { P = ("x"):rep(size) })
  end
  local packed = request(10240, { "gzip" })
  test.equal({ packed.headers["Content-Encoding"], packed.headers["Content-Length"] }, { "gzip", tostring(#packed.body) })
  test.equal(zip.inflate(packed.body), ("x"):rep(10240))
  test.equal({ #request(10239, { "gzip" }).body, #request(10240).body, #request(10240, { "br" }).body }, { 10239, 10240, 10240 })
  with_env { HOME = test.tmpdir(), AWS_REQUEST_MIN_COMPRESSION_SIZE_BYTES = "5" }
  test.equal(request(5, { "gzip" }).headers["Content-Encoding"], "gzip")
  with_env { HOME = test.tmpdir(), AWS_DISABLE_REQUEST_COMPRESSION = "true" }
  test.equal(#request(20000, { "gzip" }).body, 20000)
end

T["presigned: the arguments of a form go into the query; a body of JSON cannot"] = function()
  local client = lab.client("query", { In = struct { A = "String" } })
  local url = client:presign("do", { A = "x y" }, { expires = 60 })
  test.match(url, "^https://example.com/%?A=x%%20y&Action=Do&Version=2020%-01%-01&X%-Amz%-Algorithm=AWS4%-HMAC%-SHA256&")
  test.match(url, "X%-Amz%-Expires=60&X%-Amz%-SignedHeaders=host&X%-Amz%-Signature=%x+$")
  for _, protocol in ipairs { "json", "smithy-rpc-v2-cbor" } do
    local other = lab.client(protocol, {})
    test.raises("cannot be presigned: its arguments are in the body", other.presign, other, "do")
  end
  local s3 = aws.client { service = "s3", region = "eu-west-1", credentials = { access_key_id = "AK", secret_access_key = "SK" } }
  test.match(s3:presign("put_object", { Bucket = "bucket-1", Key = "a b/ü" }),
             "^https://bucket%-1.s3.eu%-west%-1.amazonaws.com/a%%20b/%%C3%%BC%?X%-Amz%-Algorithm=.*&X%-Amz%-SignedHeaders=host&")
end

T["S3: the caller's own key goes in base64 with its MD5; other services want headers of their own"] = function()
  with_env { HOME = test.tmpdir() }
  local keys = { access_key_id = "AK", secret_access_key = "SK" }
  local function headers(service, name, args)
    return aws.client { service = service, region = "us-east-1", credentials = keys }:request(name, args).headers
  end
  local key = ("k"):rep(32)
  local sent = headers("s3", "get_object", { Bucket = "bucket-1", Key = "k", SSECustomerKey = secret.new(key), SSECustomerAlgorithm = "AES256" })
  test.truthy(secret.equal(sent["x-amz-server-side-encryption-customer-key"], sign.base64(key)))
  test.equal(sent["x-amz-server-side-encryption-customer-key-MD5"], sign.base64(sign.md5(key, true)))
  test.equal(headers("glacier", "list_vaults", { accountId = "-" })["x-amz-glacier-version"], "2012-06-01")
  test.equal(headers("apigateway", "get_rest_apis", {}).Accept, "application/json")
end

return T
