"""Route 53, and the cloud's DNS that answers from it. Source: Route 53 API reference and developer guide."""

import pytest

from cloud import Fails, admin, ids, run


def zone(w, name=None, **more):
    """A hosted zone: its id and name."""
    arguments = {"Name": name or f"{w.name()}.example.com", "CallerReference": w.name()} | more
    made = w.dns.create_hosted_zone(**arguments)["HostedZone"]
    return made["Id"], made["Name"]


def of(name, kind="A", values=("192.0.2.1",), **more):
    return {"Name": name, "Type": kind, "TTL": 60, "ResourceRecords": [{"Value": value} for value in values]} | more


def alias(name, target, target_zone, **more):
    return {"Name": name, "Type": "A", "AliasTarget": {"HostedZoneId": target_zone, "DNSName": target, "EvaluateTargetHealth": True} | more}


def change(w, where, *changes):
    batch = {"Changes": [{"Action": action, "ResourceRecordSet": records} for action, records in changes]}
    return w.dns.change_resource_record_sets(HostedZoneId=where, ChangeBatch=batch)["ChangeInfo"]


def listed(w, where, **more):
    return [(s["Name"], s["Type"]) for s in w.dns.list_resource_record_sets(HostedZoneId=where, **more)["ResourceRecordSets"]]


def in_zone(w, *changes):
    """Changes of a new zone, made of what its name gives; the record sets that it has then."""
    where, name = zone(w)
    change(w, where, *[(action, make(name)) for action, make in changes])
    return [(found.removesuffix(name), kind) for found, kind in listed(w, where)]


def resolved(name):
    status, found = admin(f"dns?name={name}")
    return found["addresses"] if status == 200 else None


def to_balancer(w):
    balancer = w.elb.describe_load_balancers(LoadBalancerArns=[w.lb])["LoadBalancers"][0]
    where, name = zone(w)
    for target in (balancer["DNSName"], "dualstack." + balancer["DNSName"]):
        change(w, where, ("UPSERT", alias("www." + name, target, balancer["CanonicalHostedZoneId"])))
        assert resolved("www." + name) == resolved(balancer["DNSName"]) != None  # noqa: E711
    change(w, where, ("CREATE", of("*.apps." + name, "CNAME", ["www." + name])))
    assert resolved("a.apps." + name) == resolved(balancer["DNSName"])
    return resolved("absent." + name)


def direct(w):
    where, name = zone(w)
    change(w, where, ("CREATE", of("a." + name, values=["192.0.2.1", "192.0.2.2"])))
    return resolved("A." + name)


def circle(w):
    where, name = zone(w)
    change(w, where, ("CREATE", of("a." + name, "CNAME", ["b." + name])), ("CREATE", of("b." + name, "CNAME", ["a." + name])))
    return resolved("a." + name)


def all_or_none(w):
    where, name = zone(w)
    with pytest.raises(w.dns.exceptions.ClientError):
        change(w, where, ("CREATE", of("a." + name)), ("CREATE", of("a.other.example")))
    return listed(w, where) == [(name, "NS"), (name, "SOA")]


def paged(w):
    where, name = zone(w)
    change(w, where, *[("CREATE", of(f"{letter}.{name}")) for letter in "abc"])
    found = w.dns.get_paginator("list_resource_record_sets").paginate(HostedZoneId=where, PaginationConfig={"PageSize": 2})
    return [[s["Name"].removesuffix(name) for s in page["ResourceRecordSets"]] for page in found]


def by_name(w):
    where, name = zone(w)
    found = w.dns.list_hosted_zones_by_name(DNSName=name, MaxItems="1")["HostedZones"]
    return [found[0]["Id"], found[0]["Name"]] == [where, name]


def not_empty(w):
    where, name = zone(w)
    change(w, where, ("CREATE", of("a." + name)))
    w.dns.delete_hosted_zone(Id=where)


A = ("CREATE", lambda name: of("a." + name))
ROWS = [
    ("a zone", lambda w: w.dns.get_hosted_zone(Id=zone(w)[0]), lambda r: r["HostedZone"]["ResourceRecordSetCount"] == 2 and len(r["DelegationSet"]["NameServers"]) == 4),
    ("a private zone", lambda w: w.dns.get_hosted_zone(Id=zone(w, VPC={"VPCRegion": "us-east-1", "VPCId": w.vpc}, HostedZoneConfig={"PrivateZone": True})[0]), lambda r: r["VPCs"] and r["HostedZone"]["Config"]["PrivateZone"]),
    ("a private zone of an absent VPC", lambda w: zone(w, VPC={"VPCRegion": "us-east-1", "VPCId": "vpc-0"}, HostedZoneConfig={"PrivateZone": True}), Fails("InvalidVPCId")),
    ("the same reference", lambda w: [zone(w, CallerReference=w.prefix + "-twice") for _ in range(2)], Fails("HostedZoneAlreadyExists")),
    ("no domain name", lambda w: zone(w, "a..b"), Fails("InvalidDomainName")),
    ("zones by name", by_name, bool),
    ("an absent zone", lambda w: w.dns.get_hosted_zone(Id="Z0"), Fails("NoSuchHostedZone")),
    ("a zone with records stays", not_empty, Fails("HostedZoneNotEmpty")),
    ("deleted", lambda w: (lambda z: (w.dns.delete_hosted_zone(Id=z), w.dns.get_hosted_zone(Id=z)))(zone(w)[0]), Fails("NoSuchHostedZone")),
    # Record sets.
    ("created and deleted", lambda w: in_zone(w, A, ("DELETE", lambda name: of("a." + name))), lambda r: r == [("", "NS"), ("", "SOA")]),
    ("created or replaced", lambda w: in_zone(w, A, ("UPSERT", lambda name: of("a." + name, values=["192.0.2.9"]))), lambda r: r[-1] == ("a.", "A")),
    ("a change is in force", lambda w: w.dns.get_change(Id=(lambda z: change(w, z[0], ("CREATE", of("a." + z[1]))))(zone(w))["Id"]), lambda r: r["ChangeInfo"]["Status"] == "INSYNC"),
    ("an absent change", lambda w: w.dns.get_change(Id="C0"), Fails("NoSuchChange")),
    ("all or none", all_or_none, bool),
    ("pages cover everything", paged, lambda r: r == [["", ""], ["a.", "b."], ["c."]]),
    ("created twice", lambda w: in_zone(w, A, A), Fails("InvalidChangeBatch", "already exists")),
    ("deleted, but absent", lambda w: in_zone(w, ("DELETE", lambda name: of("a." + name))), Fails("InvalidChangeBatch", "was not found")),
    ("deleted, but another", lambda w: in_zone(w, A, ("DELETE", lambda name: of("a." + name, values=["192.0.2.9"]))), Fails("InvalidChangeBatch", "do not match")),
    ("of another zone", lambda w: in_zone(w, ("CREATE", lambda _: of("a.other.example"))), Fails("InvalidChangeBatch", "not permitted in zone")),
    ("an alias of the zone's name", lambda w: in_zone(w, ("CREATE", lambda name: of(name, "CNAME", ["a.example."]))), Fails("InvalidChangeBatch", "apex")),
    ("a CNAME beside others", lambda w: in_zone(w, A, ("CREATE", lambda name: of("a." + name, "CNAME", ["b.example."]))), Fails("InvalidChangeBatch", "conflicts")),
    ("an address that is none", lambda w: in_zone(w, ("CREATE", lambda name: of("a." + name, values=["x"]))), Fails("InvalidChangeBatch", "Invalid Resource Record")),
    ("neither alias nor values", lambda w: in_zone(w, ("CREATE", lambda name: {"Name": "a." + name, "Type": "A"})), Fails("InvalidInput")),
    ("the zone's own records stay", lambda w: in_zone(w, ("DELETE", lambda name: of(name, "NS"))), Fails("InvalidChangeBatch")),
    ("an alias that leads nowhere", lambda w: in_zone(w, ("CREATE", lambda name: alias("a." + name, "b.example.", "Z0"))), Fails("InvalidChangeBatch", "does not lie within")),
    ("weights are not served", lambda w: in_zone(w, ("CREATE", lambda name: of("a." + name, SetIdentifier="x", Weight=1))), Fails("InvalidInput", "not served")),
    # The DNS.
    ("names lead to a load balancer", to_balancer, lambda r: r is None),
    ("names lead to addresses", direct, lambda r: r == ["192.0.2.1", "192.0.2.2"]),
    ("names lead nowhere", circle, lambda r: r is None),
]


@pytest.mark.parametrize("row", ROWS, ids=ids(ROWS))
def test_names(row, world):
    run(row, world)
