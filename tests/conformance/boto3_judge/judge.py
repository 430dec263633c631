"""boto3 as the judge of hkrun: both make the same calls to one recording server and read the same answers.

    python3 judge.py DIR SERVICE...     serves until it is killed; prints its port. DIR: an empty folder for models

boto3_test.lua drives it:

    POST /_judge/start/SERVICE/STEP   boto3 calls every STEPth operation; answers with the calls, and what boto3 read
    POST /_judge/case/N               from here on requests belong to call N, and get its answer
    POST /_judge/end                  answers with what differs between the requests of boto3 and of the other client

A service "cbor:NAME" is one that offers the protocol rpc-v2-cbor besides others: its model is written anew with that only.
"""
import copy
import glob
import gzip
import hashlib
import json
import os
import sys
import threading
import traceback

import boto3
import botocore
import botocore.auth
import botocore.session
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

import wire
from recorder import Recorder
from values import Maker, plain

MODES = [("full", "full"), ("required", "sparse"), ("edge", "edge"), ("full", "error")]       # of arguments and of answers

# What boto3 does beyond the model, which hkrun does not, and what only one of them does:
LEFT_OUT = {
    # of which boto3 decodes what is no base64, too
    "ec2": {"GetConsoleOutput"},
    # session buckets and their signatures; two members that share an element; event streams; a host of its own
    "s3": {"CreateSession", "ListDirectoryBuckets", "GetBucketNotification", "SelectObjectContent", "WriteGetObjectResponse"},
    # a member that is the hash of the body, for which no value made up will do
    "codeartifact": {"PublishPackageVersion"},
    # the call goes to an endpoint that is an argument of it, and not to the judge
    "machinelearning": {"Predict"},
    # boto3 makes a POST of a GET, for the length of its URL
    "cloudsearchdomain": {"Search"},
    # SigV4a for global endpoints
    "events": {"PutEvents"},
    # boto3 makes templates dictionaries
    "cloudformation": {"GetTemplate"},
}
# Services with one endpoint, in us-west-2: hkrun signs for that also at a custom endpoint, boto3 for the client's region.
SIGNED_AT_HOME = {"networkmanager", "route53-recovery-control-config"}
# Keys of SSE-C get their MD5 in boto3; what a client sets itself; what asks for another checksum than the default; what both make,
# where it is not given.
LEFT_OUT_MEMBERS = {"SSECustomerKey", "SSECustomerAlgorithm", "CopySourceSSECustomerKey", "CopySourceSSECustomerAlgorithm",
                    "ContentLength", "ContentMD5", "ExpectContinue", "ChecksumAlgorithm", "ContentEncoding", "PreSignedUrl", "PresignedUrl"}
# What boto3 adds to results. The text of a time that it could read is one that hkrun could read too.
ADDED = {"ResponseMetadata", "ExpiresString"}
# Types of a body that the protocols document, and that boto3 leaves out of a request with a payload.
DOCUMENTED = {"application/xml", "application/octet-stream", "text/plain"}
# Headers that differ between any two requests, that are checked by themselves, or that no service asks for
# (x-amz-api-version: only boto3 finds endpoints by asking for them).
IGNORED = {"user-agent", "x-amz-user-agent", "authorization", "x-amz-date", "x-amz-content-sha256", "amz-sdk-invocation-id", "amz-sdk-request",
           "x-amz-api-version", "accept-encoding", "accept", "connection", "content-length", "expect", "transfer-encoding"}


class Judge:
    def __init__(self, models, services):
        self.models = models
        for name in services:
            if name.startswith("cbor:"):
                self.only_cbor(name[5:])                # before botocore looks what there is
        core = botocore.session.Session()
        core.get_component("data_loader").search_paths.append(models)
        core.set_credentials("AK", "SK")
        self.boto3 = boto3.session.Session(botocore_session=core, region_name="us-east-1")
        self.recorder = Recorder(self.control)
        self.service, self.cases, self.current = None, [], None

    def control(self, target, _body):
        words = target.split("/")[2:]
        try:
            self.file_requests()
            if words[0] == "start":
                answer = self.start(words[1], int(words[2]))
            elif words[0] == "case":
                self.point_at(int(words[1]), "ours")
                return 204, {}, b""
            else:
                answer = [line for case in self.cases for line in self.differences(case)]
            return 200, {"Content-Type": "application/json"}, json.dumps(answer).encode()
        except Exception:
            return 500, {}, traceback.format_exc().encode()

    def file_requests(self):
        found = self.recorder.taken()
        if self.current:
            self.current[0][self.current[1]] += found
        self.current = None

    def point_at(self, i, who):
        case = self.cases[i]
        self.recorder.answer, self.current = case["answer"], (case, who)

    # making the calls ------------------------------------------------------

    def only_cbor(self, name):
        source = sorted(glob.glob(os.path.join(os.path.dirname(botocore.__file__), "data", name, "*")))[-1]
        target = os.path.join(self.models, "cbor-" + name, os.path.basename(source))
        os.makedirs(target)
        for path in glob.glob(source + "/*.gz") + glob.glob(source + "/*.json"):
            text = (gzip.open(path) if path.endswith(".gz") else open(path, "rb")).read()
            data = json.loads(text)
            if "metadata" in data:
                data["metadata"].update(protocol="smithy-rpc-v2-cbor", protocols=["smithy-rpc-v2-cbor"])
                data["metadata"].pop("awsQueryCompatible", None)
            with open(os.path.join(target, os.path.basename(path).replace(".gz", "")), "w") as out:
                json.dump(data, out)

    def start(self, service, step):
        path = None
        if service.startswith("cbor:"):
            service = service.replace(":", "-")
            path = glob.glob(os.path.join(self.models, service, "*", "service-2.json"))[0]
        client = self.boto3.client(service, endpoint_url="http://127.0.0.1:%d" % self.recorder.port, config=Config(
            retries={"total_max_attempts": 1}, inject_host_prefix=False, disable_request_compression=True))
        self.service, model = service, client.meta.service_model
        protocol = model.resolved_protocol
        self.cases = []
        for i, name in enumerate(model.operation_names):
            op = model.operation_model(name)
            if i % step == 0 and name not in LEFT_OUT.get(service, ()) and not op.has_event_stream_input and not op.has_event_stream_output:
                for number, (args_mode, answer_mode) in enumerate(MODES):
                    self.add(client, protocol, op, i + number, args_mode, answer_mode)
        for i, case in enumerate(self.cases):
            self.point_at(i, "theirs")
            self.call(client, case)
        return {"protocol": protocol, "model": path or "", "cases": [
            {k: case[k] for k in ("operation", "label", "args", "result", "error", "refused") if k in case} for case in self.cases]}

    def add(self, client, protocol, op, n, args_mode, answer_mode):
        args = Maker(args_mode, LEFT_OUT_MEMBERS).make(op.input_shape) if op.input_shape else {}
        if answer_mode == "error":
            shapes = op.error_shapes
            shape = shapes[n % len(shapes)] if shapes else None
            code = (shape.error_code or shape.name) if shape else "SomethingWrong"
            answer = wire.failure(protocol, client.meta.service_model, code, shape, Maker("full", results=True).make(shape) if shape else {})
        else:
            left_out = {"EncodingType"} if client.meta.service_model.service_name == "s3" else ()
            value = Maker(answer_mode, left_out, results=True).make(op.output_shape) if op.output_shape else {}
            answer = wire.success(protocol, op, value, answer_mode)
        self.cases.append({"operation": op.name, "label": "%s arguments, %s answer" % (args_mode, answer_mode), "native": args, "args": plain(args),
                           "answer": answer, "ours": [], "theirs": []})

    def call(self, client, case):
        try:
            result = client._make_api_call(case["operation"], copy.deepcopy(case["native"]))
            case["result"] = plain({k: v for k, v in result.items() if k not in ADDED})
        except ClientError as e:
            found = dict(e.response)
            meta, error = found.pop("ResponseMetadata"), found.pop("Error")
            no_body = client.meta.service_model.operation_model(case["operation"]).http["method"] == "HEAD"
            case["error"] = {"code": error.get("Code"), "message": None if no_body else error.get("Message"), "status": meta["HTTPStatusCode"],
                             "request_id": meta.get("RequestId"), "data": plain(found)}
        except Exception as e:
            if self.recorder.requests:
                raise                               # boto3 cannot read what this judge wrote: the judge is wrong
            case["refused"] = "%s: %s" % (type(e).__name__, e)
        finally:
            self.file_requests()

    # comparing the requests ------------------------------------------------

    def differences(self, case):
        ours, theirs = case["ours"], case["theirs"]
        what = "%s with %s" % (case["operation"], case["label"])
        if len(ours) != len(theirs):
            return ["%s: %d requests, boto3 makes %d" % (what, len(ours), len(theirs))]
        found = []
        for a, b in zip(ours, theirs):
            if "content-type" not in b["headers"] and a["headers"].get("content-type") in DOCUMENTED:
                b["headers"]["content-type"] = a["headers"]["content-type"]
            for part in ("method", "path", "query", "headers", "body") + (() if self.service in SIGNED_AT_HOME else ("scope",)):
                left, right = getattr(self, "part_" + part)(a), getattr(self, "part_" + part)(b)
                if left != right:
                    found.append("%s: %s" % (what, first_difference(left, right, part)))
            wrong = self.signature_fault(a, b["headers"].get("x-amz-content-sha256"))
            if wrong:
                found.append("%s: %s" % (what, wrong))
        return found

    @staticmethod
    def part_method(r): return r["method"]

    @staticmethod
    def part_path(r): return wire.without_tokens(r["target"].partition("?")[0])

    @staticmethod
    def part_query(r): return wire.form(wire.without_tokens(r["target"].partition("?")[2]))

    @staticmethod
    def part_body(r): return wire.body_value(r["body"], r["headers"].get("content-type", ""))

    @staticmethod
    def part_headers(r):
        """The two clients write members in another order, so each has the checksum of its own body."""
        found = {}
        for name, value in r["headers"].items():
            own = {"x-amz-checksum-crc32": wire.crc32, "content-md5": wire.md5}.get(name)
            if own and value == own(r["body"]):
                value = "right"
            if name not in IGNORED:
                found[name] = wire.without_tokens(value)
        return found

    @staticmethod
    def part_scope(r):
        """Which region and service it is signed for; none when it is unsigned."""
        claim = r["headers"].get("authorization", "")
        if not claim.startswith("AWS4-HMAC-SHA256 Credential="):
            return claim.split(" ")[0] or "unsigned"
        return claim.split("Credential=")[1].split(",")[0].split("/")[2:]

    def signature_fault(self, r, hash_of_boto3):
        """What is wrong with a request's signature: botocore makes it again from what arrived."""
        headers = r["headers"]
        claim = headers.get("authorization", "")
        if not claim.startswith("AWS4-HMAC-SHA256 "):
            return None
        parts = dict(p.strip().split("=", 1) for p in claim[len("AWS4-HMAC-SHA256 "):].split(","))
        _, _, region, service, _ = parts["Credential"].split("/")
        signed = parts["SignedHeaders"].split(";")
        request = AWSRequest(r["method"], "http://127.0.0.1:%d%s" % (self.recorder.port, r["target"]),
                             {n: headers[n] for n in signed if n in headers}, r["body"])
        request.context["timestamp"] = headers["x-amz-date"]
        kind = botocore.auth.S3SigV4Auth if service in ("s3", "s3-outposts", "s3-object-lambda") else botocore.auth.SigV4Auth
        auth = kind(Credentials("AK", "SK"), service, region)
        told = headers.get("x-amz-content-sha256")
        if told not in (None, "UNSIGNED-PAYLOAD", hash_of_boto3) and told != hashlib.sha256(r["body"]).hexdigest():
            return "x-amz-content-sha256 is not that of the body"
        must = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
        return None if must == parts["Signature"] else "the signature does not match what was sent"


def first_difference(a, b, path):
    """Where two values part, as one line: ours, then boto3's."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted(set(a) | set(b)):
            if a.get(key) != b.get(key):
                return first_difference(a.get(key), b.get(key), "%s.%s" % (path, key))
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        for i in range(max(len(a), len(b))):
            if a[i:i + 1] != b[i:i + 1]:
                return first_difference(a[i] if i < len(a) else None, b[i] if i < len(b) else None, "%s[%d]" % (path, i + 1))
    return "%s is %.200r, of boto3 %.200r" % (path, a, b)


if __name__ == "__main__":
    judge = Judge(sys.argv[1], sys.argv[2:])
    print(judge.recorder.port, flush=True)
    threading.Event().wait()
