--- The REPL through a pseudo-terminal. The programs that type and that show are not ours: pexpect and pyte
--- (repl_judge.py); the AWS behind it is a small server of this file.
local fs = require "fs"
local process = require "process"
local serve = require "rehearsal.serve"
local test = require "test"
local T = test.cases()

local exe = fs.realpath "/proc/self/exe"

local function vpc(id, cidr)
  return ([[<item><vpcId>%s</vpcId><ownerId>123456789012</ownerId><state>available</state><cidrBlock>%s</cidrBlock>
    <dhcpOptionsId>dopt-0123456789abcdef0</dhcpOptionsId><instanceTenancy>default</instanceTenancy><isDefault>false</isDefault>
    <tagSet><item><key>Name</key><value>a network with a long name, to fill the line</value></item></tagSet></item>]]):format(id, cidr)
end

local ANSWERS = {
  DescribeVpcs = ("<R><vpcSet>%s%s</vpcSet></R>"):format(vpc("vpc-1", "10.0.0.0/16"), vpc("vpc-2", "10.1.0.0/16")),
  CreateVpc = "<R><vpc><vpcId>vpc-new</vpcId></vpc></R>",
}

--- A role that takes the code 123456 of its device, and no other.
local function assume(body)
  if body:match "TokenCode=([^&]*)" ~= "123456" then
    return { status = 403, body = [[<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>
      <Message>MultiFactorAuthentication failed with invalid MFA one time pass code.</Message></Error></ErrorResponse>]] }
  end
  return { body = [[<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASME</AccessKeyId><SecretAccessKey>s</SecretAccessKey>
    <SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>]] }
end

--- Runs a case of the judge with an environment of its own.
local function judge(name)
  local home = test.tmpdir()
  local env = {
    PATH = os.getenv "PATH", HOME = home, XDG_STATE_HOME = home .. "/state", TERM = "xterm", LANG = "C.UTF-8",
    AWS_REGION = "us-east-1", AWS_ACCESS_KEY_ID = "AK", AWS_SECRET_ACCESS_KEY = "SK", NO_COLOR = "1",
    HANGS = home .. "/hangs", CREATED = home .. "/created", NO_LESS = home .. "/bin",
  }
  local lib = os.getenv "HKRUN_LIB"
  env.HKRUN_LIB = lib and fs.realpath(lib)
  fs.mkdir_p(home .. "/.aws")
  fs.mkdir_p(home .. "/bin")
  fs.write(home .. "/.aws/config", "[profile staging]\nregion = eu-central-1\n[profile prod]\nregion = eu-west-1\n"
    .. "[profile admin]\nregion = eu-west-1\nrole_arn = arn:aws:iam::1:role/admin\nsource_profile = me\nmfa_serial = arn:aws:iam::1:mfa/me\n")
  fs.write(home .. "/.aws/credentials", "[me]\naws_access_key_id = AKME\naws_secret_access_key = SKME\n", 384)
  process.run { "mkfifo", env.HANGS }
  local server = serve.start { handler = function(req)
    local action = req.body:match "Action=(%w+)"
    if action == "DescribeVolumes" then
      process.run { "sh", "-c", ": > " .. env.HANGS }       -- the judge waits for this
      return { delay = 600 }
    end
    if action == "AssumeRole" then return assume(req.body) end
    if action == "CreateVpc" then fs.write(env.CREATED, "") end
    return { body = ANSWERS[action] }
  end }
  test.defer(function() server:stop() end)
  env.AWS_ENDPOINT_URL = server.url
  local r = process.run { test.tool "python3", "tests/recipes/repl_judge.py", exe, name, env = env, timeout = 600 }
  if r.code ~= 0 then error(r.stderr, 0) end
end

for _, case in ipairs {
  { "Tab completes services, operations, parameters, values and fields, without region, keys or network", "completion" },
  { "the history has no secret, keeps an entry of several lines as one, and is its owner's alone", "remembers" },
  { "Ctrl-R searches", "searches" },
  { "Ctrl-C ends a call that hangs, a loop, an unfinished entry, a line: and only that", "cancels" },
  { "pasted text is one entry; typed lines go on until they are whole", "pastes" },
  { "a result is an aligned table that fits 80 and 200 columns", "tables" },
  { "read-only until :write on", "refuses" },
  { "a role that wants an MFA code asks for it, unseen; Ctrl-C and a wrong code lead back to the prompt", "asks" },
  { ":profile, :region, :time, :json, _ and errors", "settings" },
  { "what is longer than the screen goes through the pager; q and Ctrl-C come back", "pages" },
  { "a terminal that is slow gets all of a long output", "floods" },
  { "a dumb terminal gets no control sequences, and no pager; a history that cannot be written is no obstacle", "dumb" },
  { "the terminal may change its size; hkrun alone is the REPL", "resizes" },
} do
  T[case[1]] = function() judge(case[2]) end
end

return T
