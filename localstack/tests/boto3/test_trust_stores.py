"""Trust stores and mutual TLS. Sources: ELBv2 API reference; user guide, "Mutual authentication with TLS", "Quotas for your Application Load
Balancers"."""

import http.client
import ssl
import urllib.request

import pytest
from botocore.exceptions import ClientError
from cryptography.x509.oid import ExtendedKeyUsageOID

from certificates import pair, revocation_list
from cloud import FOREIGN, Fails, admin, eventually, ids, run

ROOT = pair(authority=True, common="Root")
OTHER = pair(authority=True, common="Other")
CLIENT = pair("client.example.com", signer=ROOT, purposes=(ExtendedKeyUsageOID.CLIENT_AUTH,))
ABSENT = "arn:aws:elasticloadbalancing:us-east-1:000000000000:truststore/absent/0123456789abcdef"


def create(w, bundle=ROOT.pem, **more):
    arguments = {"Name": w.name(), "CaCertificatesBundleS3Bucket": w.bucket(bundle=bundle), "CaCertificatesBundleS3Key": "bundle"} | more
    return w.elb.create_trust_store(**arguments)["TrustStores"][0]


def described(w, arn):
    return w.elb.describe_trust_stores(TrustStoreArns=[arn])["TrustStores"][0]


def modify(w, bundle, arn=None):
    arn = arn or w.trust_store()
    changed = w.elb.modify_trust_store(TrustStoreArn=arn, CaCertificatesBundleS3Bucket=w.bucket(b=bundle), CaCertificatesBundleS3Key="b")
    return changed["TrustStores"][0]


def revoke(w, content=None, arn=None, **more):
    arn = arn or w.trust_store(ROOT.pem)
    entry = {"S3Bucket": w.bucket(crl=content or revocation_list(ROOT)), "S3Key": "crl"} | more
    return w.elb.add_trust_store_revocations(TrustStoreArn=arn, RevocationContents=[entry])["TrustStoreRevocations"][0]


def twice(w, **second):
    name, bucket = w.name(), w.bucket(bundle=ROOT.pem)
    first = create(w, Name=name, CaCertificatesBundleS3Bucket=bucket)
    return first == create(w, **({"Name": name, "CaCertificatesBundleS3Bucket": bucket} | second))


def of_a_version(w):
    bucket = w.bucket()
    w.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    both = ROOT.pem + OTHER.pem
    first, _ = [w.s3.put_object(Bucket=bucket, Key="bundle", Body=body)["VersionId"] for body in (both, ROOT.pem)]
    store = {"CaCertificatesBundleS3Bucket": bucket}
    old = create(w, CaCertificatesBundleS3ObjectVersion=first, **store)["NumberOfCaCertificates"]
    return old, create(w, **store)["NumberOfCaCertificates"]


def fetched(location):
    with urllib.request.urlopen(location) as response:
        return response.read()


def bundle_outlives_its_object(w):
    bucket = w.bucket(bundle=ROOT.pem)
    arn = create(w, CaCertificatesBundleS3Bucket=bucket)["TrustStoreArn"]
    w.s3.delete_object(Bucket=bucket, Key="bundle")
    return fetched(w.elb.get_trust_store_ca_certificates_bundle(TrustStoreArn=arn)["Location"])


def revoked_content(w):
    content = revocation_list(ROOT)
    added = revoke(w, content)
    location = w.elb.get_trust_store_revocation_content(TrustStoreArn=added["TrustStoreArn"], RevocationId=added["RevocationId"])["Location"]
    return fetched(location) == content


def revoked_and_restored(w):
    arn = w.trust_store(ROOT.pem)
    first, second = revoke(w, arn=arn), revoke(w, revocation_list(ROOT, serials=(9,)), arn=arn)
    assert first["NumberOfRevokedEntries"] == 3 and described(w, arn)["TotalRevokedEntries"] == 4
    shown = w.elb.describe_trust_store_revocations(TrustStoreArn=arn, RevocationIds=[second["RevocationId"]])["TrustStoreRevocations"]
    assert [found["RevocationId"] for found in shown] == [second["RevocationId"]]
    w.elb.remove_trust_store_revocations(TrustStoreArn=arn, RevocationIds=[first["RevocationId"]])
    return described(w, arn)["TotalRevokedEntries"]


def pages(w):
    """All of what is described, in pages of one: the greatest number of pages of each."""
    arn = w.trust_store(ROOT.pem)
    for _ in range(2):
        revoke(w, arn=arn)
        listening(w, arn)
    found = []
    for name, more in (("describe_trust_stores", {}), ("describe_trust_store_revocations", {"TrustStoreArn": arn}), ("describe_trust_store_associations", {"TrustStoreArn": arn})):
        describe, marker, count = getattr(w.elb, name), None, 0
        while count == 0 or marker:
            answer = describe(PageSize=1, **more, **({"Marker": marker} if marker else {}))
            marker, count = answer.get("NextMarker"), count + 1
            assert [len(value) for value in answer.values() if isinstance(value, list)] == [1]
        found.append(count)
    return found


def verify(arn, **more):
    return {"MutualAuthentication": {"Mode": "verify", "TrustStoreArn": arn} | more}


def listening(w, arn=None, **more):
    return w.https(balancer=w.balancer(), **verify(arn or w.trust_store(), **more))


def three(w, arn):
    balancer = w.balancer()
    return [w.https(balancer=balancer, **verify(arn))["ListenerArn"] for _ in range(3)]


def in_use(w):
    arn = w.trust_store()
    made = listening(w, arn)
    listener = made["ListenerArn"]
    with pytest.raises(ClientError) as caught:
        w.elb.delete_trust_store(TrustStoreArn=arn)
    assert caught.value.response["Error"]["Code"] == "TrustStoreInUse"
    used = [a["ResourceArn"] for a in w.elb.describe_trust_store_associations(TrustStoreArn=arn)["TrustStoreAssociations"]]
    w.elb.delete_listener(ListenerArn=listener)
    assert w.elb.describe_trust_store_associations(TrustStoreArn=arn)["TrustStoreAssociations"] == []
    w.elb.delete_trust_store(TrustStoreArn=arn)
    return used == [made["LoadBalancerArn"]]


def own_association(w):
    arn = w.trust_store()
    balancer = w.balancer()
    w.https(balancer=balancer, **verify(arn))
    w.elb.delete_shared_trust_store_association(TrustStoreArn=arn, ResourceArn=balancer)


def changed_mode(w, **mutual):
    listener = listening(w)["ListenerArn"]
    changed = w.elb.modify_listener(ListenerArn=listener, MutualAuthentication=mutual)["Listeners"][0]
    return changed["MutualAuthentication"]


def not_ready(w):
    _, before = admin("settings")
    admin("settings", "PUT", {"times": {"trust_store_creation": 30}})
    try:
        store = create(w)
        assert store["Status"] == "CREATING"
        listening(w, store["TrustStoreArn"])
    finally:
        admin("settings", "PUT", {"times": {"trust_store_creation": before["times"]["trust_store_creation"]}})


def tagged(w):
    arn = w.trust_store(Tags=[{"Key": "a", "Value": "1"}])
    w.elb.add_tags(ResourceArns=[arn], Tags=[{"Key": w.prefix, "Value": "2"}])
    own = {t["Key"]: t["Value"] for t in w.elb.describe_tags(ResourceArns=[arn])["TagDescriptions"][0]["Tags"]}
    found = w.tagging.get_resources(TagFilters=[{"Key": w.prefix}], ResourceTypeFilters=["elasticloadbalancing:truststore"])
    return own == {"a": "1", w.prefix: "2"} and [r["ResourceARN"] for r in found["ResourceTagMappingList"]] == [arn]


ROWS = [
    ("created", create, lambda r: (r["Status"], r["NumberOfCaCertificates"], r["TotalRevokedEntries"]) == ("ACTIVE", 1, 0) and ":truststore/" in r["TrustStoreArn"]),
    ("of two authorities", lambda w: create(w, ROOT.pem + OTHER.pem), lambda r: r["NumberOfCaCertificates"] == 2),
    ("of a version of the bundle", of_a_version, lambda r: r == (2, 1)),
    ("once more, the same", twice, bool),
    ("once more, with other tags", lambda w: twice(w, Tags=[{"Key": "a", "Value": "b"}]), Fails("DuplicateTrustStoreName")),
    ("once more, of another bundle", lambda w: twice(w, CaCertificatesBundleS3Bucket=w.bucket(bundle=OTHER.pem)), Fails("DuplicateTrustStoreName")),
    ("a name with an underscore", lambda w: create(w, Name="a_b"), Fails("ValidationError", "Trust store name")),
    ("a name of 33 characters", lambda w: create(w, Name="a" * 33), Fails("ValidationError", "32")),
    ("no name", lambda w: create(w, Name=""), Fails("ValidationError", "name")),
    ("no bucket", lambda w: create(w, CaCertificatesBundleS3Bucket="absent-" + w.name()), Fails("CaCertificatesBundleNotFound", "NoSuchBucket")),
    ("no object", lambda w: create(w, CaCertificatesBundleS3Key="absent"), Fails("CaCertificatesBundleNotFound", "NoSuchKey")),
    ("a bundle of nothing", lambda w: create(w, b"\n"), Fails("InvalidCaCertificatesBundle")),
    ("a bundle of rubbish", lambda w: create(w, b"rubbish"), Fails("InvalidCaCertificatesBundle")),
    ("a bundle with a broken certificate", lambda w: create(w, ROOT.pem + b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"), Fails("InvalidCaCertificatesBundle")),
    ("26 authorities", lambda w: create(w, ROOT.pem * 26), Fails("InvalidCaCertificatesBundle", "25")),
    ("one too many", lambda w: one_too_many(w), Fails("TooManyTrustStores")),
    ("tags twice", lambda w: create(w, Tags=[{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]), Fails("DuplicateTagKeys")),
    ("tags", tagged, bool),
    ("described by name", lambda w: w.elb.describe_trust_stores(Names=[described(w, w.trust_store())["Name"]])["TrustStores"], lambda r: len(r) == 1),
    ("an unknown name", lambda w: w.elb.describe_trust_stores(Names=["absent"]), Fails("TrustStoreNotFound")),
    ("an unknown ARN", lambda w: described(w, ABSENT), Fails("TrustStoreNotFound")),
    ("no ARN at all", lambda w: described(w, "x"), Fails("ValidationError", "'x' is not a valid trust store ARN")),
    ("the bundle outlives its object", bundle_outlives_its_object, lambda r: r == ROOT.pem),
    ("the bundle of an unknown one", lambda w: w.elb.get_trust_store_ca_certificates_bundle(TrustStoreArn=ABSENT), Fails("TrustStoreNotFound")),
    ("another bundle", lambda w: modify(w, ROOT.pem + OTHER.pem), lambda r: r["NumberOfCaCertificates"] == 2),
    ("another bundle, of rubbish", lambda w: modify(w, b"rubbish"), Fails("InvalidCaCertificatesBundle")),
    ("another bundle for an unknown one", lambda w: modify(w, ROOT.pem, ABSENT), Fails("TrustStoreNotFound")),
    ("deleted", lambda w: (lambda arn: (w.elb.delete_trust_store(TrustStoreArn=arn), described(w, arn)))(w.trust_store()), Fails("TrustStoreNotFound")),
    ("deleting an unknown one", lambda w: w.elb.delete_trust_store(TrustStoreArn=ABSENT), Fails("TrustStoreNotFound")),
    # Revocation lists.
    ("revoked", lambda w: revoke(w), lambda r: (r["RevocationType"], r["NumberOfRevokedEntries"]) == ("CRL", 3)),
    ("revoked twice, restored once", revoked_and_restored, lambda r: r == 1),
    ("what was revoked can be read", revoked_content, bool),
    ("revoked by rubbish", lambda w: revoke(w, b"rubbish"), Fails("InvalidRevocationContent")),
    ("revoked by a certificate", lambda w: revoke(w, ROOT.pem), Fails("InvalidRevocationContent")),
    ("revoked by what is absent", lambda w: revoke(w, S3Key="absent"), Fails("RevocationContentNotFound")),
    ("revoked by another type", lambda w: revoke(w, RevocationType="OCSP"), Fails("ValidationError", "revocationType")),
    ("revoked in an unknown one", lambda w: revoke(w, arn=ABSENT), Fails("TrustStoreNotFound")),
    ("no file to revoke by", lambda w: w.elb.add_trust_store_revocations(TrustStoreArn=w.trust_store()), Fails("ValidationError")),
    ("an unknown revocation", lambda w: w.elb.describe_trust_store_revocations(TrustStoreArn=w.trust_store(), RevocationIds=[99]), Fails("RevocationIdNotFound")),
    ("removing an unknown revocation", lambda w: w.elb.remove_trust_store_revocations(TrustStoreArn=w.trust_store(), RevocationIds=[99]), Fails("RevocationIdNotFound")),
    ("content of an unknown revocation", lambda w: w.elb.get_trust_store_revocation_content(TrustStoreArn=w.trust_store(), RevocationId=99), Fails("RevocationIdNotFound")),
    ("pages cover everything", pages, lambda r: r[0] >= 2 and r[1:] == [2, 2]),
    # Listeners.
    ("a listener that verifies", listening, lambda r: (lambda m: (m["Mode"], m["IgnoreClientCertificateExpiry"], m["AdvertiseTrustStoreCaNames"]) == ("verify", False, "off"))(r["MutualAuthentication"])),
    ("a listener that verifies, otherwise", lambda w: listening(w, IgnoreClientCertificateExpiry=True, AdvertiseTrustStoreCaNames="on"), lambda r: (r["MutualAuthentication"]["IgnoreClientCertificateExpiry"], r["MutualAuthentication"]["AdvertiseTrustStoreCaNames"]) == (True, "on")),
    ("a listener that passes through", lambda w: w.https(MutualAuthentication={"Mode": "passthrough"}), lambda r: r["MutualAuthentication"] == {"Mode": "passthrough"}),
    ("verified no more", lambda w: changed_mode(w, Mode="off"), lambda r: r == {"Mode": "off"}),
    ("passed through instead", lambda w: changed_mode(w, Mode="passthrough"), lambda r: r == {"Mode": "passthrough"}),
    ("another mode", lambda w: changed_mode(w, Mode="maybe"), Fails("ValidationError", "mutualAuthentication.mode")),
    ("verify by what", lambda w: w.https(MutualAuthentication={"Mode": "verify"}), Fails("ValidationError", "trust store ARN")),
    ("verify by an unknown one", lambda w: listening(w, ABSENT), Fails("TrustStoreNotFound")),
    ("verify by what is not ready", not_ready, Fails("TrustStoreNotReady")),
    ("pass through by a trust store", lambda w: w.https(MutualAuthentication={"Mode": "passthrough", "TrustStoreArn": w.trust_store()}), Fails("ValidationError", "TrustStoreArn")),
    ("advertise what", lambda w: w.https(MutualAuthentication={"Mode": "passthrough", "AdvertiseTrustStoreCaNames": "on"}), Fails("ValidationError", "AdvertiseTrustStoreCaNames")),
    ("verify on HTTP", lambda w: w.create_listener(**verify(w.trust_store())), Fails("ValidationError", "HTTPS listeners only")),
    ("a third listener that verifies", lambda w: three(w, w.trust_store()), Fails("InvalidConfigurationRequest", "[2]")),
    ("used, and used no more", in_use, bool),
    # Sharing.
    ("an association of one's own", own_association, Fails("DeleteAssociationSameAccount")),
    ("no association", lambda w: w.elb.delete_shared_trust_store_association(TrustStoreArn=w.trust_store(), ResourceArn=w.lb), Fails("AssociationNotFound")),
    ("no policy", lambda w: w.elb.get_resource_policy(ResourceArn=w.trust_store()), Fails("ResourceNotFound")),
]


@pytest.fixture(scope="module", autouse=True)
def many():
    """Rows keep what they make until the end of the run: more than an account may have."""
    if FOREIGN:
        yield
        return
    _, before = admin("settings")
    admin("settings", "PUT", {"quotas": {"trust-stores": 1000}})
    yield
    admin("settings", "PUT", {"quotas": {"trust-stores": before["quotas"]["trust-stores"]}})


def one_too_many(w):
    admin("settings", "PUT", {"quotas": {"trust-stores": 0}})
    try:
        create(w)
    finally:
        admin("settings", "PUT", {"quotas": {"trust-stores": 1000}})


@pytest.mark.parametrize("row", ROWS, ids=ids(ROWS))
def test_trust_stores(row, world):
    run(row, world)


def status(w, listener, client):
    """What a request gets from a client that shows a certificate; None if the connection is refused."""
    rows = admin("listeners")[1]
    row = next(row for row in rows if row["listener"] == listener)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if client:
        files = [w.tmp / "client.pem", w.tmp / "client.key"]
        files[0].write_bytes(client.pem + client.chain_pem)
        files[1].write_bytes(client.key_pem)
        context.load_cert_chain(*files)
    connection = http.client.HTTPSConnection(row["address"], row["bound"], context=context, timeout=20)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()


def test_clients_are_verified(world, tmp_path):
    w = world
    w.tmp = tmp_path
    w.ec2.authorize_security_group_ingress(GroupId=(group := w.group()), IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}])
    store = w.trust_store(ROOT.pem)
    listener = w.https(balancer=w.balancer(SecurityGroups=[group]), **verify(store))["ListenerArn"]
    assert eventually(lambda: status(w, listener, CLIENT), "a client that shows its certificate") == 404
    assert status(w, listener, None) is None
    revocation = revoke(w, revocation_list(ROOT, serials=(CLIENT.certificate.serial_number,)), arn=store)["RevocationId"]
    eventually(lambda: status(w, listener, CLIENT) is None, "a revoked certificate is refused")
    w.elb.remove_trust_store_revocations(TrustStoreArn=store, RevocationIds=[revocation])
    eventually(lambda: status(w, listener, CLIENT) == 404, "it is revoked no more")
    modify(w, OTHER.pem, store)
    eventually(lambda: status(w, listener, CLIENT) is None, "its authority is trusted no more")
    w.elb.modify_listener(ListenerArn=listener, MutualAuthentication={"Mode": "off"})
    eventually(lambda: status(w, listener, None) == 404, "nobody is asked any more")
