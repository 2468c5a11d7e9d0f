"""Listeners and rules: one row each: what is called, and what must come of it."""

import pytest

from cloud import FIXED, Fails, anything, forward, ids, path, regex, run


def host(*values):
    return [{"Field": "host-header", "HostHeaderConfig": {"Values": list(values)}}]


def header(name, *values):
    return [{"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": name, "Values": list(values)}}]


def redirect(**config):
    return [{"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_302"} | config}]


def fixed(**config):
    return [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200"} | config}]


def url(expression="^/a", replace="/b", **more):
    return {"Type": "url-rewrite", "UrlRewriteConfig": {"Rewrites": [{"Regex": expression, "Replace": replace}]}} | more


def action(w, **rule):
    return w.create_rule(**rule)["Actions"][0]


def swap(w):
    """Two rules swap their priorities in one step."""
    listener = w.new_listener()
    a, b = (w.new_rule(p, listener=listener) for p in (1, 2))
    answer = w.elb.set_rule_priorities(RulePriorities=[{"RuleArn": a, "Priority": 2}, {"RuleArn": b, "Priority": 1}])["Rules"]
    found = w.rules(listener)
    return (found[a], found[b], len(answer)) == ("2", "1", 2)


def clash(w):
    """One of two rules takes the other's priority; nothing must change."""
    listener = w.new_listener()
    a, b, c = (w.new_rule(p, listener=listener) for p in (1, 2, 3))
    before = w.rules(listener)
    try:
        w.elb.set_rule_priorities(RulePriorities=[{"RuleArn": a, "Priority": 9}, {"RuleArn": b, "Priority": 3}])
    finally:
        assert w.rules(listener) == before


def default_rule(w):
    return next(arn for arn, priority in w.rules(w.listener).items() if priority == "default")


def same_listener(w, **second):
    port = w.port()
    return w.new_listener(port) == w.create_listener(port, **second)["ListenerArn"]


def rule_limit(w):
    """100 rules fit, over all listeners of a load balancer; the 101st does not. Modifying still works."""
    balancer = w.balancer()
    listeners = [w.new_listener(port, balancer=balancer) for port in (80, 81)]
    rules = [w.new_rule(n, listener=listeners[n % 2]) for n in range(1, 101)]
    w.elb.modify_rule(RuleArn=rules[0], Conditions=path("/y"))
    w.new_rule(101, listener=listeners[0])


def group_limit(w):
    """100 distinct target groups fit, used however often; the 101st does not."""
    balancer = w.balancer()
    listener = w.new_listener(80, balancer=balancer)
    groups = [w.new_group() for _ in range(101)]
    for start in range(0, 100, 5):
        w.new_rule(start + 1, listener=listener, actions=forward(*groups[start : start + 5]))
    w.new_rule(200, listener=listener, actions=forward(groups[0], groups[99]))
    w.new_rule(201, listener=listener, actions=forward(groups[100]))


def modified(w, **change):
    arn = w.new_rule(Transforms=[url()])
    return w.elb.modify_rule(RuleArn=arn, **change)["Rules"][0]


def ordered(w):
    """Rules come by ascending priority, the default one last, over pages too."""
    listener = w.new_listener()
    for priority in (30, 5, 400):
        w.new_rule(priority, listener=listener)
    pages = w.elb.get_paginator("describe_rules").paginate(ListenerArn=listener, PaginationConfig={"PageSize": 2})
    return [rule["Priority"] for page in pages for rule in page["Rules"]]


def on_other_balancer(w):
    listener = w.new_listener(80, balancer=w.balancer())
    w.new_rule(1, listener=listener, actions=forward(w.used))


def gone_with_listener(w):
    listener = w.new_listener(actions=forward(w.new_group()))
    rule = w.new_rule(1, listener=listener)
    w.elb.delete_listener(ListenerArn=listener)
    w.elb.describe_rules(RuleArns=[rule])


def listener_attribute(w, key, value):
    changed = w.elb.modify_listener_attributes(ListenerArn=w.listener, Attributes=[{"Key": key, "Value": value}])
    return {a["Key"]: a["Value"] for a in changed["Attributes"]}[key]


def moved_listener(w, to):
    return w.elb.modify_listener(ListenerArn=w.new_listener(), Port=to)["Listeners"][0]["Port"]


def weights(w, *pairs, sticky=None):
    config = {"TargetGroups": [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in pairs]}
    if sticky:
        config["TargetGroupStickinessConfig"] = sticky
    return [{"Type": "forward", "ForwardConfig": config}]


LISTENERS = [
    ("a listener is made", lambda w: w.create_listener(), lambda r: r["Protocol"] == "HTTP" and r["DefaultActions"][0]["Order"] == 1),
    ("the same again is the same", lambda w: same_listener(w), lambda r: r),
    ("the same port with other actions", lambda w: same_listener(w, actions=fixed()), Fails("DuplicateListener", "A listener already exists on this port")),
    ("TCP is not for this type", lambda w: w.create_listener(Protocol="TCP"), Fails("ValidationError", "Listener protocol 'TCP' must be one of 'HTTPS, HTTP'")),
    ("no protocol", lambda w: w.create_listener(Protocol=""), Fails("ValidationError", "protocol must be specified")),
    ("a TLS policy on HTTP", lambda w: w.create_listener(SslPolicy="ELBSecurityPolicy-2016-08"), Fails("ValidationError", "An SSL policy cannot be specified for HTTP listeners")),
    ("a certificate on HTTP", lambda w: w.create_listener(Certificates=[{"CertificateArn": "arn:aws:acm:x"}]), Fails("ValidationError", "certificate")),
    ("port 65536", lambda w: w.create_listener(65536), Fails("ValidationError", "less than or equal to 65535")),
    ("an unknown load balancer", lambda w: w.create_listener(balancer=w.lb[:-4] + "0000"), Fails("LoadBalancerNotFound")),
    ("an unknown target group", lambda w: w.create_listener(actions=forward(w.tg[:-4] + "0000")), Fails("TargetGroupNotFound", "One or more target groups not found")),
    ("a listener moves to another port", lambda w: moved_listener(w, w.port()), lambda r: r > 2000),
    ("a listener cannot move to a taken port", lambda w: moved_listener(w, 80), Fails("DuplicateListener")),
    ("a listener gets other actions", lambda w: w.elb.modify_listener(ListenerArn=w.new_listener(), DefaultActions=fixed())["Listeners"][0], lambda r: r["DefaultActions"][0]["FixedResponseConfig"]["StatusCode"] == "200"),
    ("listeners of a load balancer", lambda w: w.elb.describe_listeners(LoadBalancerArn=w.lb)["Listeners"], lambda r: len(r) > 1),
    ("listeners by ARN", lambda w: w.elb.describe_listeners(ListenerArns=[w.listener])["Listeners"], lambda r: len(r) == 1),
    ("neither a load balancer nor ARNs", lambda w: w.elb.describe_listeners(), Fails("ValidationError", "You must specify either listener ARNs or a load balancer ARN")),
    ("an unknown listener", lambda w: w.elb.describe_listeners(ListenerArns=[w.listener[:-4] + "0000"]), Fails("ListenerNotFound")),
    ("deleting an unknown listener", lambda w: w.elb.delete_listener(ListenerArn=w.listener[:-4] + "0000"), Fails("ListenerNotFound")),
    ("rules go with their listener", gone_with_listener, Fails("RuleNotFound")),
    ("a listener attribute", lambda w: listener_attribute(w, "routing.http.response.server.enabled", "false"), lambda r: r == "false"),
    ("an unknown listener attribute", lambda w: listener_attribute(w, "x", "y"), Fails("ValidationError", "Listener attribute key 'x' is not recognized")),
    ("a TLS attribute on HTTP", lambda w: listener_attribute(w, "routing.http.request.x_amzn_tls_version.header_name", "a"), Fails("InvalidConfigurationRequest", "HTTPS")),
]

CONDITIONS = [
    ("a path comes back in both forms", lambda w: w.create_rule(conditions=path("/a*"))["Conditions"][0], lambda r: r["Values"] == r["PathPatternConfig"]["Values"] == ["/a*"]),
    ("a regex comes back in both forms", lambda w: w.create_rule(conditions=regex("^/a$"))["Conditions"][0], lambda r: r["RegexValues"] == r["PathPatternConfig"]["RegexValues"] == ["^/a$"]),
    ("the old form of a path", lambda w: w.create_rule(conditions=[{"Field": "path-pattern", "Values": ["/a"]}])["Conditions"][0], lambda r: r["PathPatternConfig"]["Values"] == ["/a"]),
    ("a header condition", lambda w: w.create_rule(conditions=header("x-a", "b*"))["Conditions"][0], lambda r: "Values" not in r and r["HttpHeaderConfig"] == {"HttpHeaderName": "x-a", "Values": ["b*"]}),
    ("a query condition", lambda w: w.create_rule(conditions=[{"Field": "query-string", "QueryStringConfig": {"Values": [{"Key": "a", "Value": "b"}, {"Value": "c"}]}}])["Conditions"][0], lambda r: r["QueryStringConfig"]["Values"] == [{"Key": "a", "Value": "b"}, {"Value": "c"}]),
    ("several headers, one host, one path", lambda w: w.create_rule(conditions=host("a.example.com") + path("/a") + header("x", "1") + header("x", "2")), lambda r: len(r["Conditions"]) == 4),
    ("five values", lambda w: w.create_rule(conditions=path("/1", "/2", "/3", "/4", "/5")), anything),
    ("six values", lambda w: w.create_rule(conditions=path("/1", "/2", "/3", "/4") + host("a.b", "c.d")), Fails("ValidationError", "A rule can only have '5' condition values")),
    ("seven wildcards", lambda w: w.create_rule(conditions=path("/*?*?", "/*?*")), Fails("ValidationError", "wildcards")),
    ("no conditions", lambda w: w.elb.create_rule(ListenerArn=w.listener, Priority=7, Conditions=[], Actions=FIXED), Fails("ValidationError")),
    ("two paths conditions", lambda w: w.create_rule(conditions=path("/a") + path("/b")), Fails("ValidationError", "one 'path-pattern'")),
    ("a path with a percent sign", lambda w: w.create_rule(conditions=path("/a%20b")), Fails("ValidationError", "not valid")),
    ("a long path", lambda w: w.create_rule(conditions=path("/" + "a" * 128)), Fails("ValidationError", "The 'path-pattern' value is too long; the limit is '128'")),
    ("a host without a dot", lambda w: w.create_rule(conditions=host("localhost")), Fails("ValidationError")),
    ("a long header name", lambda w: w.create_rule(conditions=header("a" * 41, "b")), Fails("ValidationError", "The 'HttpHeaderName' value is too long; the limit is '40'")),
    ("values and a configuration", lambda w: w.create_rule(conditions=[{"Field": "host-header", "Values": ["a.b"], "HostHeaderConfig": {"Values": ["a.b"]}}]), Fails("ValidationError", "You cannot provide both Values and 'HostHeaderConfig' for a condition of type 'host-header'")),
    ("values and regular expressions", lambda w: w.create_rule(conditions=[{"Field": "path-pattern", "PathPatternConfig": {"Values": ["/a"], "RegexValues": ["b"]}}]), Fails("ValidationError")),
    ("a regex with look-ahead", lambda w: w.create_rule(conditions=regex("^/(?!a)")), Fails("ValidationError", "is not valid")),
    ("an unknown field", lambda w: w.create_rule(conditions=[{"Field": "colour", "Values": ["red"]}]), Fails("ValidationError", "Condition field 'colour' must be one of")),
    ("a lower-case method", lambda w: w.create_rule(conditions=[{"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["get"]}}]), Fails("ValidationError")),
]

def sticky_group(w, **attributes):
    arn = w.new_group()
    wanted = {"stickiness.enabled": "true"} | {"stickiness." + key.replace("__", "."): value for key, value in attributes.items()}
    pairs = [{"Key": key, "Value": value} for key, value in wanted.items()]
    w.elb.modify_target_group_attributes(TargetGroupArn=arn, Attributes=pairs)
    return arn


ACTIONS = [
    ("a sticky target group among several", lambda w: action(w, actions=forward(w.used, sticky_group(w))), Fails("ValidationError", "stickiness")),
    ("an application's cookie among several", lambda w: action(w, actions=forward(w.used, sticky_group(w, type="app_cookie", app_cookie__cookie_name="c"))), Fails("ValidationError", "none of them can have stickiness of type 'app_cookie' enabled")),
    ("a sticky target group alone", lambda w: action(w, actions=forward(sticky_group(w))), anything),
    ("a forward comes back in both forms", lambda w: action(w, actions=[{"Type": "forward", "TargetGroupArn": w.used}]), lambda r: r["ForwardConfig"]["TargetGroups"] == [{"TargetGroupArn": r["TargetGroupArn"], "Weight": 1}] and r["ForwardConfig"]["TargetGroupStickinessConfig"] == {"Enabled": False}),
    ("weights are kept", lambda w: action(w, actions=weights(w, (w.used, 999), (w.new_group(), 0))), lambda r: [g["Weight"] for g in r["ForwardConfig"]["TargetGroups"]] == [999, 0] and "TargetGroupArn" not in r),
    ("one target group has weight 1", lambda w: action(w, actions=weights(w, (w.used, 70))), lambda r: r["ForwardConfig"]["TargetGroups"][0]["Weight"] == 1),
    ("stickiness is kept", lambda w: action(w, actions=weights(w, (w.used, 1), sticky={"Enabled": True, "DurationSeconds": 9})), lambda r: r["ForwardConfig"]["TargetGroupStickinessConfig"] == {"Enabled": True, "DurationSeconds": 9}),
    ("a redirect is filled in", lambda w: action(w, actions=redirect(Host="example.org")), lambda r: r["RedirectConfig"] == {"Protocol": "#{protocol}", "Port": "#{port}", "Host": "example.org", "Path": "/#{path}", "Query": "#{query}", "StatusCode": "HTTP_302"}),
    ("a fixed response is filled in", lambda w: action(w, actions=fixed()), lambda r: r["FixedResponseConfig"]["ContentType"] == "text/plain"),
    ("weight 1000", lambda w: action(w, actions=weights(w, (w.used, 1000))), Fails("ValidationError", "less than or equal to 999")),
    ("six target groups", lambda w: action(w, actions=forward(*[w.new_group() for _ in range(6)])), Fails("TooManyTargetGroups")),
    ("a forward to nothing", lambda w: action(w, actions=[{"Type": "forward"}]), Fails("ValidationError")),
    ("two target groups, told differently", lambda w: action(w, actions=[{"Type": "forward", "TargetGroupArn": w.tg, "ForwardConfig": forward(w.used)[0]["ForwardConfig"]}]), Fails("ValidationError")),
    ("a target group of another load balancer", on_other_balancer, Fails("TargetGroupAssociationLimit", "The following target groups cannot be associated with more than one load balancer: arn:")),
    ("a gRPC target group on HTTP", lambda w: action(w, actions=forward(w.new_group(ProtocolVersion="GRPC"))), Fails("InvalidLoadBalancerAction", "'GRPC'")),
    ("a redirect to itself", lambda w: action(w, actions=redirect(Protocol="HTTP", Port="80")), Fails("InvalidLoadBalancerAction", "creates a loop")),
    ("a redirect with 308", lambda w: action(w, actions=redirect(StatusCode="HTTP_308", Host="a.b")), Fails("ValidationError")),
    ("a redirect without a configuration", lambda w: action(w, actions=[{"Type": "redirect"}]), Fails("ValidationError", "For actions of type 'redirect', you must specify the following fields: 'RedirectConfig'")),
    ("a fixed response of 302", lambda w: action(w, actions=fixed(StatusCode="302")), Fails("ValidationError")),
    ("a fixed response of XML", lambda w: action(w, actions=fixed(ContentType="text/xml")), Fails("InvalidLoadBalancerAction", "The ContentType must be one of:")),
    ("a long fixed response", lambda w: action(w, actions=fixed(MessageBody="a" * 1025)), Fails("ValidationError", "1024")),
    ("authentication needs HTTPS", lambda w: action(w, actions=[{"Type": "authenticate-cognito", "AuthenticateCognitoConfig": {"UserPoolArn": "a"}}]), Fails("InvalidLoadBalancerAction", "Actions of type 'authenticate-cognito' are supported only on HTTPS listeners")),
    ("two actions", lambda w: action(w, actions=FIXED + fixed()), Fails("InvalidLoadBalancerAction")),
]

RULES = [
    ("transforms come back", lambda w: w.create_rule(Transforms=[url(), {"Type": "host-header-rewrite", "HostHeaderRewriteConfig": {"Rewrites": [{"Regex": "^.*$", "Replace": "a.b"}]}}]), lambda r: r["Transforms"][0] == url() and len(r["Transforms"]) == 2),
    ("two rewrites", lambda w: w.create_rule(Transforms=[{"Type": "url-rewrite", "UrlRewriteConfig": {"Rewrites": [{"Regex": "a", "Replace": "b"}] * 2}}]), Fails("ValidationError", "exactly '1' rewrite")),
    ("two transforms of a kind", lambda w: w.create_rule(Transforms=[url(), url()]), Fails("ValidationError")),
    ("a transform that is no regex", lambda w: w.create_rule(Transforms=[url("(")]), Fails("ValidationError", "is not valid")),
    ("priority 0", lambda w: w.elb.create_rule(ListenerArn=w.listener, Priority=0, Conditions=path("/"), Actions=FIXED), Fails("ValidationError", "greater than or equal to 1")),
    ("priority 50001", lambda w: w.create_rule(50001), Fails("ValidationError", "less than or equal to 50000")),
    ("a taken priority", lambda w: w.create_rule(100), Fails("PriorityInUse", "Priority '100' is currently in use")),
    ("an unknown listener", lambda w: w.create_rule(listener=w.listener[:-4] + "0000"), Fails("ListenerNotFound")),
    ("rules come in order", ordered, lambda r: r == ["5", "30", "400", "default"]),
    ("rules by ARN", lambda w: w.elb.describe_rules(RuleArns=[w.rule])["Rules"], lambda r: len(r) == 1 and not r[0]["IsDefault"]),
    ("neither a listener nor ARNs", lambda w: w.elb.describe_rules(), Fails("ValidationError", "You must specify either listener rule ARNs or a listener ARN")),
    ("both a listener and ARNs", lambda w: w.elb.describe_rules(ListenerArn=w.listener, RuleArns=[w.rule]), Fails("ValidationError", "cannot be specified at the same time")),
    ("an unknown rule", lambda w: w.elb.describe_rules(RuleArns=[w.rule[:-4] + "0000"]), Fails("RuleNotFound", "One or more rules not found")),
    ("modified conditions leave the rest", lambda w: modified(w, Conditions=path("/new")), lambda r: r["Conditions"][0]["Values"] == ["/new"] and r["Transforms"] == [url()]),
    ("modified actions leave the rest", lambda w: modified(w, Actions=fixed()), lambda r: r["Conditions"][0]["Values"] == ["/x"] and r["Actions"][0]["FixedResponseConfig"]["StatusCode"] == "200"),
    ("a type of addresses", lambda w: w.new_rule(conditions=[{"Field": "source-ip", "SourceIpConfig": {"IpAddressType": "ipv4"}}]), Fails("ValidationError", "'application'")),
    ("transforms are reset", lambda w: modified(w, ResetTransforms=True), lambda r: r["Transforms"] == []),
    ("reset and new transforms", lambda w: modified(w, ResetTransforms=True, Transforms=[url()]), Fails("ValidationError")),
    ("nothing to modify", lambda w: modified(w), Fails("ValidationError", "Either conditions or actions must be specified")),
    ("the default rule cannot be modified", lambda w: w.elb.modify_rule(RuleArn=default_rule(w), Actions=FIXED), Fails("OperationNotPermitted")),
    ("the default rule cannot be deleted", lambda w: w.elb.delete_rule(RuleArn=default_rule(w)), Fails("OperationNotPermitted")),
    ("the default rule has no priority", lambda w: w.elb.set_rule_priorities(RulePriorities=[{"RuleArn": default_rule(w), "Priority": 1}]), Fails("OperationNotPermitted")),
    ("priorities are swapped in one step", swap, lambda r: r),
    ("a conflict changes nothing", clash, Fails("PriorityInUse", "Priority '3' is currently in use")),
    ("a priority twice", lambda w: w.elb.set_rule_priorities(RulePriorities=[{"RuleArn": w.rule, "Priority": 9}, {"RuleArn": w.new_rule(), "Priority": 9}]), Fails("ValidationError", "Priority '9' was provided multiple times")),
    ("100 rules per load balancer", rule_limit, Fails("TooManyRules")),
    ("100 target groups per load balancer", group_limit, Fails("TooManyUniqueTargetGroupsPerLoadBalancer", "[100]")),
]

ROWS = LISTENERS + CONDITIONS + ACTIONS + RULES


@pytest.mark.parametrize("row", ROWS, ids=ids(ROWS))
def test_rules(row, world):
    run(row, world)
