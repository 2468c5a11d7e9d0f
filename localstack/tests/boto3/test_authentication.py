"""Actions that ask who a client is. Sources: ELBv2 API reference; user guide, "Authenticate users", "Verify JWTs"."""

import http.client
import ssl

import pytest

from cloud import COGNITO, FIXED, HTTP80, JWT, OIDC, Fails, admin, eventually, ids, path, run

CONFIGS = {"authenticate-oidc": "AuthenticateOidcConfig", "authenticate-cognito": "AuthenticateCognitoConfig", "jwt-validation": "JwtValidationConfig"}


def asking(kind, config, **more):
    return {"Type": kind, CONFIGS[kind]: {key: value for key, value in config.items() if value is not None}} | more


def https(w):
    """The ARN of one HTTPS listener for all rows."""
    if not hasattr(w, "asking"):
        w.asking = w.https()["ListenerArn"]
    return w.asking


def rule(w, *actions, listener=None):
    """A rule of an HTTPS listener with these actions before a fixed response; its actions."""
    listener = listener or https(w)
    return w.create_rule(listener=listener, actions=[*actions, *FIXED])["Actions"]


def oidc(w, **more):
    return rule(w, asking("authenticate-oidc", OIDC | more))[0]["AuthenticateOidcConfig"]


def cognito(w, **more):
    return rule(w, asking("authenticate-cognito", COGNITO | more))[0]["AuthenticateCognitoConfig"]


def jwt(w, **more):
    return rule(w, asking("jwt-validation", JWT | more))[0]["JwtValidationConfig"]


def claim(w, **more):
    return jwt(w, AdditionalClaims=[{"Format": "single-string", "Name": "a", "Values": ["b"]} | more])["AdditionalClaims"]


def secret_stays(w, first=OIDC):
    listener = https(w)
    arn = w.new_rule(listener=listener, actions=[asking("authenticate-oidc", first), *FIXED] if first else FIXED)
    again = asking("authenticate-oidc", OIDC | {"ClientSecret": None, "UseExistingClientSecret": True, "ClientId": "you"})
    return w.elb.modify_rule(RuleArn=arn, Actions=[again, *FIXED])["Rules"][0]["Actions"][0]["AuthenticateOidcConfig"]["ClientId"]


def default(w):
    return w.https(actions=[asking("jwt-validation", JWT), *FIXED])["DefaultActions"]


def before_grpc(w):
    group = w.new_group(ProtocolVersion="GRPC")
    forward = {"Type": "forward", "TargetGroupArn": group}
    return w.create_rule(listener=https(w), actions=[asking("jwt-validation", JWT), forward])


ASK = asking("jwt-validation", JWT)
ROWS = [
    ("OIDC gets defaults", oidc, lambda r: (r["Scope"], r["SessionCookieName"], r["SessionTimeout"], r["OnUnauthenticatedRequest"]) == ("openid", "AWSELBAuthSessionCookie", 604800, "authenticate")),
    ("OIDC never tells the secret", oidc, lambda r: "ClientSecret" not in r and "secret" not in str(r)),
    ("OIDC with all that there is", lambda w: oidc(w, Scope="email", SessionTimeout=60, OnUnauthenticatedRequest="deny", AuthenticationRequestExtraParams={"prompt": "login"}), lambda r: (r["SessionTimeout"], r["AuthenticationRequestExtraParams"]) == (60, {"prompt": "login"})),
    ("OIDC without a secret", lambda w: oidc(w, ClientSecret=None), Fails("ValidationError", "ClientSecret")),
    ("OIDC with a secret that is not there", lambda w: oidc(w, ClientSecret=None, UseExistingClientSecret=True), Fails("ValidationError", "UseExistingClientSecret")),
    ("OIDC with two secrets", lambda w: oidc(w, UseExistingClientSecret=True), Fails("ValidationError", "UseExistingClientSecret")),
    ("OIDC keeps its secret", secret_stays, lambda r: r == "you"),
    ("OIDC keeps a secret that it has not", lambda w: secret_stays(w, None), Fails("ValidationError", "UseExistingClientSecret")),
    ("OIDC over HTTP", lambda w: oidc(w, TokenEndpoint="http://idp.example.com/token"), Fails("ValidationError", "TokenEndpoint")),
    ("OIDC without an issuer", lambda w: oidc(w, Issuer=None), Fails("ValidationError", "issuer")),
    ("a session of eight days", lambda w: oidc(w, SessionTimeout=691200), Fails("ValidationError", "sessionTimeout")),
    ("an unknown behaviour", lambda w: oidc(w, OnUnauthenticatedRequest="maybe"), Fails("ValidationError", "onUnauthenticatedRequest")),
    ("eleven parameters", lambda w: oidc(w, AuthenticationRequestExtraParams={str(n): "x" for n in range(11)}), Fails("ValidationError", "AuthenticationRequestExtraParams")),
    ("Cognito gets defaults", cognito, lambda r: (r["UserPoolDomain"], r["Scope"]) == ("mine", "openid")),
    ("Cognito with a parameter", lambda w: cognito(w, AuthenticationRequestExtraParams={"lang": "en"}), lambda r: r["AuthenticationRequestExtraParams"] == {"lang": "en"}),
    ("Cognito without a pool", lambda w: cognito(w, UserPoolArn="x"), Fails("ValidationError", "UserPoolArn")),
    ("Cognito without a domain", lambda w: cognito(w, UserPoolDomain=None), Fails("ValidationError", "userPoolDomain")),
    ("JWT", jwt, lambda r: r == JWT),
    ("JWT with a claim", claim, lambda r: r == [{"Format": "single-string", "Name": "a", "Values": ["b"]}]),
    ("JWT with what is validated anyway", lambda w: claim(w, Name="exp"), Fails("ValidationError", "exp")),
    ("JWT with a claim in another format", lambda w: claim(w, Format="xml"), Fails("ValidationError", "format")),
    ("JWT with spaces between values", lambda w: claim(w, Format="space-separated-values", Values=["a b"]), Fails("ValidationError", "spaces")),
    ("JWT with eleven values", lambda w: claim(w, Values=[str(n) for n in range(11)]), Fails("ValidationError", "10")),
    ("JWT with eleven claims", lambda w: jwt(w, AdditionalClaims=[{"Format": "single-string", "Name": str(n), "Values": ["b"]} for n in range(11)]), Fails("ValidationError", "10")),
    ("JWT with a long issuer", lambda w: jwt(w, Issuer="x" * 257), Fails("ValidationError", "256")),
    ("JWT without keys", lambda w: jwt(w, JwksEndpoint=None), Fails("ValidationError", "jwksEndpoint")),
    ("as a default action, in order", default, lambda r: [(a["Type"], a["Order"]) for a in r] == [("jwt-validation", 1), ("fixed-response", 2)]),
    ("in the order that is told", lambda w: w.create_rule(listener=https(w), actions=[FIXED[0] | {"Order": 9}, ASK | {"Order": 3}]), lambda r: [(a["Type"], a["Order"]) for a in r["Actions"]] == [("jwt-validation", 3), ("fixed-response", 9)]),
    ("and nothing then", lambda w: w.create_rule(listener=https(w), actions=[ASK]), Fails("InvalidLoadBalancerAction", "exactly one action")),
    ("after what serves", lambda w: w.create_rule(listener=https(w), actions=[FIXED[0] | {"Order": 1}, ASK | {"Order": 2}]), Fails("InvalidLoadBalancerAction", "must be the last one")),
    ("two that ask", lambda w: rule(w, ASK, asking("authenticate-oidc", OIDC)), Fails("InvalidLoadBalancerAction", "only one action")),
    ("two that serve", lambda w: rule(w, *FIXED), Fails("InvalidLoadBalancerAction", "exactly one action")),
    ("two in one place", lambda w: w.create_rule(listener=https(w), actions=[ASK | {"Order": 1}, FIXED[0] | {"Order": 1}]), Fails("ValidationError", "same order")),
    ("before gRPC", before_grpc, Fails("InvalidLoadBalancerAction", "protocol version")),
    ("over HTTP", lambda w: rule(w, ASK, listener=w.listener), Fails("InvalidLoadBalancerAction", "only on HTTPS listeners")),
    ("with the configuration of another", lambda w: rule(w, ASK | {"AuthenticateOidcConfig": OIDC}), Fails("ValidationError", "AuthenticateOidcConfig")),
    ("without a configuration", lambda w: rule(w, {"Type": "jwt-validation"}), Fails("ValidationError", "JwtValidationConfig")),
]


@pytest.mark.parametrize("row", ROWS, ids=ids(ROWS))
def test_authentication(row, world):
    run(row, world)


def ask(listener, where):
    """Status and location of the answer to a request."""
    row = next(row for row in admin("listeners")[1] if row["listener"] == listener)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection(row["address"], row["bound"], context=context, timeout=20)
    try:
        connection.request("GET", where, headers={"Host": "a.example"})
        response = connection.getresponse()
        return response.status, response.getheader("Location")
    finally:
        connection.close()


def test_who_has_not_proven_it(world):
    """What unauthenticated clients get."""
    w = world
    group = w.group()
    w.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[HTTP80[0] | {"IpProtocol": "-1"}])
    listener = w.https(balancer=w.balancer(SecurityGroups=[group]), actions=[ASK, *FIXED])["ListenerArn"]
    w.create_rule(listener=listener, conditions=path("/in"), actions=[asking("authenticate-oidc", OIDC), *FIXED])
    for behaviour in ("allow", "deny"):
        w.create_rule(listener=listener, conditions=path(f"/{behaviour}"), actions=[asking("authenticate-cognito", COGNITO | {"OnUnauthenticatedRequest": behaviour}), *FIXED])
    assert eventually(lambda: ask(listener, "/"), "the listener serves")[0] == 401
    assert (ask(listener, "/allow")[0], ask(listener, "/deny")[0]) == (404, 401)
    status, location = ask(listener, "/in")
    assert status == 302 and location.startswith("https://idp.example.com/authorize?client_id=me&redirect_uri=https%3A%2F%2Fa.example"), location
