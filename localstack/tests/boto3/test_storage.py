"""S3, as far as trust stores and access logs need it. Sources: S3 API reference, "Bucket naming rules"; ELB user guide, "Enable access logs"."""

import json
import urllib.request

import pytest
from botocore.exceptions import ClientError

from cloud import Fails, anything, ids, run


def read(w, bucket, key, **more):
    return w.s3.get_object(Bucket=bucket, Key=key, **more)["Body"].read()


def versioned(w):
    """A bucket that keeps versions, with an object written twice: the bucket and the ids of the versions."""
    name = w.bucket()
    w.s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name, [w.s3.put_object(Bucket=name, Key="a", Body=body)["VersionId"] for body in (b"1", b"2")]


def both_versions(w):
    name, (first, second) = versioned(w)
    return read(w, name, "a"), read(w, name, "a", VersionId=first), read(w, name, "a", VersionId=second)


def marked(w):
    name, (first, _) = versioned(w)
    marker = w.s3.delete_object(Bucket=name, Key="a")
    assert marker["DeleteMarker"] and read(w, name, "a", VersionId=first) == b"1"
    listed = w.s3.list_object_versions(Bucket=name)
    assert [v["IsLatest"] for v in listed["Versions"]] == [False, False] and listed["DeleteMarkers"][0]["IsLatest"]
    with pytest.raises(ClientError) as caught:
        read(w, name, "a")
    assert caught.value.response["Error"]["Code"] == "NoSuchKey"
    w.s3.delete_object(Bucket=name, Key="a", VersionId=marker["VersionId"])
    return read(w, name, "a")


def pages(w, **more):
    name = w.bucket()
    for n in range(5):
        w.s3.put_object(Bucket=name, Key=f"x/{n}", Body=b"")
    found = w.s3.get_paginator("list_objects_v2").paginate(Bucket=name, PaginationConfig={"PageSize": 2}, **more)
    return [[o["Key"] for o in page.get("Contents", [])] + [c["Prefix"] for c in page.get("CommonPrefixes", [])] for page in found]


def several_deleted(w):
    name = w.bucket(a=b"", b=b"", c=b"")
    gone = w.s3.delete_objects(Bucket=name, Delete={"Objects": [{"Key": "a"}, {"Key": "c"}, {"Key": "absent"}]})["Deleted"]
    return len(gone), [o["Key"] for o in w.s3.list_objects_v2(Bucket=name)["Contents"]]


def head(w, key, **more):
    name = w.bucket()
    w.s3.put_object(Bucket=name, Key="k", Body=b"hello", **more)
    return w.s3.head_object(Bucket=name, Key=key)


def again_if_none(w):
    name = w.bucket(k=b"1")
    w.s3.put_object(Bucket=name, Key="k", Body=b"2", IfNoneMatch="*")


def policy_of(w, **statement):
    return w.s3.get_bucket_policy(Bucket=w.log_bucket(**statement))["Policy"]


def presigned(w):
    name = w.bucket(k=b"secret")
    with urllib.request.urlopen(w.s3.generate_presigned_url("get_object", Params={"Bucket": name, "Key": "k"})) as response:
        return response.read()


def logs(w, bucket, kind="access_logs", prefix=""):
    lb = w.balancer()
    values = {"enabled": "true", "bucket": bucket, "prefix": prefix}
    attributes = [{"Key": f"{kind}.s3.{key}", "Value": value} for key, value in values.items()]
    w.elb.modify_load_balancer_attributes(LoadBalancerArn=lb, Attributes=attributes)
    return [o["Key"] for o in w.s3.list_objects_v2(Bucket=bucket)["Contents"]]


ROWS = [
    # Buckets.
    ("a bucket is created and listed", lambda w: (w.bucket(), w.s3.list_buckets()), lambda r: r[0] in [b["Name"] for b in r[1]["Buckets"]]),
    ("a bucket is there", lambda w: w.s3.head_bucket(Bucket=w.bucket()), lambda r: r["BucketRegion"] == "us-east-1"),
    ("where a bucket is", lambda w: w.s3.get_bucket_location(Bucket=w.bucket()), lambda r: r["LocationConstraint"] is None),
    ("one's own bucket once more", lambda w: w.s3.create_bucket(Bucket=w.bucket()), anything),
    ("a bucket elsewhere", lambda w: w.s3.create_bucket(Bucket=w.name(), CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}), Fails("IllegalLocationConstraintException")),
    ("capitals in a name", lambda w: w.s3.create_bucket(Bucket="T" + w.name()), Fails("InvalidBucketName")),
    ("an address for a name", lambda w: w.s3.create_bucket(Bucket="192.0.2.1"), Fails("InvalidBucketName")),
    ("a bucket with objects stays", lambda w: w.s3.delete_bucket(Bucket=w.bucket(a=b"")), Fails("BucketNotEmpty")),
    ("an absent bucket", lambda w: w.s3.head_bucket(Bucket="absent-" + w.name()), Fails("404")),
    ("objects of an absent bucket", lambda w: w.s3.list_objects_v2(Bucket="absent-" + w.name()), Fails("NoSuchBucket")),
    ("deleting an absent bucket", lambda w: w.s3.delete_bucket(Bucket="absent-" + w.name()), Fails("NoSuchBucket")),
    ("another account's bucket", lambda w: w.s3.head_bucket(Bucket=w.bucket(), ExpectedBucketOwner="111122223333"), Fails("403")),
    # Objects.
    ("what was written is read", lambda w: read(w, w.bucket(k=b"\x00\xffbytes"), "k"), lambda r: r == b"\x00\xffbytes"),
    ("keys may hold anything", lambda w: read(w, w.bucket(**{"a b/ü+&?": b"x"}), "a b/ü+&?"), lambda r: r == b"x"),
    ("an ETag is the MD5 digest", lambda w: head(w, "k"), lambda r: r["ETag"] == '"5d41402abc4b2a76b9719d911017c592"' and r["ContentLength"] == 5),
    ("metadata and content type", lambda w: head(w, "k", Metadata={"colour": "red"}, ContentType="text/plain"), lambda r: (r["Metadata"], r["ContentType"]) == ({"colour": "red"}, "text/plain")),
    ("a part of an object", lambda w: w.s3.get_object(Bucket=w.bucket(k=b"hello"), Key="k", Range="bytes=1-3"), lambda r: r["Body"].read() == b"ell" and r["ContentRange"] == "bytes 1-3/5"),
    ("a part that is not there", lambda w: read(w, w.bucket(k=b"hello"), "k", Range="bytes=9-"), Fails("InvalidRange")),
    ("an absent object", lambda w: read(w, w.bucket(), "absent"), Fails("NoSuchKey")),
    ("the head of an absent object", lambda w: head(w, "absent"), Fails("404")),
    ("deleting an absent object", lambda w: w.s3.delete_object(Bucket=w.bucket(), Key="absent"), anything),
    ("several are deleted", several_deleted, lambda r: r == (3, ["b"])),
    ("written only if it is new", again_if_none, Fails("PreconditionFailed")),
    ("a wrong digest", lambda w: w.s3.put_object(Bucket=w.bucket(), Key="k", Body=b"x", ContentMD5="XUFAKrxLKna5cZ2REBfFkg=="), Fails("BadDigest")),
    ("no digest at all", lambda w: w.s3.put_object(Bucket=w.bucket(), Key="k", Body=b"x", ContentMD5="x"), Fails("InvalidDigest")),
    ("a key of 1025 bytes", lambda w: w.s3.put_object(Bucket=w.bucket(), Key="k" * 1025, Body=b""), Fails("KeyTooLongError")),
    ("public objects are not served", lambda w: w.s3.put_object(Bucket=w.bucket(), Key="k", Body=b"", ACL="public-read"), Fails("NotImplemented")),
    ("a presigned URL", presigned, lambda r: r == b"secret"),
    # Listings.
    ("pages cover everything", pages, lambda r: r == [["x/0", "x/1"], ["x/2", "x/3"], ["x/4"]]),
    ("a delimiter groups", lambda w: pages(w, Delimiter="/"), lambda r: r == [["x/"]]),
    ("a prefix chooses", lambda w: pages(w, Prefix="x/3"), lambda r: r == [["x/3"]]),
    ("a foreign token", lambda w: w.s3.list_objects_v2(Bucket=w.bucket(), ContinuationToken="zz"), Fails("InvalidArgument")),
    # Versions.
    ("nothing was said about versions", lambda w: w.s3.get_bucket_versioning(Bucket=w.bucket()), lambda r: "Status" not in r),
    ("versions are kept", both_versions, lambda r: r == (b"2", b"1", b"2")),
    ("a delete marker, and without it", marked, lambda r: r == b"2"),
    ("an absent version", lambda w: read(w, versioned(w)[0], "a", VersionId="absent"), Fails("NoSuchVersion")),
    ("versions, but how", lambda w: w.s3.put_bucket_versioning(Bucket=w.bucket(), VersioningConfiguration={"Status": "On"}), Fails("IllegalVersioningConfigurationException")),
    # Policies.
    ("a policy is kept", policy_of, lambda r: json.loads(r)["Statement"][0]["Action"] == "s3:PutObject"),
    ("no policy", lambda w: w.s3.get_bucket_policy(Bucket=w.bucket()), Fails("NoSuchBucketPolicy")),
    ("a policy goes", lambda w: (lambda b: (w.s3.delete_bucket_policy(Bucket=b), w.s3.get_bucket_policy(Bucket=b)))(w.log_bucket()), Fails("NoSuchBucketPolicy")),
    ("a policy that is no JSON", lambda w: w.s3.put_bucket_policy(Bucket=w.bucket(), Policy="x"), Fails("MalformedPolicy")),
    ("a policy of another bucket", lambda w: policy_of(w, Resource="arn:aws:s3:::another/*"), Fails("MalformedPolicy", "resource")),
    ("a policy of another service", lambda w: policy_of(w, Action="ec2:RunInstances"), Fails("MalformedPolicy", "action")),
    # Logs of load balancers.
    ("access logs into a bucket", lambda w: logs(w, w.log_bucket(), prefix="alb"), lambda r: r == ["alb/AWSLogs/000000000000/ELBAccessLogTestFile"]),
    ("connection logs into a bucket", lambda w: logs(w, w.log_bucket(), "connection_logs"), lambda r: r == ["AWSLogs/000000000000/ELBConnectionLogTestFile"]),
    ("access logs, allowed as in old times", lambda w: logs(w, w.log_bucket(Principal={"AWS": "arn:aws:iam::127311923021:root"})), lambda r: len(r) == 1),
    ("access logs without a bucket", lambda w: logs(w, "absent-" + w.name()), Fails("InvalidConfigurationRequest")),
    ("access logs without permission", lambda w: logs(w, w.bucket()), Fails("InvalidConfigurationRequest", "Access Denied for bucket")),
    ("access logs, denied", lambda w: logs(w, w.log_bucket(Effect="Deny")), Fails("InvalidConfigurationRequest", "Access Denied for bucket")),
    ("access logs, allowed elsewhere", lambda w: logs(w, w.log_bucket(Principal={"Service": "ec2.amazonaws.com"})), Fails("InvalidConfigurationRequest", "Access Denied for bucket")),
    ("a prefix with AWSLogs", lambda w: logs(w, w.log_bucket(), prefix="AWSLogs"), Fails("InvalidConfigurationRequest", "AWSLogs")),
]


@pytest.mark.parametrize("row", ROWS, ids=ids(ROWS))
def test_storage(row, world):
    run(row, world)
