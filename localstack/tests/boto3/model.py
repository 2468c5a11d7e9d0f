"""Holds every answer to AWS's own model, member by member.

A member that the model does not know is a misspelt one, which an SDK would drop silently; a value of another type, outside of an enum, of
another length or pattern is one that AWS could not have sent. What was seen is kept, so that a whole run can tell which members no answer
ever had.
"""

import json
import re
import xml.etree.ElementTree as ET
from datetime import datetime

# What is wrong, in words.
wrong = []
# Members that answers had, as (service, shape, member).
seen = set()
# Operations that were answered: (service, operation) to the model's shape of their answer.
answered = {}


def watch(client):
    """Looks at every answer of a client before it is parsed."""
    client.meta.events.register("before-parse.*", look)
    return client


def look(operation_model, response_dict, **_):
    body, shape, service = response_dict["body"], operation_model.output_shape, operation_model.service_model
    if response_dict["status_code"] >= 300 or shape is None:
        return
    path = (service.service_name, operation_model.name)
    answered[path] = shape
    protocol = service.resolved_protocol
    if not body:
        return
    if protocol in ("json", "rest-json"):
        in_json(path, json.loads(body), shape)
        return
    if protocol == "rest-xml":
        payload = shape.serialization.get("payload")
        if payload and shape.members[payload].type_name != "structure":
            return
        in_xml(path, ET.fromstring(body), shape.members[payload] if payload else shape)
        return
    root = ET.fromstring(body)
    if protocol == "query":
        wrapper = shape.serialization.get("resultWrapper", operation_model.name + "Result")
        in_xml(path, root.find("{*}" + wrapper), shape)
    else:
        for child in [child for child in root if tag(child) == "requestId"]:
            root.remove(child)
        in_xml(path, root, shape)


def tag(element):
    return element.tag.rsplit("}", 1)[-1]


# Where AWS itself does not keep to its model, by what it documents or is known to answer.
EXCEPTIONS = [
    (r"acm\..*\.KeyAlgorithm is '(RSA|EC)-", "ACM answers with hyphens where requests have underscores (User Guide, example of describe-certificate)"),
    (r"acm\.ExportCertificate\.PrivateKey is '-----BEGIN ENCRYPTED PRIVATE KEY-----", "the model's pattern is that of a key without a passphrase; the user guide shows one with it"),
    (r"acm\..* is 'default', which does not match", "a certificate without a domain name, which only the setting `certificates: lenient` takes"),
    (r"ec2\.DescribeInternetGateways\..*\.State is 'available'", "API reference, InternetGatewayAttachment: \"the state is available when attached to a VPC\""),
    (r"elbv2\.(Describe|Modify)LoadBalancerAttributes\.Attributes has \d+ members", "the limit of 20 is that of a request"),
    (r"elbv2\.DescribeTags\.TagDescriptions\.Tags has 0 members", "a resource without tags; at least one is for requests"),
]


def fault(path, words):
    text = f"{'.'.join(path)} {words}"
    if not any(re.match(pattern, text) for pattern, _ in EXCEPTIONS):
        wrong.append(text)


def required(path, shape, given):
    for name in set(shape.required_members) - set(given):
        if shape.members[name].serialization.get("location") is None:
            fault(path, f"lacks the required member {name}")


def in_xml(path, element, shape):
    if shape.type_name == "structure":
        members = {member.serialization.get("name", name): name for name, member in shape.members.items()}
        for name, member in shape.members.items():
            if member.type_name == "list" and member.serialization.get("flattened"):
                members[member.member.serialization.get("name", member.serialization.get("name", name))] = name
        given = []
        for child in element:
            name = members.get(tag(child))
            if name is None:
                fault((*path, tag(child)), "is not in the model")
                continue
            given.append(name)
            member = shape.members[name]
            flattened = member.type_name == "list" and member.serialization.get("flattened")
            seen.add((path[0], shape.name, name))
            in_xml((*path, name), child, member.member if flattened else member)
        required(path, shape, given)
    elif shape.type_name == "list":
        wanted = shape.member.serialization.get("name", "member")
        for child in element:
            if tag(child) != wanted:
                fault(path, f"has a {tag(child)} where the model has {wanted}")
            in_xml(path, child, shape.member)
        limits(path, len(element), shape, "members")
    elif shape.type_name == "map":
        for entry in element:
            parts = {tag(part): part for part in entry}
            if tag(entry) != "entry" or set(parts) != {"key", "value"}:
                fault(path, f"has {tag(entry)} for an entry")
                continue
            in_xml((*path, "key"), parts["key"], shape.key)
            in_xml((*path, "value"), parts["value"], shape.value)
    elif len(element):
        fault(path, f"has children, but is a {shape.type_name}")
    else:
        scalar(path, element.text or "", shape)


def scalar(path, text, shape):
    """A value as XML has it."""
    kind = shape.type_name
    try:
        if kind in ("integer", "long"):
            limits(path, int(text), shape, "")
        elif kind in ("float", "double"):
            float(text)
        elif kind == "timestamp":
            datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ")
        elif kind == "boolean" and text not in ("true", "false"):
            raise ValueError
        elif kind == "string":
            in_string(path, text, shape)
    except ValueError:
        fault(path, f"is {text!r}, which is no {kind}")


def in_string(path, text, shape):
    if shape.enum and text not in shape.enum:
        fault(path, f"is {text!r}, which is none of {shape.enum}")
    limits(path, len(text), shape, "characters")
    pattern = shape.metadata.get("pattern")
    # Some patterns of the model are in another dialect of regular expressions.
    if pattern and not re.search(r"\\[pP]\{|\[:|&&", pattern) and not re.fullmatch(pattern, text, re.DOTALL):
        fault(path, f"is {text!r}, which does not match {pattern}")


def limits(path, value, shape, unit):
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if (low is not None and value < low) or (high is not None and value > high):
        fault(path, f"has {value} {unit}, not {low} to {high}")


def in_json(path, value, shape):
    if shape.type_name == "structure":
        for key, member in value.items():
            if key not in shape.members:
                fault((*path, key), "is not in the model")
            else:
                seen.add((path[0], shape.name, key))
                in_json((*path, key), member, shape.members[key])
        required(path, shape, value)
    elif shape.type_name == "list":
        limits(path, len(value), shape, "members")
        for member in value:
            in_json(path, member, shape.member)
    elif shape.type_name == "map":
        for member in value.values():
            in_json(path, member, shape.value)
    else:
        kinds = {"string": str, "integer": int, "long": int, "boolean": bool, "timestamp": (int, float)}
        if not isinstance(value, kinds.get(shape.type_name, object)):
            fault(path, f"is a {type(value).__name__}, not a {shape.type_name}")
        elif shape.type_name == "string":
            in_string(path, value, shape)
        elif shape.type_name in ("integer", "long"):
            limits(path, value, shape, "")


def members(shape, within=()):
    """All members of a shape at any depth, as (shape, member)."""
    if shape.name in within:
        return
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            yield (shape.name, name)
            yield from members(member, (*within, shape.name))
    elif shape.type_name == "list":
        yield from members(shape.member, within)
    elif shape.type_name == "map":
        yield from members(shape.value, within)


def unseen(service):
    """Members that answers of a service could have had, and never had."""
    possible = {pair for (name, _), shape in answered.items() if name == service for pair in members(shape)}
    return sorted(f"{shape}.{member}" for shape, member in possible if (service, shape, member) not in seen)
