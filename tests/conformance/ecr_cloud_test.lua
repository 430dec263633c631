--- Amazon ECR in the rehearsal, driven by boto3 and by the rules of the OCI distribution specification: what is pushed is there.
local cloud = require "rehearsal.cloud"
local fs = require "fs"
local process = require "process"
local test = require "test"
local T = test.cases()

local CODE = [==[
import base64, boto3, botocore, hashlib, json, urllib.error, urllib.request
ecr = boto3.client("ecr")
def code(call, **args):
    try: call(**args); return "no error"
    except botocore.exceptions.ClientError as e: return e.response["Error"]["Code"]
print(code(ecr.describe_repositories, repositoryNames=["shop"]))
r = ecr.create_repository(repositoryName="shop", imageTagMutability="IMMUTABLE", imageScanningConfiguration={"scanOnPush": True},
                          tags=[{"Key": "a", "Value": "b"}])["repository"]
print(code(ecr.create_repository, repositoryName="shop"), code(ecr.create_repository, repositoryName="Shop"), r["repositoryArn"])
print(code(ecr.get_lifecycle_policy, repositoryName="shop"))
ecr.put_lifecycle_policy(repositoryName="shop", lifecyclePolicyText=json.dumps({"rules": [{"rulePriority": 1, "selection": {"tagStatus": "any",
  "countType": "imageCountMoreThan", "countNumber": 3}, "action": {"type": "expire"}}]}))
ecr.tag_resource(resourceArn=r["repositoryArn"], tags=[{"Key": "a", "Value": "c"}])
print(ecr.list_tags_for_resource(resourceArn=r["repositoryArn"])["tags"])

login = ecr.get_authorization_token()["authorizationData"][0]
print(base64.b64decode(login["authorizationToken"]).decode().split(":")[0], (login["expiresAt"] - r["createdAt"]).total_seconds() > 3600 * 11)
BASE = login["proxyEndpoint"]
def ask(method, path, data=None, kind="application/octet-stream", token=login["authorizationToken"]):
    request = urllib.request.Request(path if path.startswith("http") else BASE + path, data=data, method=method,
                                     headers={"Content-Type": kind, **({"Authorization": "Basic " + token} if token else {})})
    try: return urllib.request.urlopen(request, timeout=20)
    except urllib.error.HTTPError as e: return e
def digest(data): return "sha256:" + hashlib.sha256(data).hexdigest()
def error(answer): return answer.status, json.loads(answer.read())["errors"][0]["code"]

print(ask("GET", "/v2/").status, ask("GET", "/v2/", token=None).status, ask("GET", "/v2/", token=base64.b64encode(b"AWS:x").decode()).status,
      "Basic" in ask("GET", "/v2/", token=None).headers["WWW-Authenticate"])
blob, config = b"x" * 3000000, b"{}"
print(ask("HEAD", "/v2/shop/blobs/" + digest(blob)).status, error(ask("GET", "/v2/none/tags/list")))
place = ask("POST", "/v2/shop/blobs/uploads/", b"").headers["Location"]
answer = ask("PATCH", place, blob[:2000000])
print(answer.status, answer.headers["Range"], ask("GET", place).headers["Range"])
print(error(ask("PUT", place + "?digest=" + digest(b"other"), blob[2000000:])))
place = ask("POST", "/v2/shop/blobs/uploads/", b"").headers["Location"]
print(ask("PATCH", place, blob[:2000000]).status, ask("PUT", place + "?digest=" + digest(blob), blob[2000000:]).status)
print(ask("POST", "/v2/shop/blobs/uploads/?digest=" + digest(config), config).status)
answer = ask("GET", "/v2/shop/blobs/" + digest(blob))
print(answer.read() == blob, ask("HEAD", "/v2/shop/blobs/" + digest(blob)).headers["Content-Length"])
KIND = "application/vnd.oci.image.manifest.v1+json"
def manifest(*layers):
    return json.dumps({"schemaVersion": 2, "mediaType": KIND, "config": {"digest": digest(config), "size": 2, "mediaType": "c"},
                       "layers": [{"digest": digest(l), "size": len(l), "mediaType": "l"} for l in layers]}).encode()
print(error(ask("PUT", "/v2/shop/manifests/v1", manifest(b"missing"), KIND)), error(ask("PUT", "/v2/shop/manifests/v1", b"?", KIND)))
one, two = manifest(blob), manifest(blob, blob)
print(ask("PUT", "/v2/shop/manifests/v1", one, KIND).headers["Docker-Content-Digest"] == digest(one),
      ask("PUT", "/v2/shop/manifests/v1", one, KIND).status, error(ask("PUT", "/v2/shop/manifests/v1", two, KIND)))
got = ask("GET", "/v2/shop/manifests/v1")
print(got.read() == one, got.headers["Content-Type"] == KIND, json.loads(ask("GET", "/v2/shop/tags/list").read()))
d = ecr.describe_images(repositoryName="shop", imageIds=[{"imageTag": "v1"}])["imageDetails"][0]
print(d["imageDigest"] == digest(one), d["imageSizeInBytes"] > 3000000, d["imageScanStatus"]["status"])
print(code(ecr.describe_images, repositoryName="shop", imageIds=[{"imageTag": "v2"}]))
print(ecr.batch_get_image(repositoryName="shop", imageIds=[{"imageTag": "v1"}])["images"][0]["imageManifest"].encode() == one)
print(code(ecr.delete_repository, repositoryName="shop"))
print(len(ecr.batch_delete_image(repositoryName="shop", imageIds=[{"imageTag": "v1"}, {"imageTag": "v9"}])["failures"]), ecr.list_images(repositoryName="shop")["imageIds"])
ecr.delete_repository(repositoryName="shop")
print(ecr.describe_repositories()["repositories"])
]==]

T["a repository and its registry: made, pushed to in pieces, refused what is wrong, read by tag and digest, deleted"] = function()
  local c <close> = cloud.start { dir = fs.join(test.tmpdir(), "cloud") }
  local r = process.run { test.tool "python3", "-c", CODE, env = c:env(), timeout = 300 }
  test.equal(r.code, 0, r.stderr)
  test.equal(r.stdout, table.concat({
    "RepositoryNotFoundException",
    "RepositoryAlreadyExistsException InvalidParameterException arn:aws:ecr:us-east-1:123456789012:repository/shop",
    "LifecyclePolicyNotFoundException", "[{'Key': 'a', 'Value': 'c'}]", "AWS True", "200 401 401 True", "404 (404, 'NAME_UNKNOWN')",
    "202 0-1999999 0-1999999", "(400, 'DIGEST_INVALID')", "202 201", "201", "True 3000000", "(400, 'BLOB_UNKNOWN') (400, 'MANIFEST_INVALID')",
    "True 201 (400, 'TAG_INVALID')", "True True {'name': 'shop', 'tags': ['v1']}", "True True COMPLETE", "ImageNotFoundException", "True",
    "RepositoryNotEmptyException", "1 []", "[]", "" }, "\n"))
end

return T
