--- IAM's identity providers and the sessions of STS in the rehearsal, driven by boto3: who may take a role on with a token, and
--- what such a session may do.
local cloud = require "rehearsal.cloud"
local fs = require "fs"
local process = require "process"
local test = require "test"
local T = test.cases()

local CODE = [==[
import base64, boto3, botocore, json, time
iam, s3, anyone = boto3.client("iam"), boto3.client("s3"), boto3.client("sts")
def code(call, **args):
    try: call(**args); return "no error"
    except botocore.exceptions.ClientError as e: return e.response["Error"]["Code"]
HOST = "token.actions.githubusercontent.com"
arn = iam.create_open_id_connect_provider(Url="https://" + HOST, ClientIDList=["a"])["OpenIDConnectProviderArn"]
print(arn, code(iam.create_open_id_connect_provider, Url="https://" + HOST), [p["Arn"] == arn for p in
      iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]])
iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="sts.amazonaws.com")
iam.remove_client_id_from_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="a")
provider = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
print(provider["Url"], provider["ClientIDList"], len(provider["ThumbprintList"][0]))

SUB = "repo:tea/shop:ref:refs/heads/main"
trust = lambda condition: json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity",
    "Principal": {"Federated": arn}, "Condition": condition}]})
role = iam.create_role(RoleName="deploy", AssumeRolePolicyDocument=trust({"StringEquals": {HOST + ":aud": "sts.amazonaws.com", HOST + ":sub": [SUB]}}))
iam.put_role_policy(RoleName="deploy", PolicyName="p", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": ["s3:PutObject", "s3:GetObject"], "Resource": "arn:aws:s3:::bundles/*"}]}))
s3.create_bucket(Bucket="bundles"); s3.create_bucket(Bucket="others")

part = lambda claims: base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
def token(**claims):
    return ".".join([part({"alg": "none"}), part({"iss": "https://" + HOST, "aud": "sts.amazonaws.com", "sub": SUB, "exp": time.time() * 2, **claims}), "x"])
nobody = boto3.client("sts", config=botocore.config.Config(signature_version=botocore.UNSIGNED))
def assume(t): return nobody.assume_role_with_web_identity(RoleArn=role["Role"]["Arn"], RoleSessionName="run", WebIdentityToken=t)
for name, t in [("branch", token(sub="repo:tea/shop:ref:refs/heads/other")), ("repository", token(sub="repo:tea/shop2:ref:refs/heads/main")),
                ("audience", token(aud="a")), ("issuer", token(iss="https://other.example")), ("expired", token(exp=1)), ("no token", "x.y.z")]:
    print(name, code(lambda: assume(t)))
answer = assume(token())
keys = answer["Credentials"]
print(answer["AssumedRoleUser"]["Arn"], answer["SubjectFromWebIdentityToken"] == SUB)
def session(service, **more):
    return boto3.client(service, aws_access_key_id=keys["AccessKeyId"], aws_secret_access_key=keys["SecretAccessKey"],
                        **{"aws_session_token": keys["SessionToken"], **more})
print(session("sts").get_caller_identity()["Arn"])
mine = session("s3")
mine.put_object(Bucket="bundles", Key="a.zip", Body=b"x")
print(mine.get_object(Bucket="bundles", Key="a.zip")["Body"].read(), code(mine.put_object, Bucket="others", Key="a.zip"),
      code(mine.delete_object, Bucket="bundles", Key="a.zip"), code(session("iam").list_roles), code(session("sts", aws_session_token="x").get_caller_identity))
iam.delete_role_policy(RoleName="deploy", PolicyName="p")
print(code(mine.get_object, Bucket="bundles", Key="a.zip"))
iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
print(code(lambda: assume(token())), code(iam.get_open_id_connect_provider, OpenIDConnectProviderArn=arn))
]==]

T["a token's bearer takes the role on as its trust policy says, and may do what its policy says"] = function()
  local c <close> = cloud.start { dir = fs.join(test.tmpdir(), "cloud") }
  local r = process.run { test.tool "python3", "-c", CODE, env = c:env(), timeout = 300 }
  test.equal(r.code, 0, r.stderr)
  local session = "arn:aws:sts::123456789012:assumed-role/deploy/run"
  test.equal(r.stdout, table.concat({
    "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com EntityAlreadyExists [True]",
    "token.actions.githubusercontent.com ['sts.amazonaws.com'] 40",
    "branch AccessDenied", "repository AccessDenied", "audience AccessDenied", "issuer AccessDenied", "expired ExpiredTokenException",
    "no token InvalidIdentityToken", session .. " True", session, "b'x' AccessDenied AccessDenied AccessDenied InvalidClientTokenId",
    "AccessDenied", "AccessDenied NoSuchEntity", "" }, "\n"))
end

return T
