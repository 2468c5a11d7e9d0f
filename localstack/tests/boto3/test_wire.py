"""The wire itself, without an SDK: signatures, envelopes, unknown actions and parameters."""

import json
import re
import urllib.error
import urllib.parse
import urllib.request

import pytest
from botocore.exceptions import ClientError

from cloud import ENDPOINT, FIXED, path

NAMESPACE = 'xmlns="http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"'
TAGGING = "ResourceGroupsTaggingAPI_20170126"


def send(form, service="elasticloadbalancing", method="POST", target=None):
    """Sends a call; answers with status, headers and text."""
    headers = {}
    if service:
        scope = f"AKID/20260101/us-east-1/{service}/aws4_request"
        headers["Authorization"] = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=00"
    url, body = ENDPOINT + "/", None
    if target:
        headers |= {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.1"}
        body = form.encode()
    elif method == "GET":
        url += "?" + urllib.parse.urlencode(form)
    else:
        body = urllib.parse.urlencode(form).encode()
    request = urllib.request.Request(url, data=body, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.headers, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def elb(action, **parameters):
    return {"Action": action, "Version": "2015-12-01"} | parameters


def ec2(action, **parameters):
    return {"Action": action, "Version": "2016-11-15"} | parameters


def code(text):
    return re.search(r"<Code>(.*?)</Code>", text).group(1)


# What is sent, the status, the error code (None: success), a part of the answer.
ROWS = [
    ("success has the query envelope", (elb("DescribeLoadBalancers"),), 200, None, f"<DescribeLoadBalancersResponse {NAMESPACE}><DescribeLoadBalancersResult>"),
    ("success has a request id", (elb("DescribeLoadBalancers"),), 200, None, "<ResponseMetadata><RequestId>"),
    ("parameters may stand in the query", (elb("DescribeAccountLimits"), "elasticloadbalancing", "GET"), 200, None, "<Limits><member><Name>"),
    ("errors have the query envelope", (elb("DescribeLoadBalancers", **{"Names.member.1": "absent"}),), 400, "LoadBalancerNotFound", f"<ErrorResponse {NAMESPACE}><Error><Type>Sender</Type>"),
    ("an unsigned call", (elb("DescribeLoadBalancers"), None), 403, "MissingAuthenticationToken", "Request is missing Authentication Token"),
    ("an unsigned call of EC2 is told in its way", (ec2("DescribeVpcs"), None), 403, "MissingAuthenticationToken", "<Response><Errors><Error>"),
    ("an unknown action", (elb("Dance"),), 400, "InvalidAction", "The action Dance is not valid for this web service"),
    ("no action", ({"Version": "2015-12-01"},), 400, "MissingAction", "Action"),
    ("an unknown parameter", (elb("DescribeLoadBalancers", Colour="red"),), 400, "ValidationError", "Unknown parameter: &apos;Colour&apos;"),
    ("an unknown parameter deep inside", (elb("CreateTargetGroup", Name="x", Protocol="HTTP", Port="1", VpcId="v", **{"Tags.member.1.Colour": "x"}),), 400, "ValidationError", ""),
    ("a missing parameter", (elb("DeleteLoadBalancer"),), 400, "ValidationError", "failed to satisfy constraint: Member must not be null"),
    ("a number that is none", (elb("DescribeLoadBalancers", PageSize="ten"),), 400, "ValidationError", "ten"),
    ("EC2 has its own envelope", (ec2("DescribeVpcs"), "ec2"), 200, None, '<DescribeVpcsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>'),
    ("EC2 lists items", (ec2("DescribeVpcs"), "ec2"), 200, None, "<vpcSet><item><vpcId>"),
    ("EC2 has its own errors", (ec2("DescribeVpcs", **{"VpcId.1": "vpc-0000"}), "ec2"), 400, "InvalidVpcID.NotFound", "<RequestID>"),
    ("EC2 has its own unknown parameters", (ec2("DescribeVpcs", Colour="red"), "ec2"), 400, "UnknownParameter", "The parameter Colour is not recognized"),
    ("a service that is not there", (elb("ListQueues"), "sqs"), 400, "InvalidAction", "sqs"),
    ("STS by GET", ({"Action": "GetCallerIdentity", "Version": "2011-06-15"}, "sts", "GET"), 200, None, "<Account>000000000000</Account>"),
]


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_wire(row):
    _, sent, status, error, part = row
    found, headers, text = send(*sent)
    assert found == status, text
    assert headers["x-amzn-requestid"], "a request id"
    assert headers["content-type"] == "text/xml"
    assert part in text, text
    if error:
        assert code(text) == error, text


JSON = [
    ("resources", "{}", "GetResources", 200, "ResourceTagMappingList"),
    ("no JSON", "{", "GetResources", 400, "SerializationException"),
    ("an unknown member", '{"Colour": 1}', "GetResources", 400, "Unknown parameter: 'Colour'"),
    ("an unknown operation", "{}", "Dance", 400, "UnknownOperationException"),
]


@pytest.mark.parametrize("row", JSON, ids=[row[0] for row in JSON])
def test_json(row):
    _, body, operation, status, part = row
    found, headers, text = send(body, "tagging", "POST", f"{TAGGING}.{operation}")
    assert (found, headers["content-type"]) == (status, "application/x-amz-json-1.1"), text
    assert part in text, text
    assert ("__type" in json.loads(text)) == (status != 200)


def test_every_operation_of_the_model_is_known(world):
    """Called without parameters, each of the 51 operations answers or says what is wrong."""
    unknown = set()
    for method, name in world.elb.meta.method_to_api_mapping.items():
        try:
            getattr(world.elb, method)()
        except ClientError as error:
            if error.response["Error"]["Code"] == "InvalidAction":
                unknown.add(name)
    assert unknown == set() and len(world.elb.meta.method_to_api_mapping) >= 51


def test_every_parameter_of_the_model_is_read(world):
    """A parameter that an operation never looks at would be called unknown at the end of a call that is otherwise right."""
    listener = {"Protocol": "HTTP", "DefaultActions": FIXED}
    rule = {"ListenerArn": world.listener, "Conditions": path("/x"), "Actions": FIXED}
    bases = {
        "CreateLoadBalancer": lambda: {"Name": world.name(), "Subnets": world.two, "SecurityGroups": [world.sg]},
        "CreateTargetGroup": lambda: {"Name": world.name(), "Protocol": "HTTP", "Port": 80, "VpcId": world.vpc, "TargetType": "ip"},
        "CreateListener": lambda: listener | {"LoadBalancerArn": world.lb, "Port": world.port()},
        "CreateRule": lambda: rule | {"Priority": world.priority()},
        "ModifyTargetGroup": lambda: {"TargetGroupArn": world.tg},
        "ModifyListener": lambda: {"ListenerArn": world.listener},
        "DescribeTargetHealth": lambda: {"TargetGroupArn": world.tg},
        "DescribeListeners": lambda: {"LoadBalancerArn": world.lb},
        "DescribeRules": lambda: {"ListenerArn": world.listener},
    }
    methods = {name: getattr(world.elb, method) for method, name in world.elb.meta.method_to_api_mapping.items()}
    values = {"string": "x", "integer": 1, "boolean": True}
    unread = []
    for operation, base in bases.items():
        for name, member in world.elb.meta.service_model.operation_model(operation).input_shape.members.items():
            given = base()
            if member.type_name not in values or name in given:
                continue
            try:
                methods[operation](**given, **{name: values[member.type_name]})
            except ClientError as error:
                if "Unknown parameter" in error.response["Error"]["Message"]:
                    unread.append(f"{operation}.{name}")
    assert unread == []
