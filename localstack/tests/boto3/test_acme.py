"""ACM's ACME endpoints, their domain validations and external account bindings, and tags of them. Sources: ACM API reference (the operation's own page unless another is
named) and user guide ("ACME endpoints", "ACME domain validation", "External account bindings")."""

import pytest

from cloud import Fails, anything, ids, run
from test_acm import record, zone
from test_certificates import ABSENT as CERTIFICATE
from test_certificates import name

NOWHERE = "arn:aws:acm:us-east-1:000000000000:acme-endpoint/00000000-0000-0000-0000-000000000000"
ROLE = "arn:aws:iam::000000000000:role/AcmeClientRole"
PUBLIC = {"PublicCertificateAuthority": {}}


def make(w, **more):
    return w.acm.create_acme_endpoint(**({"AuthorizationBehavior": "PRE_APPROVED", "CertificateAuthority": PUBLIC} | more))["AcmeEndpointArn"]


def endpoint(w):
    """One that all rows look at."""
    if not hasattr(w, "acme"):
        w.acme = make(w)
    return w.acme


def told(w, arn):
    return w.acm.describe_acme_endpoint(AcmeEndpointArn=arn)["AcmeEndpoint"]


def changed(w, **more):
    arn = make(w, Contact="REQUIRED")
    w.acm.update_acme_endpoint(AcmeEndpointArn=arn, **more)
    return told(w, arn)


def pages(w, method, member, **more):
    call, found, token = getattr(w.acm, method), [], {}
    for _ in range(1000):
        page = call(MaxResults=1, **more, **token)
        found += page[member]
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    return found, call(**more)[member]


def deleted(w):
    """An endpoint goes with all that it has, and a second time."""
    arn = make(w)
    validation, one = validate(w, arn=arn)["AcmeDomainValidationArn"], bind(w, arn=arn)["AcmeExternalAccountBindingArn"]
    w.acm.delete_acme_endpoint(AcmeEndpointArn=arn)
    w.acm.delete_acme_endpoint(AcmeEndpointArn=arn)
    for call in (lambda: told(w, arn), lambda: seen(w, validation), lambda: w.acm.describe_acme_external_account_binding(AcmeExternalAccountBindingArn=one)):
        with pytest.raises(w.acm.exceptions.ResourceNotFoundException):
            call()
    return True


ENDPOINTS = [
    ("an endpoint", lambda w: told(w, make(w, Contact="REQUIRED", CertificateTags=[{"Key": "a", "Value": "b"}], CertificateAuthority={"PublicCertificateAuthority": {"AllowedKeyAlgorithms": ["RSA_2048"]}})), lambda e: (e["Status"], e["AuthorizationBehavior"], e["Contact"], e["CertificateTags"], e["CertificateAuthority"]) == ("ACTIVE", "PRE_APPROVED", "REQUIRED", [{"Key": "a", "Value": "b"}], {"PublicCertificateAuthority": {"AllowedKeyAlgorithms": ["RSA_2048"]}})),
    ("its URL", lambda w: (lambda arn: (told(w, arn)["EndpointUrl"], arn.rsplit("/", 1)[1]))(make(w)), lambda r: r[0] == f"https://acm-acme-enroll.us-east-1.api.aws/{r[1]}/directory"),
    ("contact is not required by itself (assumed)", lambda w: told(w, make(w))["Contact"], lambda r: r == "NOT_REQUIRED"),
    ("no behavior", lambda w: w.acm.create_acme_endpoint(CertificateAuthority=PUBLIC), Fails("ValidationException", "authorizationBehavior")),
    ("a strange behavior", lambda w: make(w, AuthorizationBehavior="LENIENT"), Fails("ValidationException", "authorizationBehavior")),
    ("no authority", lambda w: w.acm.create_acme_endpoint(AuthorizationBehavior="PRE_APPROVED"), Fails("ValidationException", "certificateAuthority")),
    ("an empty authority", lambda w: make(w, CertificateAuthority={}), Fails("ValidationException", "PublicCertificateAuthority")),
    ("a strange key algorithm", lambda w: make(w, CertificateAuthority={"PublicCertificateAuthority": {"AllowedKeyAlgorithms": ["RSA_1024"]}}), Fails("ValidationException", "allowedKeyAlgorithms")),
    ("a strange contact", lambda w: make(w, Contact="MAYBE"), Fails("ValidationException", "contact")),
    ("the same token", lambda w: [make(w, IdempotencyToken=w.prefix) for _ in range(2)], lambda r: r[0] == r[1]),
    ("the same token for something else (assumed)", lambda w: (make(w, IdempotencyToken=w.prefix + "x"), make(w, IdempotencyToken=w.prefix + "x", Contact="REQUIRED")), Fails("ConflictException", "IdempotencyToken")),
    ("another contact", lambda w: changed(w, Contact="NOT_REQUIRED"), lambda e: e["Contact"] == "NOT_REQUIRED" and e["UpdatedAt"] > e["CreatedAt"]),
    ("other algorithms, the same contact", lambda w: changed(w, CertificateAuthority={"PublicCertificateAuthority": {"AllowedKeyAlgorithms": ["EC_secp384r1"]}}), lambda e: (e["Contact"], e["CertificateAuthority"]["PublicCertificateAuthority"]["AllowedKeyAlgorithms"]) == ("REQUIRED", ["EC_secp384r1"])),
    ("a strange change", lambda w: changed(w, Contact="MAYBE"), Fails("ValidationException", "contact")),
    ("a change of what is absent", lambda w: w.acm.update_acme_endpoint(AcmeEndpointArn=NOWHERE, Contact="REQUIRED"), Fails("ResourceNotFoundException")),
    ("what is absent", lambda w: told(w, NOWHERE), Fails("ResourceNotFoundException")),
    ("the ARN of a certificate", lambda w: told(w, CERTIFICATE), Fails("ValidationException", "AcmeEndpointArn")),
    ("endpoints in pages", lambda w: (make(w), pages(w, "list_acme_endpoints", "AcmeEndpoints"))[1], lambda r: r[0] == r[1] and len(r[0]) > 1),
    ("a page that is too long", lambda w: w.acm.list_acme_endpoints(MaxResults=101), Fails("ValidationException", "maxResults")),
    ("deleted, with all that it has", deleted, bool),
    ("no accounts", lambda w: w.acm.list_acme_accounts(AcmeEndpointArn=endpoint(w))["AcmeAccounts"], lambda r: r == []),
    ("accounts of what is absent", lambda w: w.acm.list_acme_accounts(AcmeEndpointArn=NOWHERE), Fails("ResourceNotFoundException")),
    ("an account that is absent", lambda w: w.acm.describe_acme_account(AcmeEndpointArn=endpoint(w), AccountUrl="https://example.com/1"), Fails("ResourceNotFoundException")),
    ("an absent account revoked", lambda w: w.acm.revoke_acme_account(AcmeEndpointArn=endpoint(w), AccountUrl="https://example.com/1"), Fails("ResourceNotFoundException")),
    ("an account without a URL", lambda w: w.acm.describe_acme_account(AcmeEndpointArn=endpoint(w)), Fails("ValidationException", "accountUrl")),
]


@pytest.mark.parametrize("row", ENDPOINTS, ids=ids(ENDPOINTS))
def test_endpoints(row, world):
    run(row, world)


def create(w, domain=None, arn=None, dns=None, **more):
    options = {"PrevalidationOptions": {"DnsPrevalidation": {} if dns is None else dns}}
    given = {"AcmeEndpointArn": arn or endpoint(w), "DomainName": domain or name(w)} | options | more
    return w.acm.create_acme_domain_validation(**{key: value for key, value in given.items() if value is not None})["AcmeDomainValidationArn"]


def seen(w, arn):
    return w.acm.describe_acme_domain_validation(AcmeDomainValidationArn=arn)["AcmeDomainValidation"]


def validate(w, *args, **more):
    return seen(w, create(w, *args, **more))


def details(found):
    return found["PrevalidationDetails"]["DnsPrevalidation"]


def by_record(w):
    before = validate(w)
    record(w, [details(before)["ResourceRecord"]])
    return before["Status"], seen(w, before["AcmeDomainValidationArn"])["Status"]


def updated(w, **dns):
    arn = create(w, dns={"HostedZoneId": "ZABSENT"})
    w.acm.update_acme_domain_validation(AcmeDomainValidationArn=arn, PrevalidationOptions={"DnsPrevalidation": dns})
    return seen(w, arn)


def own_zone(w):
    return zone(w).rsplit("/", 1)[1]


def gone(w):
    arn = create(w)
    for _ in range(2):
        w.acm.delete_acme_domain_validation(AcmeDomainValidationArn=arn)
    return seen(w, arn)


SCOPE = {"ExactDomain": "ENABLED", "Subdomains": "DISABLED", "Wildcards": "ENABLED"}
VALIDATIONS = [
    ("its record validates a domain", by_record, lambda r: r == ("VALIDATING", "VALID")),
    ("ACM writes the record", lambda w: validate(w, dns={"HostedZoneId": own_zone(w)}), lambda v: (v["Status"], v["PrevalidationType"], details(v)["ResourceRecord"]["Type"]) == ("VALID", "DNS_PREVALIDATION", "CNAME")),
    ("the scope", lambda w: details(validate(w, dns={"DomainScope": SCOPE}))["DomainScope"], lambda r: r == SCOPE),
    ("each endpoint has a record of its own", lambda w: (lambda n: [details(validate(w, n, arn=arn))["ResourceRecord"]["Name"] for arn in (endpoint(w), make(w))])(name(w)), lambda r: r[0] != r[1]),
    ("an absent zone (assumed)", lambda w: validate(w, dns={"HostedZoneId": "ZABSENT"}), lambda v: (v["Status"], v["FailureDetails"]["Reason"]) == ("INVALID", "HOSTED_ZONE_NOT_FOUND")),
    ("another zone (assumed)", lambda w: validate(w, "example.org", dns={"HostedZoneId": own_zone(w)}), lambda v: (v["Status"], v["FailureDetails"]["Reason"]) == ("INVALID", "DOMAIN_MISMATCH")),
    ("with the right zone at last", lambda w: updated(w, HostedZoneId=own_zone(w)), lambda v: (v["Status"], "FailureDetails" in v) == ("VALID", False)),
    ("without a zone at last", lambda w: updated(w), lambda v: (v["Status"], "HostedZoneId" in details(v)) == ("VALIDATING", False)),
    ("a domain twice (assumed)", lambda w: (lambda n: (create(w, n), create(w, n)))(name(w)), Fails("ConflictException")),
    ("the same token", lambda w: (lambda n: [create(w, n, IdempotencyToken=n) for _ in range(2)])(name(w)), lambda r: r[0] == r[1]),
    ("no scope at all", lambda w: create(w, dns={"DomainScope": {"ExactDomain": "DISABLED"}}), Fails("ValidationException", "DomainScope")),
    ("a strange scope", lambda w: create(w, dns={"DomainScope": {"Wildcards": "SOME"}}), Fails("ValidationException", "Wildcards")),
    ("a strange zone", lambda w: create(w, dns={"HostedZoneId": "zone"}), Fails("ValidationException", "hostedZoneId")),
    ("a wildcard", lambda w: create(w, "*.example.com"), Fails("ValidationException", "domainName")),
    ("large letters", lambda w: create(w, "A.example.com"), Fails("ValidationException", "domainName")),
    ("no options", lambda w: create(w, PrevalidationOptions=None), Fails("ValidationException", "prevalidationOptions")),
    ("empty options", lambda w: create(w, PrevalidationOptions={}), Fails("ValidationException", "DnsPrevalidation")),
    ("of an absent endpoint", lambda w: create(w, arn=NOWHERE), Fails("ResourceNotFoundException")),
    ("absent", lambda w: seen(w, NOWHERE + "/acme-domain-validation/a"), Fails("ResourceNotFoundException")),
    ("absent, changed", lambda w: w.acm.update_acme_domain_validation(AcmeDomainValidationArn=NOWHERE + "/acme-domain-validation/a"), Fails("ResourceNotFoundException")),
    ("another's ARN", lambda w: seen(w, NOWHERE), Fails("ValidationException", "AcmeDomainValidationArn")),
    ("deleted twice", gone, Fails("ResourceNotFoundException")),
    ("in pages", lambda w: (create(w), create(w), pages(w, "list_acme_domain_validations", "AcmeDomainValidations", AcmeEndpointArn=endpoint(w)))[2], lambda r: r[0] == r[1] and len(r[0]) > 1),
    ("those of an absent endpoint", lambda w: w.acm.list_acme_domain_validations(AcmeEndpointArn=NOWHERE), Fails("ResourceNotFoundException")),
]


@pytest.mark.parametrize("row", VALIDATIONS, ids=ids(VALIDATIONS))
def test_domain_validations(row, world):
    run(row, world)


def bind(w, arn=None, **more):
    return w.acm.create_acme_external_account_binding(**({"AcmeEndpointArn": arn or endpoint(w), "RoleArn": ROLE} | more))["ExternalAccountBinding"]


def credentials(w, arn):
    found = w.acm.get_acme_external_account_binding_credentials(AcmeExternalAccountBindingArn=arn)
    return found["KeyId"], found["MacKey"]


def bound(w, arn):
    return w.acm.describe_acme_external_account_binding(AcmeExternalAccountBindingArn=arn)["ExternalAccountBinding"]


def revoked(w):
    arn = bind(w)["AcmeExternalAccountBindingArn"]
    for _ in range(2):
        w.acm.revoke_acme_external_account_binding(AcmeExternalAccountBindingArn=arn)
    return arn


def unbound(w):
    arn = bind(w)["AcmeExternalAccountBindingArn"]
    for _ in range(2):
        w.acm.delete_acme_external_account_binding(AcmeExternalAccountBindingArn=arn)
    return bound(w, arn)


BINDINGS = [
    ("a binding", lambda w: (lambda made: (made, bound(w, made["AcmeExternalAccountBindingArn"])))(bind(w)), lambda r: r[0] == r[1] and r[0]["RoleArn"] == ROLE and "ExpiresAt" not in r[0]),
    ("it expires", lambda w: bind(w, Expiration={"Value": 7, "Type": "DAYS"}), lambda b: (b["ExpiresAt"] - b["CreatedAt"]).days == 7),
    ("in an hour", lambda w: bind(w, Expiration={"Value": 60, "Type": "MINUTES"}), lambda b: (b["ExpiresAt"] - b["CreatedAt"]).seconds == 3600),
    ("its credentials", lambda w: (lambda arn: [credentials(w, arn) for _ in range(2)])(bind(w)["AcmeExternalAccountBindingArn"]), lambda r: r[0] == r[1] and len(r[0][1]) >= 43),
    ("revoked, once and for all", lambda w: bound(w, revoked(w)), lambda b: b["RevokedAt"] >= b["CreatedAt"]),
    ("credentials of a revoked one (assumed)", lambda w: credentials(w, revoked(w)), Fails("ValidationException", "revoked")),
    ("the same token", lambda w: [bind(w, IdempotencyToken=w.prefix)["AcmeExternalAccountBindingArn"] for _ in range(2)], lambda r: r[0] == r[1]),
    ("no role", lambda w: bind(w, RoleArn=None), Fails("ValidationException", "roleArn")),
    ("a user for a role", lambda w: bind(w, RoleArn="arn:aws:iam::000000000000:user/me"), Fails("ValidationException", "roleArn")),
    ("it expires at once", lambda w: bind(w, Expiration={"Value": 0, "Type": "DAYS"}), Fails("ValidationException", "expiration.value")),
    ("it expires in weeks", lambda w: bind(w, Expiration={"Value": 1, "Type": "WEEKS"}), Fails("ValidationException", "expiration.type")),
    ("it expires some day", lambda w: bind(w, Expiration={"Type": "DAYS"}), Fails("ValidationException", "value")),
    ("it never ends", lambda w: bind(w, Expiration={"Value": 2**62, "Type": "DAYS"}), Fails("ValidationException", "expiration")),
    ("of an absent endpoint", lambda w: bind(w, arn=NOWHERE), Fails("ResourceNotFoundException")),
    ("absent", lambda w: bound(w, NOWHERE + "/acme-external-account-binding/a"), Fails("ResourceNotFoundException")),
    ("absent credentials", lambda w: credentials(w, NOWHERE + "/acme-external-account-binding/a"), Fails("ResourceNotFoundException")),
    ("absent, revoked", lambda w: w.acm.revoke_acme_external_account_binding(AcmeExternalAccountBindingArn=NOWHERE + "/acme-external-account-binding/a"), Fails("ResourceNotFoundException")),
    ("another's ARN", lambda w: bound(w, NOWHERE + "/acme-domain-validation/a"), Fails("ValidationException", "AcmeExternalAccountBindingArn")),
    ("deleted twice", unbound, Fails("ResourceNotFoundException")),
    ("in pages", lambda w: (bind(w), bind(w), pages(w, "list_acme_external_account_bindings", "ExternalAccountBindings", AcmeEndpointArn=endpoint(w)))[2], lambda r: r[0] == r[1] and len(r[0]) > 1),
    ("those of an absent endpoint", lambda w: w.acm.list_acme_external_account_bindings(AcmeEndpointArn=NOWHERE), Fails("ResourceNotFoundException")),
]


@pytest.mark.parametrize("row", BINDINGS, ids=ids(BINDINGS))
def test_bindings(row, world):
    run(row, world)


def tags(w, arn):
    return {tag["Key"]: tag.get("Value") for tag in w.acm.list_tags_for_resource(ResourceArn=arn).get("Tags", [])}


def tagged(w, arn):
    w.acm.tag_resource(ResourceArn=arn, Tags=[{"Key": "a", "Value": "9"}, {"Key": "c", "Value": w.prefix}])
    w.acm.untag_resource(ResourceArn=arn, TagKeys=["b"])
    found = w.tagging.get_resources(TagFilters=[{"Key": "c", "Values": [w.prefix]}])["ResourceTagMappingList"]
    return tags(w, arn) == {"a": "9", "c": w.prefix} and arn in {one["ResourceARN"] for one in found}


AB = [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]
TAGS = [
    ("of an endpoint", lambda w: tagged(w, make(w, Tags=AB)), bool),
    ("of a validation", lambda w: tagged(w, create(w, Tags=AB)), bool),
    ("of a binding", lambda w: tagged(w, bind(w, Tags=AB)["AcmeExternalAccountBindingArn"]), bool),
    ("none", lambda w: tags(w, make(w)), lambda r: r == {}),
    ("of a certificate", lambda w: tags(w, CERTIFICATE), Fails("ValidationException", "resourceArn")),
    ("of what is absent", lambda w: tags(w, NOWHERE), Fails("ResourceNotFoundException")),
    ("none to add", lambda w: w.acm.tag_resource(ResourceArn=endpoint(w), Tags=[]), Fails("ValidationException", "tags")),
    ("reserved ones", lambda w: w.acm.tag_resource(ResourceArn=endpoint(w), Tags=[{"Key": "aws:a"}]), Fails("ValidationException", "aws:")),
    ("too many", lambda w: w.acm.tag_resource(ResourceArn=make(w, Tags=AB), Tags=[{"Key": str(n)} for n in range(49)]), Fails("ServiceQuotaExceededException")),
    ("none to remove", lambda w: w.acm.untag_resource(ResourceArn=endpoint(w)), Fails("ValidationException", "tagKeys")),
    ("what is not there is removed", lambda w: w.acm.untag_resource(ResourceArn=endpoint(w), TagKeys=["zzz"]), anything),
]


@pytest.mark.parametrize("row", TAGS, ids=ids(TAGS))
def test_tags(row, world):
    run(row, world)
