"""Signs the requests that come as JSON lines with botocore, at the time given; answers headers' and presigned signatures."""
import datetime
import json
import sys

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

for line in sys.stdin:
    case = json.loads(line)
    now = datetime.datetime.fromtimestamp(case["time"], datetime.timezone.utc)
    botocore.auth.get_current_datetime = lambda **_: now
    s3 = case["service"] == "s3"
    credentials = Credentials("AKID", "secret/key+", case.get("token"))

    def signed(kind, *more):
        request = AWSRequest(case["method"], case["url"], dict(case["headers"]), case["body"].encode())
        if not s3:
            request.context["payload_signing_enabled"] = True
        kind(credentials, case["service"], "eu-west-1", *more).add_auth(request)
        return request

    header = signed(botocore.auth.S3SigV4Auth if s3 else botocore.auth.SigV4Auth)
    answer = {"authorization": header.headers["Authorization"]}
    if not case["body"]:
        answer["url"] = signed(botocore.auth.S3SigV4QueryAuth if s3 else botocore.auth.SigV4QueryAuth, 120).url
    print(json.dumps(answer))
