local test = require "test"
local sign = require "sign"
local secret = require "secret"
local fs = require "fs"
local process = require "process"
local ca = require "rehearsal.planes.ca"

local T = test.cases()

T["digests match their published vectors"] = function()
  test.equal(sign.sha256 "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
  test.equal(sign.sha256 "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
  test.equal(sign.sha256(("a"):rep(1000000)), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
  test.equal(sign.md5 "abc", "900150983cd24fb0d6963f7d28e17f72")
  test.equal(sign.hex(sign.md5("abc", true)), sign.md5 "abc")
  test.equal(sign.crc32 "123456789", 0xCBF43926)
  test.equal(sign.crc32 "", 0)
  test.equal(sign.sha256(secret.new "abc"), sign.sha256 "abc")
  test.equal(sign.sha1 "abc", "a9993e364706816aba3e25717850c26c9cd0d89d")
end

T["HMAC matches RFC 4231"] = function()
  local cases = {
    { ("\x0b"):rep(20), "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7" },
    { "Jefe", "what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" },
    { ("\xaa"):rep(20), ("\xdd"):rep(50), "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe" },
    { ("\xaa"):rep(131), "Test Using Larger Than Block-Size Key - Hash Key First",
      "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54" },
  }
  for _, c in ipairs(cases) do
    test.equal(sign.hmac(c[1], c[2], true), c[3])
    test.equal(sign.hex(sign.hmac(secret.new(c[1]), secret.new(c[2]))), c[3])
  end
end

T["base64 and hexadecimal go both ways, and keep the kind of their input"] = function()
  for bytes, coded in pairs { [""] = "", f = "Zg==", fo = "Zm8=", foo = "Zm9v", foob = "Zm9vYg==", ["\0\255\254"] = "AP/+" } do
    test.equal(sign.base64(bytes), coded)
    test.equal(sign.unbase64(coded), bytes)
    test.equal(sign.unbase64((coded:gsub("=", ""))), bytes)
    test.equal(sign.unhex(sign.hex(bytes)), bytes)
  end
  local long = sign.random(1000)
  test.equal(sign.unbase64((sign.base64(long):gsub(("."):rep(76), "%0\r\n"))), long)
  test.equal(sign.unbase64 "_-8", sign.unbase64 "/+8=")
  local s = sign.unbase64(sign.base64(secret.new "pw"))
  test.truthy(secret.is(s) and secret.equal(s, "pw"))
  for _, bad in ipairs { "Z", "Zg=", "Zg===", "Z===", "=", "Zm9v=", "Zg==Zg==", "Z g", "Zm9\0" } do
    test.raises("not base64", sign.unbase64, bad)
  end
  test.raises("not hexadecimal", sign.unhex, "abc")
  test.raises("character 2", sign.unhex, "ag")
end

T["random bytes and UUIDs have their form and differ"] = function()
  test.equal(#sign.random(33), 33)
  test.truthy(sign.random(16) ~= sign.random(16))
  test.match(sign.uuid(), "^%x%x%x%x%x%x%x%x%-%x%x%x%x%-4%x%x%x%-[89ab]%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$")
  test.truthy(sign.uuid() ~= sign.uuid())
end

T["a file's digest is read on a worker thread"] = function()
  local path = test.tmpdir() .. "/big"
  fs.write(path, ("a"):rep(1000000))
  local hex, size = sign.sha256_file(path)
  test.equal({ hex, size }, { "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0", 1000000 })
  test.equal(test.raises("No such file", sign.sha256_file, path .. "x").kind, "not_found")
  test.raises("directory", sign.sha256_file, test.tmpdir())
end

T["checksums of a piece of a file; CRC-32s are joined"] = function()
  local path = test.tmpdir() .. "/f"
  local first, second = ("0123456789"):rep(60000), ("xyz"):rep(70001)
  fs.write(path, first .. second)
  local piece = sign.digest_file(path, { "crc32", "md5", "sha1", "sha256" }, { offset = #first, length = #second })
  test.equal(piece, { size = #second, crc32 = sign.crc32(second), md5 = sign.md5(second), sha256 = sign.sha256(second),
                      sha1 = process.run({ "sha1sum" , stdin = second }).stdout:match "%x+" })
  test.equal(sign.crc32_join(sign.crc32(first), piece.crc32, piece.size), sign.digest_file(path, { "crc32" }).crc32)
  test.equal(sign.digest_file(path, { "crc32" }, { offset = #first + #second - 3, length = 100 }).size, 3)
  test.equal(sign.digest_file(path, {}), { size = #first + #second })
  test.raises("sha9 is not a checksum", sign.digest_file, path, { "sha9" })
end

T["a job that is closed answers with an error, and one closed early leaves nothing"] = function()
  local host, task = require "host.sign", require "task"
  local path = test.tmpdir() .. "/big"
  fs.write(path, ("a"):rep(3000000))
  local job = host.digest_file(path, { "sha256" })
  local v, err = job:result()
  test.equal({ v, err.kind }, { nil, "invalid" })
  job:close()
  job:close()
  v, err = job:result()
  test.equal({ v, err.kind }, { nil, "closed" })
  local long = path .. ".long"                        -- of holes: half a minute of work that is no byte on disk
  test.equal(process.run({ "truncate", "-s", "64G", long }).code, 0)
  local t = task.spawn(function() return sign.sha256_file(long) end)
  task.sleep(0)
  t:cancel()
  test.raises("cancelled", t.join, t)
  test.equal(#sign.sha256_file(path), 64)
end

-- the AWS Signature Version 4 test suite
local function suite(method, target, headers, body)
  return {
    method = method, url = "https://example.amazonaws.com" .. target, headers = headers, body = body, service = "service",
    region = "us-east-1", access_key = "AKIDEXAMPLE", secret_key = secret.new "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    time = 1440938160,                                -- 20150830T123600Z
  }
end

-- "Signature Calculations for the Authorization Header" in the S3 API reference
local function s3(method, target, headers, body)
  return {
    method = method, url = "https://examplebucket.s3.amazonaws.com" .. target, headers = headers, body = body, service = "s3",
    region = "us-east-1", access_key = "AKIAIOSFODNN7EXAMPLE",
    secret_key = secret.new "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", time = 1369353600,    -- 20130524T000000Z
  }
end

local function signature(request)
  return sign.sigv4(request).Authorization:match "Signature=(%x+)$"
end

T["signatures match AWS's test suite"] = function()
  local vanilla = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
  test.equal(sign.sigv4(suite("GET", "/")).Authorization,
    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature="
    .. vanilla)
  for _, path in ipairs { "", "//", "/./", "/example/..", "/example1/example2/../.." } do
    test.equal(signature(suite("GET", path)), vanilla, path)
  end
  test.equal(signature(suite("GET", "/?Param2=value2&Param1=value1")),
    "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500")
  test.equal(signature(suite("POST", "/")), "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b")
  test.equal(signature(suite("GET", "/ሴ")), signature(suite("GET", "/./ሴ")))
end

T["the IAM guide's ListUsers example is signed as printed there"] = function()
  local r = suite("GET", "/", { ["Content-Type"] = "application/x-www-form-urlencoded; charset=utf-8" })
  r.url, r.service = "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08", "iam"
  test.equal(signature(r), "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7")
end

T["the S3 reference's examples are signed as printed there"] = function()
  test.equal(signature(s3("GET", "/test.txt", { Range = "bytes=0-9" })),
    "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")
  test.equal(signature(s3("PUT", "/test%24file.text", { Date = "Fri, 24 May 2013 00:00:00 GMT",
    ["x-amz-storage-class"] = "REDUCED_REDUNDANCY" }, "Welcome to Amazon S3.")),
    "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd")
  test.equal(signature(s3("GET", "/?lifecycle")), "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543")
  test.equal(signature(s3("GET", "/?max-keys=2&prefix=J")),
    "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7")
end

T["the S3 reference's presigned URL comes out as printed there"] = function()
  test.equal(sign.presign(s3("GET", "/test.txt"), 86400),
    "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
    .. "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z"
    .. "&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
    .. "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404")
  test.raises("604800", sign.presign, s3("GET", "/"), 604801)
end

T["a session token stays a secret in header and URL"] = function()
  local r = suite("GET", "/")
  r.session_token = secret.new "token/+"
  local headers = sign.sigv4(r)
  test.truthy(secret.is(headers["X-Amz-Security-Token"]))
  test.match(headers.Authorization, "SignedHeaders=host;x%-amz%-date;x%-amz%-security%-token,")
  test.truthy(secret.is(sign.presign(r)))
  r.session_token = "token/+"
  test.equal(sign.sigv4(r).Authorization, headers.Authorization)
  test.match(sign.presign(r), "&X%-Amz%-Security%-Token=token%%2F%%2B&")
end

T["what a signature needs is asked for by name"] = function()
  test.equal(test.raises("needs the option region", sign.sigv4, { method = "GET", url = "http://h", service = "s" }).kind, "usage")
  local r = suite("GET", "/")
  r.url = "example.com"
  test.raises("not a URL", sign.sigv4, r)
end

T["a CA of one's own issues certificates that OpenSSL verifies"] = function()
  local dir = test.tmpdir()
  local authority = ca.new(dir .. "/ca")
  local files = authority:issue { name = "db.example.com", names = { "db.example.com", "*.cache.local" }, ips = { "127.0.0.1", "::1" } }
  local function openssl(...)
    return process.run { "openssl", ... }
  end
  for _, check in ipairs { { "-verify_hostname", "db.example.com" }, { "-verify_hostname", "x.cache.local" }, { "-verify_ip", "127.0.0.1" },
                           { "-verify_ip", "::1" } } do
    local r = openssl("verify", "-x509_strict", "-CAfile", authority.file, check[1], check[2], files.cert)
    test.equal({ r.code, r.stderr }, { 0, "" })
  end
  test.truthy(openssl("verify", "-CAfile", authority.file, "-verify_hostname", "other.com", files.cert).code ~= 0)
  local key = openssl("pkey", "-in", files.key, "-pubout").stdout
  test.match(key, "PUBLIC KEY")
  test.equal(key, openssl("x509", "-in", files.cert, "-noout", "-pubkey").stdout)
  test.equal(fs.stat(files.key).mode & 511, tonumber("600", 8))
  local other = ca.new(dir .. "/other")
  test.truthy(openssl("verify", "-CAfile", other.file, files.cert).code ~= 0)
end

T["a private key is a secret, and a wrong CA or name is refused"] = function()
  local pair = sign.make_ca { name = "test" }
  test.truthy(secret.is(pair.key))
  local leaf = sign.issue_cert(pair, { name = "h" })
  test.truthy(secret.is(leaf.key))
  test.match(leaf.cert, "^%-%-%-%-%-BEGIN CERTIFICATE")
  test.raises("do not match", sign.issue_cert, { cert = pair.cert, key = leaf.key }, { name = "h" })
  test.raises("do not parse", sign.issue_cert, { cert = "x", key = pair.key }, { name = "h" })
  test.equal(test.raises("not a host name", sign.issue_cert, pair, { name = "h,DNS:evil" }).kind, "usage")
  test.raises("not an IP", sign.issue_cert, pair, { ips = { "h" } })
  test.raises("names right", sign.issue_cert, pair, { ips = { "1.2.3.999" } })
  test.raises("needs a name", sign.issue_cert, pair, {})
end

return T
