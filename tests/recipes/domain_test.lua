--- The app's own names: certificate, HTTPS, the switch of the DNS and the way back, judged by curl and dig. The environment
--- runs Beanstalk's sample application until a bundle is deployed: what is served does not matter here.
package.path = "recipes/?.lua;" .. package.path

local aws = require "aws"
local bundle = require "heroku_to_aws.bundle"
local dns = require "heroku_to_aws.dns"
local domain = require "heroku_to_aws.domain"
local fs = require "fs"
local http = require "http"
local process = require "process"
local recipe = require "recipe"
local task = require "task"
local test = require "test"

local T = test.cases()

local FACTS = { domains = { { kind = "heroku", hostname = "shop-1.herokuapp.com" }, { kind = "custom", hostname = "Shop.example.com" },
  { kind = "custom", hostname = "example.com" } } }

--- The names' zone, as its owner has it; and where the DNS answers.
local function zone(cloud)
  local r53 = cloud.cloud:service "route53"
  r53._own(cloud.cloud, { domains = { { kind = "custom", hostname = "shop.example.com", cname = "calm-1.herokudns.com" },
    { kind = "custom", hostname = "example.com", cname = "calm-2.herokudns.com" } } })
  return r53._address(cloud.cloud)
end

local function dig(server, name, kind)
  local host, port = server:match "^(.*):(%d+)$"
  local r = process.run { "dig", "@" .. host, "-p", port, "+noall", "+answer", "+time=5", "+tries=3", name, kind, timeout = 120 }
  test.equal(r.code, 0, r.stdout)
  return (r.stdout:gsub("[ \t]+", " "):gsub("\n$", ""))
end

--- What curl sees of a name at an address: "200 https", or why not.
local function curl(cloud, url, address)
  local r = process.run { "curl", "-sS", "-o", "/dev/null", "--max-time", "20", "--cacert", cloud.cloud.ca.file,
    "--connect-to", "::" .. address .. ":", "-w", "%{http_code} %{redirect_url}", url, timeout = 30,
    env = { PATH = os.getenv "PATH", NO_PROXY = "*" } }
  return r.code == 0 and r.stdout or "curl " .. r.code
end

--- A small app gets onto the environment as the recipe bundles it for names of its own.
local function deploy(web)
  local o = { source = "tests/support/tiny_app", stack = "heroku-24", dir = test.tmpdir(), platform = "docker" }
  local b = bundle.describe({ https = true, processes = { { type = "web", command = "node web.js", replicas = 1 } } }, o)
  aws.s3:create_bucket { Bucket = "shop-bundles" }
  aws.s3:put_object { Bucket = "shop-bundles", Key = "b.zip", Body = fs.read(bundle.build(b, nil, o).path) }
  aws.elasticbeanstalk:create_application_version { ApplicationName = "shop", VersionLabel = b.version,
    SourceBundle = { S3Bucket = "shop-bundles", S3Key = "b.zip" } }
  web:deploy { id = b.version }
  aws.s3:delete_object { Bucket = "shop-bundles", Key = "b.zip" }
  aws.s3:delete_bucket { Bucket = "shop-bundles" }
end

--- The parts of the main recipe that names have to do with.
local function recipe_of(opt, seen)
  return function()
    local plan = { name = "shop", environments = { { name = "shop", processes = { { type = "web" } }, instances = 1 } } }
    domain.plan(plan, FACTS, opt)
    recipe.stage "stores"
    local net = aws.network { "shop", cidr = "10.9.0.0/16", zones = 2 }
    local certificate = #plan.domains > 0 and domain.certificate(plan.domains, opt) or nil
    recipe.stage "deploy"
    local app = aws.eb_application { "shop" }
    local web = aws.environment { "shop", application = app, network = net, load_balanced = plan.environments[1].load_balanced or false,
                                  certificate = certificate }
    recipe.stage "domain"
    local places = domain.prepare(plan.domains, web, opt)
    recipe.stage "dns"
    seen.cname, seen.web = web.cname, web
    if opt.stop then return end
    seen.verified = dns.switch(places, web, opt)
  end
end

T["names lead to AWS with HTTPS, and back to Heroku by rollback"] = function()
  local cloud <close> = test.cloud { servers = true }
  test.defer(http.close_idle)
  if not cloud.cloud.net.isolated then return end            -- without networks of its own no load balancer has port 443
  local server = zone(cloud)
  local opt, seen = { domain = { "all" }, dns_server = server, health_path = "/" }, {}
  test.apply(recipe_of({ dns_server = server, health_path = "/" }, seen))
  test.equal(http.get("http://" .. seen.cname .. "/", { timeout = 120 }).status, 200, "without names of its own: one machine")
  test.match(test.plan(recipe_of(opt, seen)).output, "%+ aws%.certificate \"example%.com\"")
  opt.stop = true
  test.apply(recipe_of(opt, seen))
  test.equal(dig(server, "shop.example.com", "CNAME"), "shop.example.com. 60 IN CNAME calm-1.herokudns.com.", "kept for a minute by now")
  for _, name in ipairs { "shop.example.com", "example.com" } do
    test.equal(curl(cloud, ("https://%s/"):format(name), seen.cname), "200 ", name .. " at the new address, before it leads there")
  end
  test.equal(curl(cloud, "https://other.example.com/", seen.cname), "curl 60", "a name that the certificate does not have")
  test.equal(curl(cloud, "http://shop.example.com/", seen.cname), "200 ", "the sample application says nothing of HTTPS")
  deploy(seen.web)
  test.equal(curl(cloud, "http://shop.example.com/a%20b?c=d", seen.cname), "301 https://shop.example.com:443/a%20b?c=d")
  test.equal(curl(cloud, "https://shop.example.com/health", seen.cname), "200 ")
  opt.stop = nil
  test.apply(recipe_of(opt, seen))
  test.equal(dig(server, "shop.example.com", "CNAME"), ("shop.example.com. 3600 IN CNAME %s."):format(seen.cname), "kept for an hour again")
  test.equal(dig(server, "example.com", "A"), ("example.com. 60 IN A %s"):format(seen.cname), "an alias: no CNAME can stand there")
  test.equal({ #seen.verified, seen.verified[2].name }, { 2, "shop.example.com" })
  test.equal(test.apply(recipe_of(opt, seen)).changes, 0)
  local arn = aws.acm:list_certificates().CertificateSummaryList[1].CertificateArn
  test.raises("is in use", aws.acm.delete_certificate, aws.acm, { CertificateArn = arn })

  test.rollback(recipe_of(opt, seen))
  test.equal(dig(server, "shop.example.com", "CNAME"), "shop.example.com. 3600 IN CNAME calm-1.herokudns.com.")
  test.equal(dig(server, "example.com", "A"), "example.com. 3600 IN A 127.0.0.1")
  opt.stop = true
  test.apply(recipe_of(opt, seen))
  test.equal(dig(server, "shop.example.com", "CNAME"), "shop.example.com. 60 IN CNAME calm-1.herokudns.com.", "on the way again")
  test.rollback(recipe_of(opt, seen))
  test.equal(dig(server, "shop.example.com", "CNAME"), "shop.example.com. 3600 IN CNAME calm-1.herokudns.com.", "as it was before")
  opt.stop, seen.verified = nil, nil
  test.apply(recipe_of(opt, seen))
  test.equal(dig(server, "shop.example.com", "CNAME"), ("shop.example.com. 3600 IN CNAME %s."):format(seen.cname), "the second time, too")
  test.rollback(recipe_of(opt, seen))
  test.destroy(recipe_of(opt, seen))
  local left = {}
  for _, line in ipairs(cloud:left()) do if not line:find "^route53" then left[#left + 1] = line end end
  test.equal(left, {})
end

T["where the DNS is not the account's it says what to set, waits, and goes on from there"] = function()
  local cloud <close> = test.cloud { servers = true }
  if not cloud.cloud.net.isolated then return end
  local server = zone(cloud)
  local real, wait = aws.hosted_zone, dns.WAIT
  rawset(aws, "hosted_zone", function() return nil end)      -- an account without the zone
  test.defer(function() rawset(aws, "hosted_zone", real) dns.WAIT = wait end)
  local zone_id = aws.route53:list_hosted_zones().HostedZones[1].Id
  local function set(name, value)
    aws.route53:change_resource_record_sets { HostedZoneId = zone_id, ChangeBatch = { Changes = { { Action = "UPSERT",
      ResourceRecordSet = { Name = name, Type = "CNAME", TTL = 60, ResourceRecords = { { Value = value } } } } } } }
  end
  local opt, seen = { domain = { "shop.example.com" }, dns_server = server, health_path = "/" }, {}
  task.spawn(function()                                      -- the person at the other provider does what is printed
    local name, value
    repeat
      task.sleep(0.1)
      name, value = table.concat(cloud.output, "\n"):match "set these records.-(_%S+)  CNAME  (%S+)"
    until value
    set(name, value)
  end)
  dns.WAIT = 0
  local e = test.raises("switch shop%.example%.com to AWS.*still says that shop%.example%.com is calm%-1%.herokudns%.com",
    test.apply, recipe_of(opt, seen))
  local address = seen.cname:gsub("%.", "%%.")
  test.match(e.hint, "the app runs on AWS, at " .. address .. ": let shop.example.com lead there %(a CNAME record%), and apply again")
  test.match(table.concat(cloud.output, "\n"), "set these records at your DNS provider.*switch these names to AWS now.*shop%.example%.com  CNAME  "
    .. address)
  set("shop.example.com", seen.cname)
  dns.WAIT = wait
  test.apply(recipe_of(opt, seen))
  test.equal(seen.verified[1].name, "shop.example.com")
end

T["names are those of Heroku, and need a web process"] = function()
  test.equal(domain.names(FACTS, { domain = { "all" } }), { "example.com", "shop.example.com" })
  test.equal(domain.names(FACTS, { domain = { "SHOP.example.com." } }), { "shop.example.com" })
  test.equal(domain.names(FACTS, {}), {})
  test.raises("has no web process", domain.plan, { environments = { { processes = { { type = "worker" } } } } }, FACTS, { domain = { "all" } })
end

return T
