--- Uploads in parts in the rehearsal's S3.
--- Source: "Uploading and copying objects using multipart upload" and "Checking object integrity" (S3 User Guide).
local fs = require "fs"
local objects = require "rehearsal.services.s3.objects"
local sign = require "sign"
local store = require "rehearsal.services.s3.store"
local wire = require "rehearsal.wire"

local M = {}

local SMALLEST <const> = 5 << 20

local function upload_of(cloud, p)
  local bucket = store.bucket_of(cloud, p.Bucket)
  local upload = bucket.uploads[p.UploadId]
  if not upload or upload.key ~= p.Key then
    wire.fail("NoSuchUpload", 404, "The specified upload does not exist. The upload ID may be invalid, or the upload may have been "
      .. "aborted or completed.")
  end
  return upload, bucket
end

function M.CreateMultipartUpload(cloud, p)
  local bucket = store.bucket_of(cloud, p.Bucket)
  local algorithm = p.ChecksumAlgorithm
  if algorithm and not store.SUMS[algorithm] then wire.fail("NotImplemented", 501, "the rehearsal cloud does not compute %s", algorithm) end
  if p.ChecksumType == "FULL_OBJECT" and algorithm and algorithm ~= "CRC32" then
    wire.fail("InvalidRequest", 400, "The FULL_OBJECT checksum type cannot be used with the %s checksum algorithm.", algorithm:lower())
  end
  local upload = { id = sign.hex(sign.random(24)), key = p.Key, about = p, parts = {}, algorithm = algorithm, initiated = cloud.clock:now(),
                   sum_type = algorithm and (p.ChecksumType or "COMPOSITE") }
  bucket.uploads[upload.id] = upload
  return { Bucket = p.Bucket, Key = p.Key, UploadId = upload.id, ChecksumAlgorithm = algorithm, ChecksumType = upload.sum_type }
end

local function keep(cloud, upload, number, part)
  local old = upload.parts[number]
  part.modified = cloud.clock:now()
  upload.parts[number] = part
  if old then fs.remove(old.file) end
end

local function check_number(p)
  if p.PartNumber < 1 or p.PartNumber > 10000 then
    wire.fail("InvalidArgument", 400, "Part number must be an integer between 1 and 10000, inclusive")
  end
end

function M.UploadPart(cloud, p, ctx)
  local upload, bucket = upload_of(cloud, p)
  check_number(p)
  for name in pairs(store.SUMS) do
    if ctx.request.headers["x-amz-checksum-" .. name:lower()] and name ~= (upload.algorithm or name) then
      wire.fail("InvalidRequest", 400, "Checksum Type mismatch occurred, expected checksum Type: %s, actual checksum Type: %s",
                upload.algorithm:lower(), name:lower())
    end
  end
  local part = store.receive(bucket, p, ctx.request, upload.algorithm)
  keep(cloud, upload, p.PartNumber, part)
  return objects._sums_of(part, { ETag = part.etag })
end

function M.UploadPartCopy(cloud, p)
  local upload, bucket = upload_of(cloud, p)
  check_number(p)
  local from = store.source(cloud, p.CopySource)
  if p.CopySourceIfMatch then store.conditions({ IfMatch = p.CopySourceIfMatch }, from) end
  local first, last = 0, from.size - 1
  if p.CopySourceRange then
    first, last = store.range(p.CopySourceRange, from.size)
    if not first then wire.fail("InvalidArgument", 400, "The x-amz-copy-source-range value must be of the form bytes=first-last") end
  end
  local path = store.new_file(bucket)
  store.append(from.file, first, last - first + 1, path)
  local part = store.receive(bucket, { body_file = path }, { headers = {} }, upload.algorithm)
  keep(cloud, upload, p.PartNumber, part)
  return { CopyPartResult = objects._sums_of(part, { ETag = part.etag, LastModified = part.modified }) }
end

function M.ListParts(cloud, p)
  local upload = upload_of(cloud, p)
  local numbers, list, most = {}, {}, math.min(p.MaxParts or 1000, 1000)
  for number in pairs(upload.parts) do if number > (p.PartNumberMarker or 0) then numbers[#numbers + 1] = number end end
  table.sort(numbers)
  for i = 1, math.min(#numbers, most) do
    local part = upload.parts[numbers[i]]
    list[i] = objects._sums_of(part, { PartNumber = numbers[i], ETag = part.etag, Size = part.size, LastModified = part.modified })
    list[i].ChecksumType = nil
  end
  local more = #numbers > most
  return { Bucket = p.Bucket, Key = p.Key, UploadId = upload.id, PartNumberMarker = p.PartNumberMarker or 0, MaxParts = most, Parts = list,
           IsTruncated = more, NextPartNumberMarker = more and numbers[most] or nil, StorageClass = "STANDARD",
           ChecksumAlgorithm = upload.algorithm, ChecksumType = upload.sum_type }
end

function M.ListMultipartUploads(cloud, p)
  local found, list, most = {}, {}, math.min(p.MaxUploads or 1000, 1000)
  local function is_after(u)
    if not p.KeyMarker then return true end
    return u.key > p.KeyMarker or u.key == p.KeyMarker and p.UploadIdMarker ~= nil and u.id > p.UploadIdMarker
  end
  for _, u in pairs(store.bucket_of(cloud, p.Bucket).uploads) do
    if u.key:sub(1, #(p.Prefix or "")) == (p.Prefix or "") and is_after(u) then found[#found + 1] = u end
  end
  table.sort(found, function(a, b) return a.key < b.key or a.key == b.key and a.id < b.id end)
  for i = 1, math.min(#found, most) do
    local u = found[i]
    list[i] = { Key = u.key, UploadId = u.id, Initiated = u.initiated, StorageClass = "STANDARD", ChecksumAlgorithm = u.algorithm,
                ChecksumType = u.sum_type }
  end
  local last = #found > most and list[most] or nil
  return { Bucket = p.Bucket, Prefix = p.Prefix or "", MaxUploads = most, IsTruncated = last ~= nil, Uploads = list,
           NextKeyMarker = last and last.Key, NextUploadIdMarker = last and last.UploadId }
end

--- The parts that a completion names, each of them as it was sent.
local function named_parts(upload, wanted)
  local list = {}
  for i = 2, #wanted do
    if wanted[i].PartNumber <= wanted[i - 1].PartNumber then
      wire.fail("InvalidPartOrder", 400, "The list of parts was not in ascending order. Parts must be ordered by part number.")
    end
  end
  for i, part in ipairs(wanted) do
    local own = upload.parts[part.PartNumber]
    local same = own and own.etag:gsub('"', "") == (part.ETag or ""):gsub('"', "")
    for name in pairs(store.SUMS) do
      local said = part["Checksum" .. name]
      same = same and (said == nil or said == own.sums[name])
      if upload.sum_type == "COMPOSITE" and name == upload.algorithm and said == nil then
        wire.fail("InvalidRequest", 400, "The upload was created using a %s checksum. The complete request must include the "
          .. "checksum for each part.", name:lower())
      end
    end
    if not same then
      wire.fail("InvalidPart", 400, "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified "
        .. "entity tag may not match the part's entity tag.")
    end
    if i < #wanted and own.size < SMALLEST then
      wire.fail("EntityTooSmall", 400, "Your proposed upload is smaller than the minimum allowed size")
    end
    list[i] = own
  end
  return list
end

--- The object's checksum, of the parts' bytes or of their checksums.
local function sum_of(upload, parts, path)
  local name = store.SUMS[upload.algorithm]
  if upload.sum_type == "FULL_OBJECT" then return store.text(sign.digest_file(path, { name }), upload.algorithm) end
  local list = {}
  for i, part in ipairs(parts) do list[i] = sign.unbase64(part.sums[upload.algorithm]) end
  local sums = path .. ".sums"
  fs.append(sums, table.concat(list), 420)
  local text = store.text(sign.digest_file(sums, { name }), upload.algorithm)
  fs.remove(sums)
  return text .. "-" .. #parts
end

function M.CompleteMultipartUpload(cloud, p)
  local upload, bucket = upload_of(cloud, p)
  local wanted = p.MultipartUpload and p.MultipartUpload.Parts or {}
  if #wanted == 0 then wire.fail("MalformedXML", 400, "The XML you provided was not well-formed or did not validate against our published schema") end
  local parts = named_parts(upload, wanted)
  store.conditions(p, bucket.objects[p.Key])
  local o = { file = store.new_file(bucket), size = 0, parts = {}, sums = {}, sum_type = upload.sum_type }
  local tags = {}
  for i, part in ipairs(parts) do
    store.append(part.file, 0, part.size, o.file)
    o.size, o.parts[i], tags[i] = o.size + part.size, part.size, sign.unhex(part.digest.md5)
  end
  o.etag = ('"%s-%d"'):format(sign.md5(table.concat(tags)), #parts)
  if upload.algorithm then o.sums[upload.algorithm] = sum_of(upload, parts, o.file) end
  local said = upload.algorithm and p["Checksum" .. upload.algorithm]
  if said and said ~= o.sums[upload.algorithm] then
    fs.remove(o.file)
    wire.fail("BadDigest", 400, "The %s you specified did not match the calculated checksum.", upload.algorithm:lower())
  end
  if p.MpuObjectSize and p.MpuObjectSize ~= o.size then
    fs.remove(o.file)
    wire.fail("InvalidRequest", 400, "The provided 'x-amz-mp-object-size' header value %d does not match what was computed: %d",
              p.MpuObjectSize, o.size)
  end
  M.AbortMultipartUpload(cloud, p)
  objects._put(cloud, bucket, p.Key, o, upload.about)
  return objects._sums_of(o, { Location = ("%s/%s/%s"):format(cloud.url, p.Bucket, p.Key), Bucket = p.Bucket, Key = p.Key, ETag = o.etag })
end

function M.AbortMultipartUpload(cloud, p)
  local upload, bucket = upload_of(cloud, p)
  bucket.uploads[p.UploadId] = nil
  for _, part in pairs(upload.parts) do fs.remove(part.file) end
end

return M
