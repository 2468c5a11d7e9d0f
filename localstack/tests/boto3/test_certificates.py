"""ACM, and certificates on listeners. Sources: ACM API reference and user guide ("Prerequisites for importing", "Reimport a certificate"), ELBv2 user
guide ("HTTPS listeners")."""

import http.client
import socket
import ssl

import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import serialization

import certificates
from certificates import ALL_KEYS, DAY, SERVER, SERVER_AND_CLIENT, Pair, pair
from cloud import Fails, admin, anything, eventually, ids, run

ABSENT = "arn:aws:acm:us-east-1:000000000000:certificate/00000000-0000-0000-0000-000000000000"
ROOT = pair(authority=True, common="Root")
MIDDLE = pair(authority=True, common="Middle", signer=ROOT)
OTHER = pair(authority=True, common="Root")


def importing(w, made, **more):
    return w.acm.import_certificate(**(made.arguments() | more))


def described(w, arn):
    return w.acm.describe_certificate(CertificateArn=arn)["Certificate"]


def name(w):
    return f"{w.name()}.example.com"


def again(w, first, second):
    """Imports a certificate, and then another one in its place."""
    arn = w.import_certificate(first)
    same = importing(w, second, CertificateArn=arn)["CertificateArn"]
    return arn, same


def reimport_keeps(w):
    first, second = pair(name(w)), pair(name(w), name(w))
    arn, same = again(w, first, second)
    found = described(w, arn)
    return arn == same and found["Serial"].replace(":", "") in f"0{second.certificate.serial_number:x}" and len(found["SubjectAlternativeNames"]) == 2


def kinds(w, **includes):
    made = {kind: w.import_certificate(pair(name(w), kind=kind, purposes=SERVER)) for kind in ("RSA_2048", "EC_prime256v1", "EC_secp384r1")}
    arguments = {"Includes": includes} if includes else {}
    shown = {row["CertificateArn"] for page in w.acm.get_paginator("list_certificates").paginate(**arguments) for row in page["CertificateSummaryList"]}
    return {kind for kind, arn in made.items() if arn in shown}


IMPORT = [
    ("self-signed", lambda w: importing(w, pair(name(w))), lambda r: r["CertificateArn"].startswith("arn:aws:acm:us-east-1:000000000000:certificate/")),
    ("with its chain", lambda w: importing(w, pair(name(w), signer=MIDDLE)), anything),
    ("P-384", lambda w: importing(w, pair(name(w), kind="EC_secp384r1")), anything),
    ("P-521", lambda w: importing(w, pair(name(w), kind="EC_secp521r1")), anything),
    ("RSA", lambda w: importing(w, pair(name(w), kind="RSA_2048")), anything),
    ("with tags", lambda w: importing(w, pair(name(w)), Tags=[{"Key": "a", "Value": "b"}, {"Key": "bare"}]), anything),
    ("Ed25519 is not supported", lambda w: importing(w, pair(name(w), kind="Ed25519")), Fails("ValidationException", "private key is not supported")),
    ("odd RSA sizes are not supported", lambda w: importing(w, pair(name(w), kind="RSA_2056")), Fails("ValidationException", "2056 is not supported")),
    ("another key", lambda w: importing(w, pair(name(w)), PrivateKey=pair("b.example").key_pem), Fails("ValidationException", "does not match")),
    ("no key", lambda w: w.acm.import_certificate(Certificate=pair(name(w)).pem), Fails("ValidationException", "privateKey")),
    ("an encrypted key", lambda w: importing(w, pair(name(w)), PrivateKey=pair("a.b").private(serialization.BestAvailableEncryption(b"x"))), Fails("ValidationException", "encrypted")),
    ("rubbish for a certificate", lambda w: importing(w, pair(name(w)), Certificate=b"rubbish"), Fails("ValidationException", "PEM")),
    ("rubbish for a key", lambda w: importing(w, pair(name(w)), PrivateKey=b"rubbish"), Fails("ValidationException", "PEM")),
    ("rubbish for a chain", lambda w: importing(w, pair(name(w)), CertificateChain=b"rubbish"), Fails("ValidationException", "PEM")),
    ("two certificates", lambda w: importing(w, pair(name(w)), Certificate=ROOT.pem + MIDDLE.pem), Fails("ValidationException", "more than one certificate")),
    ("expired", lambda w: importing(w, pair(name(w), begin=-9 * DAY, end=-DAY)), Fails("ValidationException", "expired")),
    ("not yet valid", lambda w: importing(w, pair(name(w), begin=DAY)), Fails("ValidationException", "has not begun")),
    ("neither chain nor self-signed", lambda w: importing(w, Pair(*(lambda p: (p.certificate, p.key))(pair(name(w), signer=ROOT)))), Fails("ValidationException", "self signed")),
    ("another chain", lambda w: importing(w, pair(name(w), signer=ROOT), CertificateChain=OTHER.pem), Fails("ValidationException", "with the certificate chain")),
    ("a chain in the wrong order", lambda w: importing(w, pair(name(w), signer=MIDDLE), CertificateChain=ROOT.pem + MIDDLE.pem), Fails("ValidationException", "with the certificate chain")),
    ("a reserved tag", lambda w: importing(w, pair(name(w)), Tags=[{"Key": "aws:a", "Value": "b"}]), Fails("InvalidTagException")),
    ("51 tags", lambda w: importing(w, pair(name(w)), Tags=[{"Key": str(n)} for n in range(51)]), Fails("TooManyTagsException")),
    ("too large", lambda w: importing(w, pair(name(w)), Certificate=b"x" * 40000), Fails("ValidationException", "32768")),
    ("again, in place", reimport_keeps, bool),
    ("again, with another key", lambda w: again(w, pair(name(w)), pair(name(w))), lambda r: r[0] == r[1]),
    ("again, with another type of key", lambda w: again(w, pair(name(w)), pair(name(w), kind="RSA_2048")), Fails("ValidationException", "key type")),
    ("again, with more purposes", lambda w: again(w, pair(name(w), purposes=SERVER), pair(name(w), purposes=SERVER_AND_CLIENT)), anything),
    ("again, with fewer purposes", lambda w: again(w, pair(name(w), purposes=SERVER_AND_CLIENT), pair(name(w), purposes=SERVER)), Fails("ValidationException", "key usage")),
    ("again, with tags", lambda w: importing(w, pair(name(w)), CertificateArn=w.import_certificate(), Tags=[{"Key": "a"}]), Fails("ValidationException", "re-import")),
    ("again, what is absent", lambda w: importing(w, pair(name(w)), CertificateArn=ABSENT), Fails("ResourceNotFoundException")),
    ("again, with a wrong ARN", lambda w: importing(w, pair(name(w)), CertificateArn="arn:aws:s3:::bucket/object"), Fails("InvalidArnException")),
]


@pytest.mark.parametrize("row", IMPORT, ids=ids(IMPORT))
def test_import(row, world):
    run(row, world)


def tagged(w, call):
    arn = w.import_certificate(Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    call(arn)
    return {tag["Key"]: tag.get("Value") for tag in w.acm.list_tags_for_certificate(CertificateArn=arn)["Tags"]}


def in_use(w):
    arn = w.import_certificate()
    listener = w.https(arn)["ListenerArn"]
    used = described(w, arn)["InUseBy"]
    with pytest.raises(ClientError) as caught:
        w.acm.delete_certificate(CertificateArn=arn)
    assert caught.value.response["Error"]["Code"] == "ResourceInUseException"
    w.elb.delete_listener(ListenerArn=listener)
    assert described(w, arn)["InUseBy"] == []
    w.acm.delete_certificate(CertificateArn=arn)
    return used


def requested(w, **more):
    return described(w, w.acm.request_certificate(**({"DomainName": name(w), "ValidationMethod": "DNS"} | more))["CertificateArn"])


def issued(w):
    arn = requested(w)["CertificateArn"]
    assert admin("certificates", "POST", {"issue": arn})[0] == 200
    return described(w, arn)


ACM = [
    ("describe tells what the certificate says", lambda w: described(w, w.import_certificate(pair(name(w), signer=MIDDLE, purposes=SERVER))), lambda c: (c["Type"], c["Status"], c["KeyAlgorithm"], c["SignatureAlgorithm"], c["Issuer"], c["InUseBy"], c["RenewalEligibility"]) == ("IMPORTED", "ISSUED", "EC-prime256v1", "SHA256WITHECDSA", "Test", [], "INELIGIBLE")),
    ("describe tells the names and the subject", lambda w: described(w, w.import_certificate(pair("a.example", "b.example"))), lambda c: (c["DomainName"], c["SubjectAlternativeNames"], c["Subject"]) == ("a.example", ["a.example", "b.example"], "O=Test,CN=a.example")),
    ("describe tells the times", lambda w: described(w, w.import_certificate(pair(name(w), end=30 * DAY))), lambda c: (c["NotAfter"] - c["NotBefore"]).days == 31 and c["ImportedAt"] == c["CreatedAt"] and "IssuedAt" not in c),
    ("describe tells the purposes", lambda w: described(w, w.import_certificate(pair(name(w), purposes=SERVER))), lambda c: c["ExtendedKeyUsages"] == [{"Name": "TLS_WEB_SERVER_AUTHENTICATION", "OID": "1.3.6.1.5.5.7.3.1"}]),
    ("describe what is absent", lambda w: described(w, ABSENT), Fails("ResourceNotFoundException", "Could not find certificate")),
    ("describe without an ARN", lambda w: w.acm.describe_certificate(), Fails("ValidationException", "certificateArn")),
    ("describe with a wrong ARN", lambda w: described(w, "a"), Fails("InvalidArnException")),
    ("get gives back what was given", lambda w: (lambda made: (made, w.acm.get_certificate(CertificateArn=w.import_certificate(made))))(pair(name(w), signer=MIDDLE)), lambda r: (r[1]["Certificate"].encode(), r[1]["CertificateChain"].encode()) == (r[0].pem, r[0].chain_pem)),
    ("get what is absent", lambda w: w.acm.get_certificate(CertificateArn=ABSENT), Fails("ResourceNotFoundException")),
    ("list shows RSA keys only", lambda w: kinds(w), lambda r: r == {"RSA_2048"}),
    ("list shows the types asked for", lambda w: kinds(w, keyTypes=["EC_secp384r1", "RSA_2048"]), lambda r: r == {"EC_secp384r1", "RSA_2048"}),
    ("list shows the purposes asked for", lambda w: kinds(w, keyTypes=ALL_KEYS, extendedKeyUsage=["CODE_SIGNING"]), lambda r: r == set()),
    ("list refuses unknown types", lambda w: w.acm.list_certificates(Includes={"keyTypes": ["DSA"]}), Fails("ValidationException", "keyTypes")),
    ("list by status", lambda w: [c["Status"] for c in certificates.listed(w.acm, CertificateStatuses=["EXPIRED", "FAILED"])], lambda r: r == []),
    ("list in pages", lambda w: ([w.import_certificate() for _ in range(3)], certificates.listed(w.acm, PaginationConfig={"PageSize": 2}), certificates.listed(w.acm)), lambda r: r[1] == r[2] and set(r[0]) <= {c["CertificateArn"] for c in r[1]}),
    ("list by time", lambda w: ([w.import_certificate() for _ in range(2)], certificates.listed(w.acm, SortBy="CREATED_AT", SortOrder="DESCENDING")), lambda r: [c["CreatedAt"] for c in r[1]] == sorted((c["CreatedAt"] for c in r[1]), reverse=True)),
    ("list by time without an order", lambda w: w.acm.list_certificates(SortBy="CREATED_AT"), Fails("InvalidArgsException")),
    ("list too much", lambda w: w.acm.list_certificates(MaxItems=1001), Fails("ValidationException", "maxItems")),
    ("delete", lambda w: w.acm.delete_certificate(CertificateArn=w.import_certificate()), anything),
    ("delete what is absent", lambda w: w.acm.delete_certificate(CertificateArn=ABSENT), Fails("ResourceNotFoundException")),
    ("delete what is in use", in_use, lambda r: len(r) == 1 and ":loadbalancer/app/" in r[0]),
    ("tags", lambda w: tagged(w, lambda arn: None), lambda r: r == {"a": "1", "b": "2"}),
    ("tags are added", lambda w: tagged(w, lambda arn: w.acm.add_tags_to_certificate(CertificateArn=arn, Tags=[{"Key": "a", "Value": "9"}, {"Key": "c", "Value": "3"}])), lambda r: r == {"a": "9", "b": "2", "c": "3"}),
    ("tags are removed", lambda w: tagged(w, lambda arn: w.acm.remove_tags_from_certificate(CertificateArn=arn, Tags=[{"Key": "a"}])), lambda r: r == {"b": "2"}),
    ("tags are removed by value", lambda w: tagged(w, lambda arn: w.acm.remove_tags_from_certificate(CertificateArn=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "1"}])), lambda r: r == {"b": "2"}),
    ("no tags to add", lambda w: w.acm.add_tags_to_certificate(CertificateArn=w.import_certificate(), Tags=[]), Fails("ValidationException")),
    ("tags of what is absent", lambda w: w.acm.list_tags_for_certificate(CertificateArn=ABSENT), Fails("ResourceNotFoundException")),
    ("tags find it", lambda w: (w.import_certificate(Tags=[{"Key": "find", "Value": w.prefix}]), w.tagging.get_resources(TagFilters=[{"Key": "find", "Values": [w.prefix]}], ResourceTypeFilters=["acm:certificate"])), lambda r: [m["ResourceARN"] for m in r[1]["ResourceTagMappingList"]] == [r[0]]),
    ("a request is pending", lambda w: requested(w), lambda c: (c["Status"], c["Type"], c["KeyAlgorithm"], c["DomainValidationOptions"][0]["ValidationStatus"]) == ("PENDING_VALIDATION", "AMAZON_ISSUED", "RSA-2048", "PENDING_VALIDATION") and c["DomainValidationOptions"][0]["ResourceRecord"]["Value"].endswith(".acm-validations.aws.")),
    ("a request for more names", lambda w: requested(w, SubjectAlternativeNames=["b.example.com", "*.c.example.com"], KeyAlgorithm="EC_prime256v1"), lambda c: len(c["SubjectAlternativeNames"]) == 3 and c["KeyAlgorithm"] == "EC-prime256v1"),
    ("a request for too many names", lambda w: requested(w, SubjectAlternativeNames=[f"n{n}.example.com" for n in range(10)]), Fails("LimitExceededException")),
    ("a request for no FQDN", lambda w: requested(w, DomainName="default"), Fails("InvalidDomainValidationOptionsException")),
    ("a request for a strange key", lambda w: requested(w, KeyAlgorithm="RSA_1024"), Fails("ValidationException")),
    ("a request with a token is made once", lambda w: (lambda n: [w.acm.request_certificate(DomainName=n, ValidationMethod="DNS", IdempotencyToken=w.prefix)["CertificateArn"] for _ in range(2)])(name(w)), lambda r: r[0] == r[1]),
    ("a pending certificate cannot be got", lambda w: w.acm.get_certificate(CertificateArn=requested(w)["CertificateArn"]), Fails("RequestInProgressException")),
    ("an issued one", issued, lambda c: (c["Status"], c["Issuer"], c["DomainValidationOptions"][0]["ValidationStatus"]) == ("ISSUED", "Amazon", "SUCCESS") and "IssuedAt" in c),
    ("an issued one is not imported again", lambda w: importing(w, pair(name(w)), CertificateArn=issued(w)["CertificateArn"]), Fails("ValidationException", "not imported")),
]


@pytest.mark.parametrize("row", ACM, ids=ids(ACM))
def test_acm(row, world):
    run(row, world)


def shown(w, listener):
    return w.elb.describe_listeners(ListenerArns=[listener])["Listeners"][0]


def listed(w, listener):
    pages = w.elb.get_paginator("describe_listener_certificates").paginate(ListenerArn=listener, PaginationConfig={"PageSize": 1})
    return [(row["CertificateArn"], row["IsDefault"]) for page in pages for row in page["Certificates"]]


def add(w, listener, *arns):
    return w.elb.add_listener_certificates(ListenerArn=listener, Certificates=[{"CertificateArn": arn} for arn in arns])["Certificates"]


def remove(w, listener, *arns):
    return w.elb.remove_listener_certificates(ListenerArn=listener, Certificates=[{"CertificateArn": arn} for arn in arns])


def in_list(w):
    listener, more = w.https(), [w.import_certificate() for _ in range(2)]
    arn, default = listener["ListenerArn"], listener["Certificates"][0]["CertificateArn"]
    for one in more:
        add(w, arn, one)
    assert listed(w, arn) == [(default, True), *((one, False) for one in sorted(more))]
    remove(w, arn, more[0])
    return listed(w, arn) == [(default, True), (more[1], False)] and shown(w, arn)["Certificates"] == [{"CertificateArn": default}]


def twenty_six(w):
    balancer = w.balancer()
    arn = w.https(balancer=balancer)["ListenerArn"]
    for _ in range(26):
        add(w, arn, w.import_certificate())


def modified(w, **more):
    listener = w.https()["ListenerArn"]
    return w.elb.modify_listener(ListenerArn=listener, **more)["Listeners"][0]


def rotated(w):
    """Another default certificate: the first one is free to go."""
    first, second = w.import_certificate(), w.import_certificate()
    listener = w.https(first)["ListenerArn"]
    w.elb.modify_listener(ListenerArn=listener, Certificates=[{"CertificateArn": second}])
    w.acm.delete_certificate(CertificateArn=first)
    return listed(w, listener) == [(second, True)]


def there_and_back(w):
    """HTTP → HTTPS needs a certificate; HTTPS → HTTP takes certificate and policy away (ELBv2 API, ModifyListener)."""
    listener, certificate = w.new_listener(), w.import_certificate()
    with pytest.raises(ClientError) as caught:
        w.elb.modify_listener(ListenerArn=listener, Protocol="HTTPS")
    assert caught.value.response["Error"]["Code"] == "ValidationError"
    secure = w.elb.modify_listener(ListenerArn=listener, Protocol="HTTPS", Certificates=[{"CertificateArn": certificate}])["Listeners"][0]
    plain = w.elb.modify_listener(ListenerArn=listener, Protocol="HTTP")["Listeners"][0]
    w.acm.delete_certificate(CertificateArn=certificate)
    return secure, plain


LISTENERS = [
    ("defaults", lambda w: w.https(), lambda r: (r["Protocol"], r["SslPolicy"], r["MutualAuthentication"]["Mode"]) == ("HTTPS", "ELBSecurityPolicy-2016-08", "off")),
    ("a policy", lambda w: w.https(SslPolicy="ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09")["SslPolicy"], lambda r: r == "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09"),
    ("an unknown policy", lambda w: w.https(SslPolicy="Mine"), Fails("SSLPolicyNotFound", "Mine")),
    ("a policy for HTTP", lambda w: w.create_listener(SslPolicy="ELBSecurityPolicy-2016-08"), Fails("ValidationError", "SSL policy")),
    ("a certificate for HTTP", lambda w: w.create_listener(Certificates=[{"CertificateArn": w.import_certificate()}]), Fails("ValidationError", "certificate")),
    ("no certificate", lambda w: w.create_listener(Protocol="HTTPS"), Fails("ValidationError", "A certificate must be specified")),
    ("two certificates", lambda w: w.create_listener(Protocol="HTTPS", Certificates=[{"CertificateArn": w.import_certificate()} for _ in range(2)]), Fails("TooManyCertificates")),
    ("an absent certificate", lambda w: w.https(ABSENT), Fails("CertificateNotFound")),
    ("a pending certificate", lambda w: w.https(requested(w)["CertificateArn"]), Fails("UnsupportedCertificate")),
    ("an issued certificate", lambda w: w.https(issued(w)["CertificateArn"]), anything),
    ("no FQDN in the certificate", lambda w: w.https(w.import_certificate(pair("default"))), Fails("UnsupportedCertificate", "fully-qualified domain name")),
    ("ALPN is for NLB", lambda w: w.https(AlpnPolicy=["HTTP2Optional"]), Fails("ValidationError", "ALPN")),
    ("the same listener again", lambda w: (lambda c, p: (w.https(c, port=p)["ListenerArn"], w.https(c, port=p)["ListenerArn"]))(w.import_certificate(), w.port()), lambda r: r[0] == r[1]),
    ("another certificate on the port", lambda w: (lambda p: (w.https(port=p), w.https(port=p)))(w.port()), Fails("DuplicateListener")),
    ("the list of certificates", in_list, bool),
    ("one certificate at a time", lambda w: add(w, w.https()["ListenerArn"], w.import_certificate(), w.import_certificate()), Fails("ValidationError", "one certificate")),
    ("no certificate to add", lambda w: add(w, w.https()["ListenerArn"]), Fails("ValidationError", "one certificate")),
    ("added twice", lambda w: (lambda l, c: (add(w, l, c), add(w, l, c), listed(w, l)))(w.https()["ListenerArn"], w.import_certificate()), lambda r: len(r[2]) == 2),
    ("the answer of adding", lambda w: add(w, w.https()["ListenerArn"], w.import_certificate()), lambda r: r[0]["IsDefault"] is False),
    ("an absent certificate to add", lambda w: add(w, w.https()["ListenerArn"], ABSENT), Fails("CertificateNotFound")),
    ("certificates for HTTP", lambda w: add(w, w.listener, w.import_certificate()), Fails("UnsupportedProtocol")),
    ("an HTTP listener has none", lambda w: listed(w, w.listener), lambda r: r == []),
    ("more than 25 certificates", twenty_six, Fails("TooManyCertificates", "[25]")),
    ("the default certificate stays", lambda w: (lambda l: remove(w, l["ListenerArn"], l["Certificates"][0]["CertificateArn"]))(w.https()), Fails("OperationNotPermitted")),
    ("what is not in the list", lambda w: remove(w, w.https()["ListenerArn"], w.import_certificate()), anything),
    ("another policy", lambda w: modified(w, SslPolicy="ELBSecurityPolicy-TLS13-1-3-2021-06")["SslPolicy"], lambda r: r == "ELBSecurityPolicy-TLS13-1-3-2021-06"),
    ("another default certificate", rotated, bool),
    ("there and back", there_and_back, lambda r: (r[0]["Protocol"], "SslPolicy" in r[0], r[1]["Protocol"], "SslPolicy" in r[1], "Certificates" in r[1]) == ("HTTPS", True, "HTTP", False, False)),
    ("HTTPS to HTTP is no redirect", lambda w: w.https(actions=[{"Type": "redirect", "RedirectConfig": {"Protocol": "HTTP", "Port": "80", "StatusCode": "HTTP_301"}}]), Fails("InvalidLoadBalancerAction", "HTTPS to HTTP")),
    ("HTTP to HTTPS is one", lambda w: w.create_listener(actions=[{"Type": "redirect", "RedirectConfig": {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}}]), anything),
    ("gRPC needs HTTPS", lambda w: w.https(actions=[{"Type": "forward", "TargetGroupArn": w.new_group(ProtocolVersion="GRPC")}]), anything),
    ("its attributes", lambda w: {a["Key"]: a["Value"] for a in w.elb.describe_listener_attributes(ListenerArn=w.https()["ListenerArn"])["Attributes"]}, lambda r: r["routing.http.request.x_amzn_tls_version.header_name"] == "X-Amzn-Tls-Version" and len(r) == 19),
    ("a header's name", lambda w: w.elb.modify_listener_attributes(ListenerArn=w.https()["ListenerArn"], Attributes=[{"Key": "routing.http.request.x_amzn_tls_version.header_name", "Value": "X-Tls"}]), anything),
    ("a wrong name of a header", lambda w: w.elb.modify_listener_attributes(ListenerArn=w.https()["ListenerArn"], Attributes=[{"Key": "routing.http.request.x_amzn_tls_version.header_name", "Value": "a b"}]), Fails("ValidationError", "header name")),
    ("policies", lambda w: [p["Name"] for page in w.elb.get_paginator("describe_ssl_policies").paginate() for p in page["SslPolicies"]], lambda r: len(r) >= 37 and "ELBSecurityPolicy-TLS13-1-2-FIPS-2023-04" in r),
    ("a policy's protocols and ciphers", lambda w: w.elb.describe_ssl_policies(Names=["ELBSecurityPolicy-TLS13-1-2-Res-2021-06"])["SslPolicies"][0], lambda r: (r["SslProtocols"], [c["Name"] for c in r["Ciphers"]][:2], len(r["Ciphers"])) == (["TLSv1.2", "TLSv1.3"], ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"], 7)),
    ("an unknown policy's", lambda w: w.elb.describe_ssl_policies(Names=["a"]), Fails("SSLPolicyNotFound")),
]


@pytest.mark.parametrize("row", LISTENERS, ids=ids(LISTENERS))
def test_listeners(row, world):
    run(row, world)


def test_lenient_clouds_take_unusual_certificates(world):
    before = admin("settings")[1]
    assert admin("settings", "PUT", {"certificates": "lenient"})[0] == 200
    try:
        signed = pair("default", signer=ROOT)
        world.https(world.import_certificate(Pair(signed.certificate, signed.key)))
    finally:
        assert admin("settings", "PUT", before) == (200, before)


def test_private_keys_are_in_no_log_and_no_dump(world):
    made = pair(name(world))
    world.import_certificate(made)
    body = "".join(made.key_pem.decode().splitlines()[1:-1])
    for place in ("log?last=50", "state", "certificates", "inventory"):
        status, found = admin(place)
        assert status == 200 and body not in str(found) and made.key_pem.decode() not in str(found), place
    call = next(call for call in reversed(admin("log?last=50")[1]) if call["operation"] == "ImportCertificate")
    assert call["parameters"]["PrivateKey"] == "(redacted)"


def connect(where, server, *trusted):
    context = ssl.create_default_context(cadata="".join(made.pem.decode() for made in trusted))
    plain = socket.create_connection(where, timeout=20)
    return context.wrap_socket(plain, server_hostname=server)


def ask(connection, host):
    connection.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    response = http.client.HTTPResponse(connection)
    response.begin()
    response.read()
    return response.status


def test_a_renewed_certificate_is_served_without_a_lost_request(world):
    """The renewal is one call; open connections go on, new ones see the new certificate."""
    group = world.group()
    world.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[{"IpProtocol": "tcp", "FromPort": 1, "ToPort": 65535, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}])
    balancer = world.balancer(SecurityGroups=[group])
    default, other = pair(name(world)), pair("other.example.com", f"*.{world.prefix}.example.com")
    arn = world.import_certificate(other)
    listener = world.https(world.import_certificate(default), balancer=balancer)["ListenerArn"]
    add(world, listener, arn)
    row = eventually(lambda: next((row for row in admin("listeners")[1] if row["listener"] == listener and "bound" in row), None), "it listens")
    where = (row["address"], row["bound"])
    host = f"a.{world.prefix}.example.com"
    kept = connect(where, host, other)
    first = kept.getpeercert(binary_form=True)
    renewed = pair("other.example.com", f"*.{world.prefix}.example.com")
    world.acm.import_certificate(CertificateArn=arn, **renewed.arguments())
    fresh = connect(where, host, renewed)
    assert first == other.certificate.public_bytes(serialization.Encoding.DER)
    assert fresh.getpeercert(binary_form=True) == renewed.certificate.public_bytes(serialization.Encoding.DER)
    assert (ask(kept, host), ask(fresh, host)) == (404, 404)
    assert ask(connect(where, default.certificate.subject.rfc4514_string().split(",")[0].removeprefix("CN="), default), "x") == 404
    world.elb.delete_load_balancer(LoadBalancerArn=balancer)
    world.acm.delete_certificate(CertificateArn=arn)
