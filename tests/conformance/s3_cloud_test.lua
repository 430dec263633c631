--- The rehearsal's S3 with objects in parts, read and written by boto3 and the AWS CLI, which none of us wrote, and by our
--- own transfers: each gets what another sent.
local aws = require "aws"
local cloud = require "rehearsal.cloud"
local fs = require "fs"
local process = require "process"
local test = require "test"
local T = test.cases()

local MIB <const> = 1 << 20

local function run(c, words, more)
  local env = c:env()
  for name, value in pairs(more or {}) do env[name] = value end
  words.env, words.timeout = env, 90
  local r = process.run(words)
  if r.code ~= 0 then error(r.stdout .. r.stderr) end
  return r.stdout
end

T["boto3, the AWS CLI and hkrun get from the rehearsal's S3 what each other sent in parts"] = function()
  local dir = test.tmpdir()
  local c <close> = cloud.start { dir = fs.join(dir, "cloud") }
  local s3 = aws.client { service = "s3", region = "us-east-1", endpoint = c.url,
                          credentials = { access_key_id = c.access_key, secret_access_key = c.secret_key } }
  s3:create_bucket { Bucket = "shop" }
  run(c, { "sh", "-c", "head -c 23000001 /dev/urandom > " .. dir .. "/file" })
  local function same(name) test.equal(process.run({ "cmp", dir .. "/file", dir .. "/" .. name }).stdout, "", name) end
  local up = s3:upload { file = dir .. "/file", to = "s3://shop/ours", part_size = 5 * MIB, Metadata = { who = "hkrun" } }

  local out = run(c, { test.tool "python3", "-c", [==[
import sys, boto3, botocore, hashlib
from boto3.s3.transfer import TransferConfig
dir = sys.argv[1]
s3 = boto3.client("s3")
parts = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20, max_concurrency=4)
s3.upload_file(dir + "/file", "shop", "boto3", Config=parts, ExtraArgs={"ContentType": "text/x"})
s3.download_file("shop", "boto3", dir + "/boto3-boto3", Config=parts)
s3.download_file("shop", "ours", dir + "/ours-boto3", Config=parts)
head = s3.head_object(Bucket="shop", Key="ours", ChecksumMode="ENABLED")
print(head["Metadata"]["who"], head["ChecksumType"], head["ChecksumCRC32"], head["ContentLength"])
head = s3.head_object(Bucket="shop", Key="boto3", ChecksumMode="ENABLED", PartNumber=5)
print(head["PartsCount"], head["ContentLength"], head["ContentType"])
print(s3.get_object(Bucket="shop", Key="ours", ChecksumMode="ENABLED")["Body"].read() == open(dir + "/file", "rb").read())
print(s3.get_object(Bucket="shop", Key="ours", Range="bytes=-7")["ContentRange"])
s3.copy({"Bucket": "shop", "Key": "ours"}, "shop", "copied", Config=parts)
s3.download_file("shop", "copied", dir + "/copied-boto3", Config=parts)

up = s3.create_multipart_upload(Bucket="shop", Key="x", ChecksumAlgorithm="SHA256")["UploadId"]
args = dict(Bucket="shop", Key="x", UploadId=up)
tags = [s3.upload_part(PartNumber=n, Body=b"%d" % n * (5 << 20 if n == 1 else 10), ChecksumAlgorithm="SHA256", **args) for n in (1, 2, 3)]
print([p["Size"] for page in s3.get_paginator("list_parts").paginate(PaginationConfig={"PageSize": 2}, **args) for p in page["Parts"]])
s3.create_multipart_upload(Bucket="shop", Key="y")
s3.create_multipart_upload(Bucket="shop", Key="z/y")
print([u["Key"] for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket="shop", PaginationConfig={"PageSize": 1}) for u in page["Uploads"]],
      [u["Key"] for u in s3.list_multipart_uploads(Bucket="shop", Prefix="z/")["Uploads"]])
def named(*numbers, **more): return {"Parts": [dict(PartNumber=n, ETag=tags[n - 1]["ETag"], ChecksumSHA256=tags[n - 1]["ChecksumSHA256"], **more) for n in numbers]}
bad = {"Parts": [{"PartNumber": 1, "ETag": '"00"', "ChecksumSHA256": tags[0]["ChecksumSHA256"]}]}
def code(fn, **kw):
    try: fn(**kw); return "no error"
    except botocore.exceptions.ClientError as e: return e.response["Error"]["Code"]
done = s3.complete_multipart_upload
print(code(done, MultipartUpload=named(2, 1), **args), code(done, MultipartUpload=bad, **args), code(done, MultipartUpload=named(1, 2, 3), **args),
      code(done, MultipartUpload=named(1, 3), IfMatch='"0"', **args), code(s3.upload_part, PartNumber=10001, Body=b"", **args),
      code(s3.upload_part, PartNumber=2, Body=b"x", ChecksumCRC32="AAAAAA==", **args), code(done, MultipartUpload=named(1, 3), MpuObjectSize=7, **args),
      code(s3.upload_part, PartNumber=2, Body=b"x", ChecksumSHA256="A" * 43 + "=", **args))
print(done(MultipartUpload=named(1, 3), **args)["ChecksumSHA256"][-2:], code(s3.list_parts, **args), code(s3.abort_multipart_upload, **args))
print(code(s3.get_object, Bucket="shop", Key="x", Range="bytes=99999999-"), code(s3.get_object, Bucket="shop", Key="x", IfMatch='"0"'),
      code(s3.get_object, Bucket="shop", Key="x", PartNumber=3))
]==], dir })
  test.equal(out, table.concat({
    "hkrun FULL_OBJECT " .. up.checksum .. " 23000001", "5 2028481 text/x", "True", "bytes 22999994-23000000/23000001", "[5242880, 10, 10]",
    "['x', 'y', 'z/y'] ['z/y']", "InvalidPartOrder InvalidPart EntityTooSmall NoSuchKey InvalidArgument InvalidRequest InvalidRequest BadDigest",
    "-2 NoSuchUpload NoSuchUpload", "InvalidRange PreconditionFailed InvalidPartNumber", "" }, "\n"))

  fs.write(dir .. "/config", "[default]\ns3 =\n  multipart_threshold = 5MB\n  multipart_chunksize = 5MB\n")
  for _, way in ipairs { { dir .. "/file", "s3://shop/cli" }, { "s3://shop/ours", dir .. "/ours-cli" }, { "s3://shop/cli", dir .. "/cli-cli" } } do
    run(c, { test.tool "aws", "--endpoint-url", c.url, "s3", "cp", "--only-show-errors", way[1], way[2] }, { AWS_CONFIG_FILE = dir .. "/config" })
  end
  for _, name in ipairs { "boto3", "cli" } do
    test.equal(s3:download({ from = "s3://shop/" .. name, file = dir .. "/" .. name .. "-ours" }).parts, 5, "in the sender's parts")
  end
  for _, name in ipairs { "boto3-boto3", "ours-boto3", "copied-boto3", "ours-cli", "cli-cli", "boto3-ours", "cli-ours" } do same(name) end
  test.equal(#s3:abort_uploads { bucket = "shop" }, 2)
end

return T
