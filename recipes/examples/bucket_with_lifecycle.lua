--- Makes a private, encrypted bucket with versions, in which old versions go to cheaper storage and are then deleted.
---
---     hkrun recipes/examples/bucket_with_lifecycle.lua --name acme-backups
local recipe, aws = require "recipe", require "aws"

local opt = recipe.options {
  { "name", "name of the bucket", target = true },
  { "region", "AWS region", default = "us-east-1", use = function(v) aws.use { region = v } end },
  { "days", "days after which old versions are deleted", default = 90 },
}

recipe.stage "bucket"
local bucket = aws.bucket { opt.name, versions = true }

recipe.stage "lifecycle"
recipe.once(("keep old versions for %d days"):format(opt.days), function()
  aws.s3:put_bucket_lifecycle_configuration {
    Bucket = bucket.id,
    LifecycleConfiguration = { Rules = { {
      ID = "old-versions", Status = "Enabled", Filter = { Prefix = "" },
      NoncurrentVersionTransitions = { { NoncurrentDays = 30, StorageClass = "STANDARD_IA" } },
      NoncurrentVersionExpiration = { NoncurrentDays = opt.days },
      AbortIncompleteMultipartUpload = { DaysAfterInitiation = 7 },
    } } },
  }
end)
