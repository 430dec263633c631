"""Says where botocore would send a call: one JSON line per set of parameters of the endpoint rules of every service.

    python3 endpoint_judge.py [--all]      --all: every service in every region, not only those with rules of their own
"""
import gzip
import itertools
import json
import os
import sys

import botocore
from botocore.endpoint_provider import EndpointProvider
from botocore.exceptions import BotoCoreError

DATA = os.path.join(os.path.dirname(botocore.__file__), "data")
REGIONS = ["us-east-1", "eu-west-1", "us-west-2", "ap-south-1", "aws-global", "cn-north-1", "us-gov-west-1", "us-iso-east-1",
           "eusc-de-east-1", "mars-north-1"]
# What the rules of some services take from arguments and settings: values that reach their different corners.
ACCESS_POINT = "arn:aws:s3:us-west-2:123456789012:accesspoint"
VALUES = {
    "Bucket": [None, "my-bucket", "a.dotted.bucket", "Under_Score", "192.168.0.1", "shop--use1-az4--x-s3", ACCESS_POINT + ":mine",
               ACCESS_POINT, "arn:aws:s3::123456789012:accesspoint:mfzwi23gnjvgw.mrap", "arn:aws:s3:us-west-2:123456789012:other:x",
               "arn:aws:s3-outposts:us-west-2:123456789012:outpost/op-01234567890123456/accesspoint/mine",
               "arn:aws:s3-outposts:us-west-2:123456789012:outpost:op-01234567890123456:bucket:mine",
               "arn:aws:s3-object-lambda:us-west-2:123456789012:accesspoint/mine"],
    "ForcePathStyle": [False, True], "Accelerate": [False, True], "AccountId": [None, "123456789012", "a/b"],
    "RequiresAccountId": [None, True], "UseS3ExpressControlEndpoint": [None, True],
    "StreamARN": [None, "arn:aws:kinesis:us-west-2:123456789012:stream/s", "arn:bad"], "OperationType": [None, "data", "control"],
    "EndpointId": [None, "abc.def", "b ad"], "ApiType": ["Control", "Data"],
    "Endpoint": [None, "https://proxy.example:8443/base", "http://127.0.0.1:4566", "http://h/?q"],
}
# The rules need these; everybody leaves them as they are.
FIXED = {"UseGlobalEndpoint": [False], "DisableMultiRegionAccessPoints": [False], "UseArnRegion": [True]}


def load(path):
    with gzip.open(path + ".gz", "rt", encoding="utf-8") as f:
        return json.load(f)


def main():
    everything = "--all" in sys.argv
    with open(os.path.join(DATA, "partitions.json"), encoding="utf-8") as f:
        partitions = json.load(f)
    seen = set()
    for service in sorted(os.listdir(DATA)):
        folder = os.path.join(DATA, service)
        if not os.path.isdir(folder):
            continue
        folder = os.path.join(folder, max(v for v in os.listdir(folder) if v[:2] == "20"))
        prefix = load(os.path.join(folder, "service-2.json"))["metadata"]["endpointPrefix"]
        rules = load(os.path.join(folder, "endpoint-rule-set-1.json"))
        text = json.dumps(rules["rules"]).replace("//" + prefix, "//")
        own = text not in seen
        seen.add(text)
        axes = {"Region": REGIONS if own or everything else REGIONS[1:2],
                "UseFIPS": [False, True], "UseDualStack": [False, True]}
        for name in rules["parameters"]:
            if name in VALUES and (own or name != "Endpoint"):
                axes[name] = VALUES[name]
            elif name in FIXED:
                axes[name] = FIXED[name]
        axes = {k: v for k, v in axes.items() if k in rules["parameters"]}
        provider = EndpointProvider(rules, partitions)
        sets = list(itertools.product(*axes.values()))
        for values in sets[:: max(1, len(sets) // 1200)]:
            parameters = {k: v for k, v in zip(axes, values) if v is not None}
            case = {"service": service, "prefix": prefix, "parameters": parameters}
            try:
                answer = provider.resolve_endpoint(**parameters)
                properties = {k: v for k, v in (answer.properties or {}).items() if k != "metricValues"}
                case.update(url=answer.url, properties=properties)
            except BotoCoreError as e:
                case["error"] = str(e)
            print(json.dumps(case))


main()
