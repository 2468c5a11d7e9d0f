"""ACM beyond import and listing: export, renewal, revocation, options, search, validation, the account. Sources: ACM API reference (the operation's own page unless
another is named) and user guide ("Export a public certificate", "Force certificate renewal", "Managed certificate renewal", "Revoke a public certificate",
"Updating a certificate's validation method", "DNS validation", "Email validation", "Search certificates")."""

import datetime
import ipaddress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from certificates import DAY, NOW, SERVER, pair
from cloud import FOREIGN, Fails, admin, anything, eventually, ids, run
from test_certificates import ABSENT, described, name

SECRET = b"open sesame"
WRONG_ARN = "arn:aws:s3:::bucket/object"


def request(w, **more):
    return w.acm.request_certificate(**({"DomainName": name(w), "ValidationMethod": "DNS", "KeyAlgorithm": "EC_prime256v1"} | more))["CertificateArn"]


def zone(w):
    """A public hosted zone for all names of the rows."""
    if not hasattr(w, "public_zone"):
        w.public_zone = w.dns.create_hosted_zone(Name="example.com", CallerReference=w.name())["HostedZone"]["Id"]
    return w.public_zone


def record(w, records, action="UPSERT", within=None):
    sets = {r["Name"]: {"Name": r["Name"], "Type": r["Type"], "TTL": 60, "ResourceRecords": [{"Value": r["Value"]}]} for r in records}
    changes = [{"Action": action, "ResourceRecordSet": one} for one in sets.values()]
    w.dns.change_resource_record_sets(HostedZoneId=within or zone(w), ChangeBatch={"Changes": changes})


def asked_for(w, arn):
    """The records that a certificate waits for."""
    return [option["ResourceRecord"] for option in described(w, arn)["DomainValidationOptions"]]


def proven(w, **more):
    """A certificate whose names were proven as users do it: by records in Route 53."""
    arn = request(w, **more)
    record(w, asked_for(w, arn))
    # AWS takes minutes, as others may take a moment; here it is done.
    return arn if not FOREIGN else eventually(lambda: described(w, arn)["Status"] == "ISSUED" and arn, "it is issued")


def by_mail(w, **more):
    """A certificate whose mail was answered."""
    arn = request(w, ValidationMethod="EMAIL", **more)
    assert admin("certificates", "POST", {"issue": arn})[0] == 200
    return arn


EXPORTABLE = {"Options": {"Export": "ENABLED"}}


def export(w, arn, passphrase=SECRET):
    return w.acm.export_certificate(CertificateArn=arn, Passphrase=passphrase)


def exported(w, **more):
    arn = proven(w, **EXPORTABLE, **more)
    export(w, arn)
    return arn


def opened(w, **more):
    """Whether what comes out fits together, and is what the certificate says."""
    arn = proven(w, **EXPORTABLE, **more)
    found = export(w, arn)
    key = serialization.load_pem_private_key(found["PrivateKey"].encode(), SECRET)
    leaf = x509.load_pem_x509_certificate(found["Certificate"].encode())
    chain = x509.load_pem_x509_certificates(found["CertificateChain"].encode())
    leaf.verify_directly_issued_by(chain[0])
    with pytest.raises(ValueError):
        serialization.load_pem_private_key(found["PrivateKey"].encode(), b"close sesame")
    same = found["Certificate"] == w.acm.get_certificate(CertificateArn=arn)["Certificate"]
    return same and key.public_key() == leaf.public_key() and "BEGIN ENCRYPTED PRIVATE KEY" in found["PrivateKey"]


def pending_twice(w):
    first = proven(w)
    names = described(w, first)["SubjectAlternativeNames"]
    return described(w, request(w, DomainName=names[0]))["Status"]


EXPORT = [
    ("a key comes out under its passphrase", lambda w: opened(w), bool),
    ("an RSA key, too", lambda w: opened(w, KeyAlgorithm="RSA_2048"), bool),
    ("what was exported says so", lambda w: described(w, exported(w)), lambda c: (c["Options"]["Export"], c["RenewalEligibility"], c["CertificateKeyPairOrigin"]) == ("ENABLED", "ELIGIBLE", "AWS_MANAGED")),
    ("what was not is not renewed", lambda w: described(w, proven(w, **EXPORTABLE))["RenewalEligibility"], lambda r: r == "INELIGIBLE"),
    ("export is off by default", lambda w: described(w, request(w))["Options"]["Export"], lambda r: r == "DISABLED"),
    ("a pending one", lambda w: export(w, request(w, **EXPORTABLE)), Fails("RequestInProgressException")),
    ("one that was not requested so", lambda w: export(w, proven(w)), Fails("ValidationException", "not a private certificate")),
    ("an imported one", lambda w: export(w, w.import_certificate()), Fails("ValidationException", "not a private certificate")),
    ("what is absent", lambda w: export(w, ABSENT), Fails("ResourceNotFoundException")),
    ("a wrong ARN", lambda w: export(w, WRONG_ARN), Fails("InvalidArnException")),
    ("no passphrase", lambda w: w.acm.export_certificate(CertificateArn=ABSENT), Fails("ValidationException", "passphrase")),
    ("a short passphrase", lambda w: export(w, ABSENT, b"abc"), Fails("ValidationException", "passphrase")),
    ("a long passphrase", lambda w: export(w, ABSENT, b"a" * 129), Fails("ValidationException", "passphrase")),
    ("the longest passphrase", lambda w: export(w, proven(w, **EXPORTABLE), b"a" * 128), anything),
    ("a passphrase with #", lambda w: export(w, ABSENT, b"open#sesame"), Fails("ValidationException", "#, $, or %")),
    ("a passphrase that is not ASCII", lambda w: export(w, ABSENT, "ouvre-toi, sésame".encode()), Fails("ValidationException", "ASCII")),
    ("a strange option", lambda w: request(w, Options={"Export": "YES"}), Fails("ValidationException", "export")),
    ("no opting out of transparency (assumed)", lambda w: request(w, Options={"CertificateTransparencyLoggingPreference": "DISABLED"}), Fails("ValidationException", "no longer available")),
]


@pytest.mark.parametrize("row", EXPORT, ids=ids(EXPORT))
def test_export(row, world):
    run(row, world)


def renewed(w, arn):
    before = described(w, arn)
    w.acm.renew_certificate(CertificateArn=arn)
    return before, described(w, arn)


def renewed_without_record(w):
    """The record is gone: the renewal waits for it, and goes on when it is there again."""
    arn = exported(w)
    records = asked_for(w, arn)
    record(w, records, "DELETE")
    waiting = renewed(w, arn)[1]
    with pytest.raises(w.acm.exceptions.RequestInProgressException):
        w.acm.renew_certificate(CertificateArn=arn)
    record(w, records)
    return waiting["RenewalSummary"], described(w, arn)["RenewalSummary"]


def renewed_by_mail(w):
    arn = by_mail(w, **EXPORTABLE)
    export(w, arn)
    waiting = renewed(w, arn)[1]
    w.acm.resend_validation_email(CertificateArn=arn, Domain=waiting["DomainName"], ValidationDomain="example.com")
    admin("certificates", "POST", {"issue": arn})
    return waiting, described(w, arn)


def revoke(w, arn, reason="KEY_COMPROMISE"):
    return w.acm.revoke_certificate(CertificateArn=arn, RevocationReason=reason)["CertificateArn"]


def revoked(w):
    arn = exported(w)
    assert revoke(w, arn, "SUPERSEDED") == arn
    return arn


LIFE = [
    ("a renewal is another certificate under the ARN", lambda w: renewed(w, exported(w)), lambda r: r[0]["Serial"] != r[1]["Serial"] and r[1]["IssuedAt"] > r[0]["IssuedAt"] and r[1]["RenewalSummary"]["RenewalStatus"] == "SUCCESS" and r[1]["RenewalSummary"]["DomainValidationOptions"][0]["ValidationStatus"] == "SUCCESS"),
    ("a renewed one was not exported yet", lambda w: renewed(w, exported(w))[1]["RenewalEligibility"], lambda r: r == "INELIGIBLE"),
    ("a renewal without the record waits", renewed_without_record, lambda r: [s["RenewalStatus"] for s in r] == ["PENDING_VALIDATION", "SUCCESS"]),
    ("a renewal by mail waits", renewed_by_mail, lambda r: [c["RenewalSummary"]["RenewalStatus"] for c in r] == ["PENDING_VALIDATION", "SUCCESS"] and r[0]["Serial"] != r[1]["Serial"]),
    ("a renewal of what was not exported", lambda w: renewed(w, proven(w, **EXPORTABLE)), Fails("ValidationException", "relation of type EXPORT")),
    ("a second renewal", lambda w: (lambda arn: (renewed(w, arn), renewed(w, arn)))(exported(w)), Fails("ValidationException", "EXPORT")),
    ("a renewal of an imported one", lambda w: renewed(w, w.import_certificate()), Fails("ValidationException", "not eligible")),
    ("a renewal of a pending one", lambda w: renewed(w, request(w)), Fails("RequestInProgressException")),
    ("a renewal of what is absent", lambda w: w.acm.renew_certificate(CertificateArn=ABSENT), Fails("ResourceNotFoundException")),
    ("a renewal of a wrong ARN", lambda w: w.acm.renew_certificate(CertificateArn=WRONG_ARN), Fails("InvalidArnException")),
    ("a renewal of nothing", lambda w: w.acm.renew_certificate(), Fails("ValidationException", "certificateArn")),
    ("revoked", lambda w: described(w, revoked(w)), lambda c: (c["Status"], c["RevocationReason"], c["RenewalEligibility"]) == ("REVOKED", "SUPERSEDED", "INELIGIBLE") and c["RevokedAt"] >= c["IssuedAt"]),
    ("a revoked one goes", lambda w: w.acm.delete_certificate(CertificateArn=revoked(w)), anything),
    ("revoked twice (assumed)", lambda w: revoke(w, revoked(w)), Fails("ValidationException", "REVOKED")),
    ("revoked and exported", lambda w: export(w, revoked(w)), Fails("ValidationException", "REVOKED")),
    ("revoked and renewed", lambda w: renewed(w, revoked(w)), Fails("ValidationException", "REVOKED")),
    ("revoked and on a listener", lambda w: w.https(revoked(w)), Fails("UnsupportedCertificate")),
    ("revoked while a listener uses it", lambda w: (lambda arn: (w.https(arn), revoke(w, arn)))(exported(w)), Fails("ResourceInUseException")),
    ("revoked without an export", lambda w: revoke(w, proven(w, **EXPORTABLE)), Fails("ValidationException", "exported")),
    ("an imported one revoked", lambda w: revoke(w, w.import_certificate()), Fails("ValidationException", "exported")),
    ("revoked for no reason", lambda w: w.acm.revoke_certificate(CertificateArn=ABSENT), Fails("ValidationException", "revocationReason")),
    ("revoked for a strange reason", lambda w: revoke(w, ABSENT, "BORED"), Fails("ValidationException", "revocationReason")),
    ("what is absent revoked", lambda w: revoke(w, ABSENT), Fails("ResourceNotFoundException")),
    ("a wrong ARN revoked", lambda w: revoke(w, WRONG_ARN), Fails("InvalidArnException")),
]


@pytest.mark.parametrize("row", LIFE, ids=ids(LIFE))
def test_life(row, world):
    run(row, world)


def update(w, arn, **options):
    w.acm.update_certificate_options(CertificateArn=arn, Options=options)
    return described(w, arn)


def domains(w, arn, **more):
    return w.acm.list_certificate_domain_validations(CertificateArn=arn, **more)["DomainValidationSummaryList"]


def migrated(w):
    """From mails to DNS: the ARN stays, mails count until the records are found (user guide, "Updating a certificate's validation method")."""
    arn = by_mail(w, SubjectAlternativeNames=["*.other.example.com"])
    during = update(w, arn, ValidationMethod="DNS")
    listed = domains(w, arn)
    with pytest.raises(w.acm.exceptions.ConflictException):
        update(w, arn, ValidationMethod="DNS")
    record(w, [one["RequestedValidationConfiguration"]["ValidationChallenge"]["DnsValidationChallenge"]["ResourceRecord"] for one in listed])
    after = described(w, arn)
    assert during["Serial"] == after["Serial"] and during["UpdateSummary"]["DomainValidationMethodUpdateSummary"] == {"From": "EMAIL", "To": "DNS"}
    assert [one["ActiveValidationConfiguration"]["ValidationMethod"] for one in listed] == ["EMAIL", "EMAIL"]
    assert all("RequestedValidationConfiguration" not in one and one["ActiveValidationConfiguration"]["ValidationMethod"] == "DNS" for one in domains(w, arn))
    return [(c["UpdateSummary"]["Status"], c["Options"]["ValidationMethod"]) for c in (during, after)]


def paged_domains(w):
    arn = request(w, SubjectAlternativeNames=[name(w), name(w)])
    pages = w.acm.get_paginator("list_certificate_domain_validations").paginate(CertificateArn=arn, PaginationConfig={"PageSize": 2})
    return [[one["DomainName"] for one in page["DomainValidationSummaryList"]] for page in pages], described(w, arn)["SubjectAlternativeNames"]


OPTIONS = [
    ("from mails to DNS", migrated, lambda r: r == [("PENDING_DOMAIN_VALIDATION", "EMAIL"), ("SUCCESS", "DNS")]),
    ("from DNS to mails", lambda w: update(w, proven(w), ValidationMethod="EMAIL"), Fails("ValidationException", "ValidationMethod")),
    ("from DNS to DNS", lambda w: update(w, proven(w), ValidationMethod="DNS"), Fails("ValidationException", "ValidationMethod")),
    ("a pending one", lambda w: update(w, request(w, ValidationMethod="EMAIL"), ValidationMethod="DNS"), Fails("InvalidStateException", "PENDING_VALIDATION")),
    ("an imported one", lambda w: update(w, w.import_certificate(), ValidationMethod="DNS"), Fails("InvalidStateException", "not permitted")),
    ("the export option stays", lambda w: update(w, proven(w), Export="ENABLED"), Fails("ValidationException", "Export")),
    ("the same export option", lambda w: update(w, proven(w, **EXPORTABLE), Export="ENABLED")["Options"]["Export"], lambda r: r == "ENABLED"),
    ("transparency", lambda w: update(w, proven(w), CertificateTransparencyLoggingPreference="ENABLED")["Options"]["CertificateTransparencyLoggingPreference"], lambda r: r == "ENABLED"),
    ("no transparency (assumed)", lambda w: update(w, proven(w), CertificateTransparencyLoggingPreference="DISABLED"), Fails("ValidationException", "no longer available")),
    ("a strange method", lambda w: update(w, proven(w), ValidationMethod="FAX"), Fails("ValidationException", "validationMethod")),
    ("no options", lambda w: w.acm.update_certificate_options(CertificateArn=ABSENT), Fails("ValidationException", "options")),
    ("empty options", lambda w: update(w, proven(w)), Fails("ValidationException", "Options")),
    ("options of what is absent", lambda w: update(w, ABSENT, ValidationMethod="DNS"), Fails("ResourceNotFoundException")),
    ("options of a wrong ARN", lambda w: update(w, WRONG_ARN, ValidationMethod="DNS"), Fails("InvalidArnException")),
    ("domains with their records", lambda w: (lambda arn: (asked_for(w, arn), domains(w, arn)))(request(w)), lambda r: [one["ActiveValidationConfiguration"]["ValidationChallenge"]["DnsValidationChallenge"]["ResourceRecord"] for one in r[1]] == r[0] and r[1][0]["ActiveValidationConfiguration"]["ValidationStatus"] == "PENDING_VALIDATION"),
    ("domains with their mails", lambda w: domains(w, request(w, ValidationMethod="EMAIL"))[0]["ActiveValidationConfiguration"]["ValidationChallenge"]["EmailValidationChallenge"], lambda r: f"admin@{r['ValidationDomain']}" in r["ValidationEmails"] and len(r["ValidationEmails"]) == 5),
    ("an imported one has no domains", lambda w: domains(w, w.import_certificate()), lambda r: r == []),
    ("domains in pages", paged_domains, lambda r: [len(page) for page in r[0]] == [2, 1] and sorted(sum(r[0], [])) == sorted(r[1])),
    ("domains of what is absent", lambda w: domains(w, ABSENT), Fails("ResourceNotFoundException")),
    ("domains of a wrong ARN", lambda w: domains(w, WRONG_ARN), Fails("InvalidArgsException")),
    ("a page without domains", lambda w: domains(w, ABSENT, MaxItems=0), Fails("ValidationException", "maxItems")),
]


@pytest.mark.parametrize("row", OPTIONS, ids=ids(OPTIONS))
def test_options(row, world):
    run(row, world)


def in_private(w):
    """Records of a private hosted zone are nobody's outside of its VPC; the most specific public one has the name."""
    domain, found = f"{w.name()}.example.net", []
    arn = request(w, DomainName=f"a.{domain}")
    for more in ({"VPC": {"VPCRegion": "us-east-1", "VPCId": w.vpc}, "HostedZoneConfig": {"PrivateZone": True}}, {}):
        made = w.dns.create_hosted_zone(Name=domain, CallerReference=w.name(), **more)["HostedZone"]["Id"]
        record(w, asked_for(w, arn), within=made)
        found.append(described(w, arn)["Status"])
    return found


def resent(w, to="example.com", about=None, **more):
    arn = request(w, **({"ValidationMethod": "EMAIL"} | more))
    w.acm.resend_validation_email(CertificateArn=arn, Domain=about or described(w, arn)["DomainName"], ValidationDomain=to)
    return described(w, arn)["DomainValidationOptions"][0]


def http_validated(w):
    return described(w, request(w, ValidationMethod="HTTP", ManagedBy="CLOUDFRONT"))


def configured(w):
    """The account's days, and back; a token counts once."""
    get = lambda: w.acm.get_account_configuration()["ExpiryEvents"]["DaysBeforeExpiry"]
    put = lambda days, token: w.acm.put_account_configuration(ExpiryEvents={"DaysBeforeExpiry": days}, IdempotencyToken=token)
    before, token = get(), w.prefix + "_a"
    put(30, token)
    first = get()
    put(10, token)
    again = get()
    put(before, w.prefix + "_b")
    return before, first, again, get()


VALIDATION = [
    ("records in Route 53 issue it", lambda w: described(w, proven(w, SubjectAlternativeNames=["*.wide.example.com"])), lambda c: (c["Status"], {o["ValidationStatus"] for o in c["DomainValidationOptions"]}) == ("ISSUED", {"SUCCESS"}) and c["DomainValidationOptions"][0]["ResourceRecord"]["Type"] == "CNAME"),
    ("a name is proven once for the account", pending_twice, lambda r: r == "ISSUED"),
    ("a wildcard has its domain's record", lambda w: (lambda n: asked_for(w, request(w, DomainName=n, SubjectAlternativeNames=[f"*.{n}"])))(name(w)), lambda r: len(r) == 2 and r[0] == r[1]),
    ("some of the records are not enough", lambda w: (lambda arn: (record(w, asked_for(w, arn)[:1]), described(w, arn)["Status"]))(request(w, SubjectAlternativeNames=[name(w)]))[1], lambda r: r == "PENDING_VALIDATION"),
    ("another value does not prove anything", lambda w: (lambda arn: (record(w, [asked_for(w, arn)[0] | {"Value": "x.acm-validations.aws."}]), described(w, arn)["Status"]))(request(w))[1], lambda r: r == "PENDING_VALIDATION"),
    ("a private zone does not prove anything", in_private, lambda r: r == ["PENDING_VALIDATION", "ISSUED"]),
    ("mails to the name", lambda w: described(w, request(w, ValidationMethod="EMAIL"))["DomainValidationOptions"][0], lambda o: set(o["ValidationEmails"]) == {f"{who}@{o['DomainName']}" for who in ("admin", "administrator", "hostmaster", "postmaster", "webmaster")}),
    ("mails to a superdomain", lambda w: (lambda n: described(w, request(w, DomainName=n, ValidationMethod="EMAIL", DomainValidationOptions=[{"DomainName": n, "ValidationDomain": "example.com"}])))(name(w))["DomainValidationOptions"][0], lambda o: o["ValidationDomain"] == "example.com" and "admin@example.com" in o["ValidationEmails"]),
    ("mails about a wildcard", lambda w: described(w, request(w, DomainName=f"*.{name(w)}", ValidationMethod="EMAIL"))["DomainValidationOptions"][0], lambda o: o["ValidationEmails"][0] == "admin@" + o["DomainName"].removeprefix("*.")),
    ("a mail again, to a superdomain", resent, lambda o: o["ValidationDomain"] == "example.com" and "webmaster@example.com" in o["ValidationEmails"]),
    ("a mail again, to a stranger", lambda w: resent(w, "example.org"), Fails("InvalidDomainValidationOptionsException", "superdomain")),
    ("a mail again, to a part of a label", lambda w: resent(w, "ample.com"), Fails("InvalidDomainValidationOptionsException", "superdomain")),
    ("a mail again, about another name", lambda w: resent(w, about="other.example.com"), Fails("InvalidDomainValidationOptionsException", "other.example.com")),
    ("a mail again, where there is none", lambda w: resent(w, ValidationMethod="DNS"), Fails("InvalidStateException", "email")),
    ("a mail again, when it was answered", lambda w: w.acm.resend_validation_email(CertificateArn=(arn := by_mail(w)), Domain=described(w, arn)["DomainName"], ValidationDomain="example.com"), Fails("InvalidStateException", "validation")),
    ("a mail again, about no name", lambda w: resent(w, about="a b"), Fails("ValidationException", "domain")),
    ("a mail again, about what is absent", lambda w: w.acm.resend_validation_email(CertificateArn=ABSENT, Domain="a.example.com", ValidationDomain="example.com"), Fails("ResourceNotFoundException")),
    ("a mail again, about a wrong ARN", lambda w: w.acm.resend_validation_email(CertificateArn=WRONG_ARN, Domain="a.example.com", ValidationDomain="example.com"), Fails("InvalidArnException")),
    ("a mail again, nowhere", lambda w: w.acm.resend_validation_email(CertificateArn=ABSENT, Domain="a.example.com"), Fails("ValidationException", "validationDomain")),
    ("CloudFront's way", http_validated, lambda c: c["ManagedBy"] == "CLOUDFRONT" and c["DomainValidationOptions"][0]["HttpRedirect"]["RedirectFrom"].startswith(f"http://{c['DomainName']}/.well-known/pki-validation/")),
    ("HTTP without CloudFront", lambda w: request(w, ValidationMethod="HTTP"), Fails("ValidationException", "CLOUDFRONT")),
    ("managed by another", lambda w: request(w, ManagedBy="ME"), Fails("ValidationException", "managedBy")),
    ("a long first name", lambda w: request(w, DomainName=f"{'a' * 60}.example.com"), Fails("InvalidDomainValidationOptionsException", "64 characters")),
    ("a strange token", lambda w: request(w, IdempotencyToken="a-b"), Fails("ValidationException", "idempotencyToken")),
    ("the account's days", configured, lambda r: r == (45, 30, 30, 45)),
    ("no days at all", lambda w: w.acm.put_account_configuration(ExpiryEvents={"DaysBeforeExpiry": 0}, IdempotencyToken="a"), Fails("ValidationException", "daysBeforeExpiry")),
    ("days without a token", lambda w: w.acm.put_account_configuration(ExpiryEvents={"DaysBeforeExpiry": 1}), Fails("ValidationException", "idempotencyToken")),
    ("days with a long token", lambda w: w.acm.put_account_configuration(IdempotencyToken="a" * 33), Fails("ValidationException", "idempotencyToken")),
]


@pytest.mark.parametrize("row", VALIDATION, ids=ids(VALIDATION))
def test_validation(row, world):
    run(row, world)


def some(w):
    """A few certificates of all kinds, once, by what they are."""
    if not hasattr(w, "searched"):
        of = lambda what: f"{w.name()}.{what}.example.com"
        ending = pair(of("ending"), "second.example.org", end=2 * DAY, purposes=SERVER)
        w.searched = {
            "imported": w.import_certificate(pair(of("imported"), kind="RSA_2048")),
            "ending": w.import_certificate(ending),
            "pending": request(w, DomainName=of("pending")),
            "exported": exported(w, DomainName=of("exported")),
            "revoked": revoked(w),
            "renewed": renewed(w, exported(w))[1]["CertificateArn"],
            "mailed": request(w, DomainName=of("mailed"), ValidationMethod="EMAIL"),
            "front": http_validated(w)["CertificateArn"],
            "used": w.import_certificate(),
        }
        w.https(w.searched["used"])
    return w.searched


def search(w, statement=None, **more):
    """Which of those are found, in order."""
    known = {arn: what for what, arn in some(w).items()}
    arguments = more | ({"FilterStatement": statement} if statement else {})
    pages = w.acm.get_paginator("search_certificates").paginate(**arguments)
    return [known[one["CertificateArn"]] for page in pages for one in page["Results"] if one["CertificateArn"] in known]


def by(**given):
    """One filter."""
    (key, value), = given.items()
    x509_names = {"Subject", "SubjectAlternativeName", "ExtendedKeyUsage", "KeyUsage", "KeyAlgorithm", "SerialNumber", "NotAfter", "NotBefore"}
    if key == "CertificateArn":
        return {"Filter": given}
    return {"Filter": {"X509AttributeFilter" if key in x509_names else "AcmCertificateMetadataFilter": {key: value}}}


def named(value, operator="EQUALS"):
    return by(Subject={"CommonName": {"Value": value, "ComparisonOperator": operator}})


def dns(value, operator="EQUALS"):
    return by(SubjectAlternativeName={"DnsName": {"Value": value, "ComparisonOperator": operator}})


def attributes(w):
    found = w.acm.search_certificates(FilterStatement=by(CertificateArn=some(w)["ending"]))["Results"]
    return found[0]


def all_names(w):
    """A certificate with every kind of name."""
    names = [x509.RFC822Name("a@example.com"), x509.UniformResourceIdentifier("https://example.com/a"), x509.IPAddress(ipaddress.ip_address("192.0.2.1")),
             x509.DirectoryName(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "D"), x509.NameAttribute(x509.NameOID.TITLE, "T")])),
             x509.RegisteredID(x509.ObjectIdentifier("1.2.3.4")), x509.OtherName(x509.ObjectIdentifier("1.2.3.5"), b"\x0c\x01o"), x509.DNSName(name(w))]
    made = pair(name(w), others=names, subject=[(x509.NameOID.DOMAIN_COMPONENT, "org"), (x509.NameOID.DOMAIN_COMPONENT, "me"), (x509.NameOID.SURNAME, "S"), (x509.NameOID.USER_ID, "u")])
    arn = w.import_certificate(made)
    return w.acm.search_certificates(FilterStatement=by(CertificateArn=arn))["Results"][0]["X509Attributes"]


def newest(w, by_what, order):
    found = search(w, SortBy=by_what, SortOrder=order)
    return [one for one in found if one in ("imported", "ending", "pending")]


SEARCH = [
    ("everything, whatever its key", lambda w: set(search(w)), lambda r: len(r) == 9),
    ("by ARN", lambda w: search(w, by(CertificateArn=some(w)["pending"])), lambda r: r == ["pending"]),
    ("by its common name", lambda w: search(w, named(described(w, some(w)["ending"])["DomainName"].upper())), lambda r: r == ["ending"]),
    ("by a part of its common name", lambda w: set(search(w, {"And": [named(".exported.", "CONTAINS"), named(w.prefix, "CONTAINS")]})), lambda r: r == {"exported"}),
    ("by one of its names", lambda w: search(w, dns("second.example.org")), lambda r: r == ["ending"]),
    ("by a part of its names", lambda w: set(search(w, dns(".mailed.", "CONTAINS"))), lambda r: r == {"mailed"}),
    ("by purpose", lambda w: search(w, {"And": [by(ExtendedKeyUsage="TLS_WEB_SERVER_AUTHENTICATION"), by(Type="IMPORTED")]}), lambda r: r == ["ending"]),
    ("without a purpose", lambda w: set(search(w, by(ExtendedKeyUsage="NONE"))), lambda r: r == {"imported", "used"}),
    ("by key usage", lambda w: set(search(w, by(KeyUsage="DIGITAL_SIGNATURE"))), lambda r: r == {"exported", "revoked", "renewed"}),
    ("by key algorithm", lambda w: search(w, by(KeyAlgorithm="RSA_2048")), lambda r: r == ["imported"]),
    ("by serial number", lambda w: search(w, by(SerialNumber=described(w, some(w)["exported"])["Serial"])), lambda r: r == ["exported"]),
    ("by the end of its validity", lambda w: search(w, by(NotAfter={"Start": NOW, "End": NOW + 3 * DAY})), lambda r: r == ["ending"]),
    ("by the beginning of its validity", lambda w: search(w, by(NotBefore={"Start": NOW + DAY})), lambda r: r == []),
    ("by status", lambda w: set(search(w, by(Status="PENDING_VALIDATION"))), lambda r: r == {"pending", "mailed", "front"}),
    ("what is revoked", lambda w: search(w, by(Status="REVOKED")), lambda r: r == ["revoked"]),
    ("by renewal status", lambda w: search(w, by(RenewalStatus="SUCCESS")), lambda r: r == ["renewed"]),
    ("by type", lambda w: set(search(w, by(Type="IMPORTED"))), lambda r: r == {"imported", "ending", "used"}),
    ("what is used", lambda w: search(w, by(InUse=True)), lambda r: r == ["used"]),
    ("what was exported", lambda w: set(search(w, by(Exported=True))), lambda r: r == {"exported", "revoked", "renewed"}),
    ("by the export option", lambda w: set(search(w, by(ExportOption="ENABLED"))), lambda r: r == {"exported", "revoked", "renewed"}),
    ("by who manages it", lambda w: search(w, by(ManagedBy="CLOUDFRONT"))[-1:], lambda r: r == ["front"]),
    ("by validation method", lambda w: set(search(w, by(ValidationMethod="EMAIL"))), lambda r: r == {"mailed"}),
    ("by where its key is from", lambda w: set(search(w, by(CertificateKeyPairOrigin="CUSTOMER_PROVIDED"))), lambda r: r == {"imported", "ending", "used"}),
    ("not", lambda w: set(search(w, {"And": [{"Not": by(Status="ISSUED")}, {"Not": by(Status="REVOKED")}]})), lambda r: r == {"pending", "mailed", "front"}),
    ("or", lambda w: set(search(w, {"Or": [by(KeyAlgorithm="RSA_2048"), by(InUse=True)]})), lambda r: r == {"imported", "used"}),
    ("in pages", lambda w: (search(w, PaginationConfig={"PageSize": 2}), search(w)), lambda r: r[0] == r[1]),
    ("sorted by time", lambda w: newest(w, "CREATED_AT", "ASCENDING"), lambda r: r == ["imported", "ending", "pending"]),
    ("sorted the other way", lambda w: newest(w, "CREATED_AT", "DESCENDING"), lambda r: r == ["pending", "ending", "imported"]),
    ("sorted by the end of its validity", lambda w: newest(w, "NOT_AFTER", "ASCENDING"), lambda r: r == ["pending", "ending", "imported"]),
    ("sorted in pages", lambda w: (search(w, SortBy="STATUS", SortOrder="DESCENDING", PaginationConfig={"PageSize": 1}), search(w, SortBy="STATUS", SortOrder="DESCENDING")), lambda r: r[0] == r[1] and r[0][0] == "revoked"),
    ("what it says", lambda w: attributes(w)["X509Attributes"], lambda a: (a["Subject"], a["KeyAlgorithm"], a["ExtendedKeyUsages"], a["SubjectAlternativeNames"][1]) == ({"CommonName": a["SubjectAlternativeNames"][0]["DnsName"], "Organization": "Test"}, "EC_prime256v1", ["TLS_WEB_SERVER_AUTHENTICATION"], {"DnsName": "second.example.org"})),
    ("what ACM knows of it", lambda w: attributes(w)["CertificateMetadata"]["AcmCertificateMetadata"], lambda m: (m["Status"], m["Type"], m["InUse"], m["CertificateKeyPairOrigin"]) == ("ISSUED", "IMPORTED", False, "CUSTOMER_PROVIDED") and isinstance(m["ImportedAt"], datetime.datetime)),
    ("all kinds of names", all_names, lambda a: a["SubjectAlternativeNames"] == [{"Rfc822Name": "a@example.com"}, {"UniformResourceIdentifier": "https://example.com/a"}, {"IpAddress": "192.0.2.1"}, {"DirectoryName": {"CommonName": "D", "Title": "T"}}, {"RegisteredId": "1.2.3.4"}, {"OtherName": {"ObjectIdentifier": "1.2.3.5", "Value": "o"}}, a["SubjectAlternativeNames"][6]] and (a["Subject"]["DomainComponents"], a["Subject"]["Surname"], a["Subject"]["CustomAttributes"]) == (["org", "me"], "S", [{"ObjectIdentifier": "0.9.2342.19200300.100.1.1", "Value": "u"}])),
    ("list shows what was revoked", lambda w: (some(w), [c for c in w.acm.list_certificates(CertificateStatuses=["REVOKED"], Includes={"keyTypes": ["EC_prime256v1"]})["CertificateSummaryList"]]), lambda r: all("RevokedAt" in c and c["Exported"] for c in r[1]) and r[0]["revoked"] in {c["CertificateArn"] for c in r[1]}),
    ("list by export option", lambda w: (some(w), {c["CertificateArn"] for c in w.acm.list_certificates(Includes={"keyTypes": ["EC_prime256v1"], "exportOption": "ENABLED"})["CertificateSummaryList"]}), lambda r: r[0]["exported"] in r[1] and r[0]["pending"] not in r[1]),
    ("list by key origin", lambda w: (some(w), {c["CertificateArn"] for c in w.acm.list_certificates(CertificateKeyPairOrigins=["CUSTOMER_PROVIDED"])["CertificateSummaryList"]}), lambda r: r[0]["imported"] in r[1]),
    ("list by a strange key origin", lambda w: w.acm.list_certificates(CertificateKeyPairOrigins=["MINE"]), Fails("ValidationException", "certificateKeyPairOrigins")),
    ("an empty statement", lambda w: w.acm.search_certificates(FilterStatement={}), Fails("ValidationException", "filterStatement")),
    ("two members of a union", lambda w: w.acm.search_certificates(FilterStatement={"Not": named("a"), "Filter": named("a")["Filter"]}), Fails("ValidationException", "Exactly one member")),
    ("an empty filter", lambda w: w.acm.search_certificates(FilterStatement={"Filter": {}}), Fails("ValidationException", "filter")),
    ("two filters in one", lambda w: w.acm.search_certificates(FilterStatement=by(Status="ISSUED") | {"Filter": {"AcmCertificateMetadataFilter": {"Status": "ISSUED", "InUse": True}}}), Fails("ValidationException", "acmCertificateMetadataFilter")),
    ("nothing joined", lambda w: w.acm.search_certificates(FilterStatement={"And": []}), Fails("ValidationException", "filterStatement.and")),
    ("too much joined", lambda w: w.acm.search_certificates(FilterStatement={"Or": [named("a")] * 16}), Fails("ValidationException", "filterStatement.or")),
    ("a wrong filter within", lambda w: w.acm.search_certificates(FilterStatement={"Not": {"And": [by(Status="GONE")]}}), Fails("ValidationException", "status")),
    ("a strange comparison", lambda w: w.acm.search_certificates(FilterStatement=named("a", "LIKE")), Fails("ValidationException", "comparisonOperator")),
    ("no comparison", lambda w: w.acm.search_certificates(FilterStatement=by(Subject={"CommonName": {"Value": "a"}})), Fails("ValidationException", "comparisonOperator")),
    ("a strange serial number", lambda w: w.acm.search_certificates(FilterStatement=by(SerialNumber="AB")), Fails("ValidationException", "serialNumber")),
    ("a strange purpose", lambda w: w.acm.search_certificates(FilterStatement=by(ExtendedKeyUsage="FUN")), Fails("ValidationException", "extendedKeyUsage")),
    ("an account id that is too short", lambda w: w.acm.search_certificates(FilterStatement=by(AcmeAccountId="a")), Fails("ValidationException", "acmeAccountId")),
    ("a page without results", lambda w: w.acm.search_certificates(MaxResults=0), Fails("ValidationException", "maxResults")),
    ("a page that is too long", lambda w: w.acm.search_certificates(MaxResults=501), Fails("ValidationException", "maxResults")),
    ("a foreign token", lambda w: w.acm.search_certificates(NextToken="a"), Fails("ValidationException", "NextToken")),
    ("sorted by nothing known", lambda w: w.acm.search_certificates(SortBy="COLOUR"), Fails("ValidationException", "sortBy")),
    ("sorted in a strange order", lambda w: w.acm.search_certificates(SortBy="STATUS", SortOrder="RANDOM"), Fails("ValidationException", "sortOrder")),
]


@pytest.mark.parametrize("row", SEARCH, ids=ids(SEARCH))
def test_search(row, world):
    run(row, world)


def test_passphrases_and_keys_are_in_no_log(world):
    """Neither what came in nor what went out."""
    arn = proven(world, **EXPORTABLE)
    found = export(world, arn)["PrivateKey"]
    call = next(call for call in reversed(admin("log?last=50")[1]) if call["operation"] == "ExportCertificate")
    assert call["parameters"]["Passphrase"] == "(redacted)"
    for place in ("log?last=50", "state", "certificates", "inventory"):
        assert found.splitlines()[1] not in str(admin(place)[1]), place
