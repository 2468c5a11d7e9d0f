"""Holds every answer to AWS's own model: an element that the model does not know is a misspelt one, which an SDK would drop silently."""

import json
import xml.etree.ElementTree as ET

unknown = []


def watch(client):
    """Looks at every answer of a client before it is parsed."""
    client.meta.events.register("before-parse.*", look)
    return client


def look(operation_model, response_dict, **_):
    body, shape = response_dict["body"], operation_model.output_shape
    if response_dict["status_code"] != 200 or not body or shape is None:
        return
    name = f"{operation_model.service_model.service_name}.{operation_model.name}"
    if operation_model.service_model.metadata["protocol"] == "json":
        in_json(name, json.loads(body), shape)
        return
    root = ET.fromstring(body)
    if operation_model.service_model.metadata["protocol"] == "query":
        wrapper = root.find("{*}" + shape.serialization.get("resultWrapper", operation_model.name + "Result"))
        in_xml(name, wrapper, shape)
    else:
        for child in [child for child in root if tag(child) == "requestId"]:
            root.remove(child)
        in_xml(name, root, shape)


def tag(element):
    return element.tag.rsplit("}", 1)[-1]


def in_xml(path, element, shape):
    if shape.type_name == "structure":
        members = {member.serialization.get("name", name): member for name, member in shape.members.items()}
        for child in element:
            if tag(child) not in members:
                unknown.append(f"{path}.{tag(child)}")
            else:
                in_xml(f"{path}.{tag(child)}", child, members[tag(child)])
    elif shape.type_name == "list":
        wanted = shape.member.serialization.get("name", "member")
        for child in element:
            if tag(child) != wanted:
                unknown.append(f"{path}[{tag(child)}] instead of [{wanted}]")
            in_xml(f"{path}[]", child, shape.member)
    elif len(element):
        unknown.append(f"{path} has children, but is a {shape.type_name}")


def in_json(path, value, shape):
    if shape.type_name == "structure":
        for key, member in value.items():
            if key not in shape.members:
                unknown.append(f"{path}.{key}")
            else:
                in_json(f"{path}.{key}", member, shape.members[key])
    elif shape.type_name == "list":
        for member in value:
            in_json(f"{path}[]", member, shape.member)
    elif shape.type_name == "map":
        for member in value.values():
            in_json(f"{path}[]", member, shape.value)
    else:
        kinds = {"string": str, "integer": int, "long": int, "boolean": bool}
        if not isinstance(value, kinds.get(shape.type_name, object)):
            unknown.append(f"{path} is a {type(value).__name__}, not a {shape.type_name}")
