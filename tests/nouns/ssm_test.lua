--- Parameters of the Parameter Store, request by request (see tests/support/noun_lab.lua).
local aws = require "aws"
local lab = dofile "tests/support/noun_lab.lua"
local recipe_lab = dofile "tests/support/recipe_lab.lua"
local secret = require "secret"
local test = require "test"
local T = test.cases()

local NAME = "/shop/config/API_KEY"
local function kept(value, version)
  return { Parameter = { Name = NAME, ARN = "arn:p", Type = "SecureString", Value = secret.new(value), Version = version or 1 } }
end
local ADDED = { { Key = "team", Value = "shop" } }

lab.case(T, {
  noun = "parameter", want = { NAME, value = secret.new "s3cr3t", description = "of the shop" },
  absent = { ["ssm GetParameter"] = lab.refusal "ParameterNotFound" },
  there = { ["ssm GetParameter"] = kept "s3cr3t", ["ssm ListTagsForResource"] = { TagList = lab.tag_list("parameter", NAME) } },
  looks = { { "ssm GetParameter", { Name = NAME, WithDecryption = true } },
            { "ssm ListTagsForResource", { ResourceType = "Parameter", ResourceId = NAME } } },
  gone = { ["ssm ListTagsForResource"] = "InvalidResourceId" },
  create = { { "ssm PutParameter", { Name = NAME, Value = "(secret)", Type = "SecureString", Description = "of the shop", Tier = "Standard",
    Tags = lab.tag_list("parameter", NAME) }, { Version = 1 } } },
  change = {
    { "another value is put in its place", there = { ["ssm GetParameter"] = kept "old" },
      calls = { { "ssm PutParameter", { Name = NAME, Value = "(secret)", Type = "SecureString", Description = "of the shop", Tier = "Standard",
        Overwrite = true }, { Version = 2 } } } },
    { "a tag is added", want = { tags = { team = "shop" } },
      calls = { { "ssm AddTagsToResource", { ResourceType = "Parameter", ResourceId = NAME, Tags = ADDED } } } },
  },
  delete = { { "ssm DeleteParameter", { Name = NAME } } },
})

T["aws.parameter: 4,096 bytes fit the standard tier, one more needs the advanced one, and what is larger still is refused"] = function()
  local tiers = {}
  for _, size in ipairs { 4096, 4097, 8193 } do
    local world = lab.world { ["ssm GetParameter"] = lab.refusal "ParameterNotFound", ["ssm ListTagsForResource"] = { TagList = {} } }
    world.answers["ssm PutParameter"] = function(args)
      tiers[#tiers + 1] = args.Tier
      world.answers["ssm GetParameter"] = { Parameter = { Name = "/a", ARN = "arn:a", Value = args.Value, Version = 1 } }
      world.answers["ssm ListTagsForResource"] = { TagList = lab.tag_list("parameter", "/a") }
      return { Version = 1 }
    end
    local ok, e = pcall(recipe_lab().apply, recipe_lab(), function() aws.parameter { "/a", value = secret.new(("x"):rep(size)) } end)
    if not ok then tiers[#tiers + 1] = tostring(e):match "it.*" end
  end
  test.equal(tiers, { "Standard", "Advanced", "its value has 8193 bytes, and a parameter holds 8192; keep it in Secrets Manager" })
end

return T
