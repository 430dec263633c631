"""What boto3 sees of a migrated app: one JSON document. Usage: judges.py NAME (the name that everything has).

The environment says where AWS is. Ids are resolved to names, so that a test can say what it expects.
"""
import json
import sys

import boto3

NAME = sys.argv[1]


def client(service):
    return boto3.client(service)


def named(key, value):
    return [{"Name": key, "Values": [value]}]


def network():
    ec2 = client("ec2")
    vpcs = ec2.describe_vpcs(Filters=named("tag:Name", NAME))["Vpcs"]
    if len(vpcs) != 1:
        raise SystemExit("%d VPCs have the name %s" % (len(vpcs), NAME))
    vpc = vpcs[0]["VpcId"]
    here = named("vpc-id", vpc)
    subnets = ec2.describe_subnets(Filters=here)["Subnets"]
    tables = ec2.describe_route_tables(Filters=here)["RouteTables"]
    gateways = {g["InternetGatewayId"] for g in
                ec2.describe_internet_gateways(Filters=named("attachment.vpc-id", vpc))["InternetGateways"]}
    main = [t for t in tables if any(a.get("Main") for a in t["Associations"])][0]

    def is_public(subnet_id):
        own = [t for t in tables if any(a.get("SubnetId") == subnet_id for a in t["Associations"])]
        return any(r.get("GatewayId") in gateways for r in (own[0] if own else main)["Routes"])

    public = {s["SubnetId"] for s in subnets if is_public(s["SubnetId"])}
    groups = ec2.describe_security_groups(Filters=here)["SecurityGroups"]
    names = {g["GroupId"]: g["GroupName"] for g in groups}
    rules = []
    for g in groups:
        for p in g["IpPermissions"]:
            peers = [r["CidrIp"] for r in p["IpRanges"]] + [r["CidrIpv6"] for r in p.get("Ipv6Ranges", [])]
            peers += [names[x["GroupId"]] for x in p["UserIdGroupPairs"]]
            rules += [[g["GroupName"], p["IpProtocol"], p.get("FromPort", 0), p.get("ToPort", 65535), peer] for peer in peers]
    machines = [i for r in ec2.describe_instances(Filters=here)["Reservations"] for i in r["Instances"]
                if i["State"]["Name"] == "running"]
    return {
        "cidr": vpcs[0]["CidrBlock"], "gateways": len(gateways),
        "dns": [ec2.describe_vpc_attribute(VpcId=vpc, Attribute=a)[k]["Value"] for a, k in
                (("enableDnsSupport", "EnableDnsSupport"), ("enableDnsHostnames", "EnableDnsHostnames"))],
        "subnets": sorted([s["AvailabilityZone"], "public" if s["SubnetId"] in public else "private"] for s in subnets),
        "rules": sorted(rules, key=str),
        "machines": {t["Value"]: {"id": i["InstanceId"], "public": i.get("PublicIpAddress"), "state": i["State"]["Name"],
                                  "groups": sorted(names[g["GroupId"]] for g in i["SecurityGroups"])}
                     for i in machines for t in i.get("Tags", []) if t["Key"] == "Name"},
    }, names, public


def database(names, public):
    db = client("rds").describe_db_instances(DBInstanceIdentifier=NAME)["DBInstances"][0]
    return {
        "status": db["DBInstanceStatus"], "engine": db["Engine"], "encrypted": db["StorageEncrypted"], "public": db["PubliclyAccessible"],
        "subnets_public": sorted({s["SubnetIdentifier"] in public for s in db["DBSubnetGroup"]["Subnets"]}),
        "groups": sorted(names[g["VpcSecurityGroupId"]] for g in db["VpcSecurityGroups"]),
        "address": db["Endpoint"]["Address"], "port": db["Endpoint"]["Port"], "backup_days": db["BackupRetentionPeriod"],
    }


def cache():
    elasticache = client("elasticache")
    group = elasticache.describe_replication_groups(ReplicationGroupId=NAME)["ReplicationGroups"][0]
    end = group.get("ConfigurationEndpoint") or group["NodeGroups"][0]["PrimaryEndpoint"]
    clusters = elasticache.describe_cache_clusters(ShowCacheNodeInfo=True)["CacheClusters"]
    mine = [c for c in clusters if c.get("ReplicationGroupId") == NAME]
    settings = elasticache.describe_cache_parameters(
        CacheParameterGroupName=mine[0]["CacheParameterGroup"]["CacheParameterGroupName"])["Parameters"]
    return {
        "status": group["Status"], "at_rest": group["AtRestEncryptionEnabled"], "in_transit": group["TransitEncryptionEnabled"],
        "auth": group["AuthTokenEnabled"], "engine": mine[0]["Engine"], "address": end["Address"], "port": end["Port"],
        "maxmemory_policy": [p["ParameterValue"] for p in settings if p["ParameterName"] == "maxmemory-policy"],
    }


def environment():
    eb = client("elasticbeanstalk")
    env = [e for e in eb.describe_environments(ApplicationName=NAME)["Environments"] if e["Status"] != "Terminated"][0]
    settings = eb.describe_configuration_settings(ApplicationName=NAME, EnvironmentName=env["EnvironmentName"])
    options = settings["ConfigurationSettings"][0]["OptionSettings"]
    return {
        "health": env["Health"], "status": env["Status"], "cname": env["CNAME"], "platform": env["PlatformArn"],
        "version": env["VersionLabel"], "name": env["EnvironmentName"],
        "plain": {o["OptionName"]: o.get("Value") for o in options
                  if o["Namespace"] == "aws:elasticbeanstalk:application:environment"},
        "secrets": {o["OptionName"]: o.get("Value") for o in options
                    if o["Namespace"] == "aws:elasticbeanstalk:application:environmentsecrets"},
        "versions": [v["VersionLabel"] for v in eb.describe_application_versions(ApplicationName=NAME)["ApplicationVersions"]],
    }


def watching():
    alarms = client("cloudwatch").describe_alarms()["MetricAlarms"]
    sns = client("sns")
    return {
        "alarms": sorted([a["Namespace"], a["MetricName"], sorted(d["Name"] + "=" + d["Value"] for d in a["Dimensions"]),
                          [x.split(":")[-1] for x in a["AlarmActions"]]] for a in alarms),
        "topics": [t["TopicArn"].split(":")[-1] for t in sns.list_topics()["Topics"]],
        "subscriptions": [[s["Protocol"], s["Endpoint"]] for s in sns.list_subscriptions()["Subscriptions"]],
        "log_groups": {g["logGroupName"]: g.get("retentionInDays") for g in client("logs").describe_log_groups()["logGroups"]},
    }


def secrets():
    sm = client("secretsmanager")
    found = {}
    for s in sm.list_secrets()["SecretList"]:
        value = sm.get_secret_value(SecretId=s["Name"])["SecretString"]
        try:
            value = json.loads(value)
        except ValueError:
            pass
        found[s["Name"]] = sorted(value) if isinstance(value, dict) else "text"
    return found


def buckets():
    s3 = client("s3")
    return {b["Name"]: {
        "keys": [o["Key"] for o in s3.list_objects_v2(Bucket=b["Name"]).get("Contents", [])],
        "blocked": sorted(set(s3.get_public_access_block(Bucket=b["Name"])["PublicAccessBlockConfiguration"].values())),
    } for b in s3.list_buckets()["Buckets"]}


net, group_names, public_subnets = network()
print(json.dumps({
    "network": net, "database": database(group_names, public_subnets), "cache": cache(), "environment": environment(),
    "watching": watching(), "secrets": secrets(), "buckets": buckets(),
}))
