//! Each step by itself, of all units and of the one that a change marks.

use std::sync::Arc;

use anyhow::{Context, ensure};
use portico_crds::Kind;
use portico_envoy::stack::RouteConfiguration;
use portico_envoy_xds::{Envoy, Observed, Operation, Stack};
use portico_providers::{Change, ClusterId, Provider, UnitId};
use portico_translate::{Event, Impact, World, translate};
use prost::Message;
use serde_json::Value;

use crate::count::{measure, show};
use crate::objects::Shape;

/// Measures the steps.
pub fn run(shape: Shape) -> anyhow::Result<()> {
    let (envoy, cluster) = (Envoy::new(), ClusterId("bench".to_owned()));
    let mut world = World::default();
    let objects = shape.all();
    let (_, cost) = measure(|| objects.into_iter().for_each(|object| drop(upsert(&mut world, object))));
    show("world, from nothing", &cost, None);
    let units: Vec<UnitId> = world.units().collect();
    ensure!(units.len() == shape.gateways, "{} units of {} Gateways", units.len(), shape.gateways);
    let stacks = steps(&envoy, &cluster, &world, &units, "from nothing")?;

    let member = shape.gateways / 2;
    let (impact, cost) = measure(|| upsert(&mut world, shape.route(member, 0, "/changed")));
    show("world, one route changed", &cost, None);
    let marked: Vec<UnitId> = impact.units.into_iter().collect();
    ensure!(marked.len() == 1, "one changed route marks {} units", marked.len());
    let before = stacks.into_iter().find(|stack| Some(&stack.unit) == marked.first()).context("no stack of the changed route's Gateway")?;
    let now = steps(&envoy, &cluster, &world, &marked, "one route changed")?.pop().context("no stack")?;
    let published = Observed { identification: Some(before.identification), resources: before.versions() };
    let (changes, cost) = measure(|| envoy.diff(&now, &published));
    let changes = changes?;
    show("diff, one route changed", &cost, Some(bytes(&now, &changes)));
    println!("  it changes {}", changes.iter().map(|change| change.operation.to_string()).collect::<Vec<_>>().join(", "));
    Ok(())
}

fn upsert(world: &mut World, (kind, object): (Kind, Value)) -> Impact {
    world.apply(Event::Upsert { kind, object: Arc::new(object) })
}

/// Translates and compiles units.
fn steps(envoy: &Envoy, cluster: &ClusterId, world: &World, units: &[UnitId], what: &str) -> anyhow::Result<Vec<Stack>> {
    let (plans, cost) = measure(|| units.iter().filter_map(|unit| translate(world, unit)?.plan).collect::<Vec<_>>());
    show(&format!("translate, {what}"), &cost, None);
    ensure!(plans.len() == units.len(), "{} plans of {} units", plans.len(), units.len());
    let (compiled, cost) = measure(|| plans.iter().map(|plan| envoy.compile(cluster, plan)).collect::<Vec<_>>());
    show(&format!("compile, {what}"), &cost, None);
    ensure!(compiled.iter().all(|it| it.refusals.is_empty()), "something is refused");
    let stacks: Vec<Stack> = compiled.into_iter().map(|it| it.stack).collect();
    let nothing = Observed::default();
    let (changes, cost) = measure(|| stacks.iter().map(|stack| envoy.diff(stack, &nothing)).collect::<Result<Vec<_>, _>>());
    let sum = stacks.iter().zip(&changes?).map(|(stack, changes)| bytes(stack, changes)).sum();
    show(&format!("diff against nothing, {what}"), &cost, Some(sum));
    Ok(stacks)
}

/// Bytes of the resources that changes publish, endpoints apart.
fn bytes(stack: &Stack, changes: &[Change<Operation>]) -> u64 {
    let published = |name: &str, kind: &str| {
        let is_it = |operation: &Operation| matches!(operation, Operation::Publish(key) if key.name == name && key.kind.word() == kind);
        changes.iter().any(|change| is_it(&change.operation))
    };
    let listeners = stack.listeners.iter().filter(|it| published(&it.name, "listener")).map(Message::encoded_len);
    // Virtual hosts go by themselves, or within their routes.
    let apart = changes.iter().any(|change| change.operation.to_string().contains("virtual-host"));
    let frame = |routes: &RouteConfiguration| {
        let mut routes = routes.clone();
        if apart {
            routes.virtual_hosts.clear();
        }
        routes.encoded_len()
    };
    let routes = stack.route_configurations.iter().filter(|it| published(&it.name, "routes")).map(frame);
    let hosts = stack.route_configurations.iter().flat_map(|it| &it.virtual_hosts);
    let hosts = hosts.filter(|it| published(&it.name, "virtual-host")).map(Message::encoded_len);
    let clusters = stack.clusters.iter().filter(|it| published(&it.name, "cluster")).map(Message::encoded_len);
    listeners.chain(routes).chain(hosts).chain(clusters).sum::<usize>() as u64
}
