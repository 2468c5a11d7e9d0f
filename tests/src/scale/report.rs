//! The benchmark's report: both sizes side by side.

use std::fmt::Write;

use serde::Serialize;

use super::measure::Cost;
use super::reach::Times;
use crate::judge::Class;

/// How much more allocations one change may take at the larger size: hash tables and trees of ten times as many entries are a little deeper.
const TOLERANCE: f64 = 1.25;
/// Allocations below which a difference says nothing: what the runtime does by itself.
const NOISE: u64 = 2_000;

/// Bytes below which a difference says nothing: names are as long as the numbers in them.
const LENGTHS: u64 = 512;
/// Milliseconds within which an endpoint gets requests.
const REACHED_WITHIN: f64 = 100.0;

/// What the operator reads again after minutes, whatever happens: whether a change pays for it is chance.
const READ_BY_AGE: [&str; 3] = ["ec2.DescribeSubnets", "ec2.DescribeVpcs", "elasticloadbalancing.DescribeAccountLimits"];

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    /// How the lab, and as a rule the operator, was built: `debug` or `release`.
    pub program: String,
    /// The Gateways' class.
    #[serde(serialize_with = "name")]
    pub class: Class,
    /// The sizes, the smaller one first.
    pub sizes: Vec<Size>,
}

fn name<S: serde::Serializer>(class: &Class, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(class.name())
}

/// What was measured at one size.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Size {
    /// How many Gateways there were.
    pub gateways: usize,
    /// How many routes each had.
    pub routes: usize,
    /// The operator's peak of resident memory in KiB.
    pub peak_kib: u64,
    /// The same of a proxy, of a class that proxies serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_peak_kib: Option<u64>,
    /// How soon endpoints get requests.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reach: Vec<Times>,
    /// What things cost, by what they are.
    pub costs: Vec<(&'static str, Cost)>,
}

impl Size {
    /// Adds a cost.
    pub fn push(&mut self, name: &'static str, cost: Cost) {
        self.costs.push((name, cost));
    }

    fn cost(&self, name: &str) -> Option<&Cost> {
        self.costs.iter().find(|(other, _)| *other == name).map(|(_, cost)| cost)
    }
}

impl Report {
    /// Tables for people.
    pub fn text(&self) -> String {
        let mut text = format!("Benchmark of scale, of {}\n", self.program);
        for size in &self.sizes {
            let _ = write!(text, "  {} Gateways × {} routes: peak memory {} MiB", size.gateways, size.routes, size.peak_kib / 1024);
            let _ = match size.proxy_peak_kib {
                Some(peak) => writeln!(text, ", of a proxy {} MiB", peak / 1024),
                None => writeln!(text),
            };
        }
        let columns = match self.class {
            Class::PorticoAlb => "  mutations  reads  statuses  requests  allocs",
            Class::PorticoEnvoy => "  responses  resources       bytes  statuses  requests  allocs",
        };
        let width = columns.len();
        let heads = self.sizes.iter().map(|size| format!("{:>width$}", format!("{} Gateways", size.gateways))).collect::<String>();
        let _ = writeln!(text, "\n{:<22}{heads}\n{:<22}{}", "", "", columns.repeat(self.sizes.len()));
        for (name, _) in self.sizes.first().map(|size| size.costs.as_slice()).unwrap_or_default() {
            let _ = write!(text, "{name:<22}");
            for size in &self.sizes {
                match size.cost(name) {
                    Some(cost) => text.push_str(&self.row(cost)),
                    None => text.push_str(&" ".repeat(width)),
                }
            }
            let times: Vec<String> =
                self.sizes.iter().filter_map(|size| size.cost(name)).map(|cost| format!("{:.2} s", cost.time.as_secs_f64())).collect();
            let _ = writeln!(text, "   {}", times.join(" → "));
        }
        for size in &self.sizes {
            let _ = writeln!(text, "\n{}, {} Gateways × {} routes:", self.details(), size.gateways, size.routes);
            for (name, cost) in &size.costs {
                let calls = cost.operations.iter().map(|(operation, count)| format!("{operation} {count}"));
                let told = cost.told.iter().map(|(kind, told)| format!("{kind} {} ({} bytes)", told.resources, told.bytes));
                let all: Vec<String> = calls.chain(told).collect();
                let _ = writeln!(text, "  {name}: {}", if all.is_empty() { "none".to_owned() } else { all.join(", ") });
            }
            for Times { change, count, median, ninth, longest } in &size.reach {
                let _ = writeln!(
                    text,
                    "  {change}: requests reach it after {median:.0} ms (median of {count}), 90 % within {ninth:.0} ms, all within {longest:.0} ms"
                );
            }
        }
        text
    }

    fn details(&self) -> &'static str {
        match self.class {
            Class::PorticoAlb => "Calls by operation",
            Class::PorticoEnvoy => "Resources by kind",
        }
    }

    fn row(&self, cost: &Cost) -> String {
        let allocations = cost.allocations.map_or_else(|| "-".to_owned(), short);
        let Cost { mutations, reads, status_writes, api_requests, .. } = cost;
        let told = cost.told();
        let first = match self.class {
            Class::PorticoAlb => format!("  {mutations:>9}  {reads:>5}"),
            Class::PorticoEnvoy => format!("  {:>9}  {:>9}  {:>10}", told.responses, told.resources, told.bytes),
        };
        format!("{first}  {status_writes:>8}  {api_requests:>8}  {allocations:>6}")
    }

    /// Endpoints that do not get requests soon enough, in words.
    pub fn late(&self) -> Vec<String> {
        let all = self.sizes.iter().flat_map(|size| size.reach.iter().map(move |times| (size, times)));
        let late = all.filter(|(_, times)| times.median > REACHED_WITHIN);
        late.map(|(size, times)| {
            let routes = size.gateways * size.routes;
            format!("{}: at {routes} routes requests reach it after {:.0} ms (median)", times.change, times.median)
        })
        .collect()
    }

    /// The single changes that cost more at the larger size, in words.
    pub fn grown(&self) -> Vec<String> {
        let [small, large] = self.sizes.as_slice() else { return Vec::new() };
        let mut found = Vec::new();
        for (name, before) in small.costs.iter().filter(|(name, _)| !name.starts_with("start")) {
            let Some(after) = large.cost(name) else { continue };
            for (what, before, after) in [
                ("mutations", before.mutations, after.mutations),
                ("reads", reads(before), reads(after)),
                ("status writes", before.status_writes, after.status_writes),
            ] {
                if after > before {
                    found.push(format!("{name}: {what} grew from {before} to {after}"));
                }
            }
            let (told_before, told_after) = (before.told(), after.told());
            for (what, before, after, noise) in
                [("resources", told_before.resources, told_after.resources, 0), ("bytes", told_before.bytes, told_after.bytes, LENGTHS)]
            {
                if after as f64 > before as f64 * TOLERANCE + noise as f64 {
                    found.push(format!("{name}: {what} sent to proxies grew from {before} to {after}"));
                }
            }
            if let (Some(before), Some(after)) = (before.allocations, after.allocations)
                && after as f64 > before as f64 * TOLERANCE + NOISE as f64
            {
                found.push(format!("{name}: allocations grew from {before} to {after}"));
            }
        }
        found
    }
}

/// The reads that a change itself causes.
fn reads(cost: &Cost) -> u64 {
    let by_age: u64 = READ_BY_AGE.iter().filter_map(|name| cost.operations.get(*name)).sum();
    cost.reads.saturating_sub(by_age)
}

/// `950`, `12k`, `3.4M`.
fn short(count: u64) -> String {
    match count {
        0..10_000 => count.to_string(),
        10_000..10_000_000 => format!("{}k", count / 1000),
        _ => format!("{:.1}M", count as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scale::measure::Told;

    #[test]
    fn what_grows_is_named() {
        let size = |gateways, mutations, allocations| Size {
            gateways,
            costs: vec![("a change", Cost { mutations, allocations: Some(allocations), ..Cost::default() })],
            ..Size::default()
        };
        let report = |sizes| Report { program: "portico".to_owned(), class: Class::PorticoEnvoy, sizes };
        let grown = |small, large| report(vec![small, large]).grown();
        assert!(grown(size(10, 1, 10_000), size(100, 1, 13_000)).is_empty());
        assert_eq!(grown(size(10, 1, 10_000), size(100, 1, 30_000)), ["a change: allocations grew from 10000 to 30000"]);
        assert_eq!(grown(size(10, 1, 1), size(100, 2, 1)), ["a change: mutations grew from 1 to 2"]);
        let told = |bytes| {
            let told = [("routes".to_owned(), Told { responses: 1, resources: 1, bytes })].into();
            Size { costs: vec![("a change", Cost { told, ..Cost::default() })], ..Size::default() }
        };
        assert!(grown(told(10_000), told(10_600)).is_empty());
        assert_eq!(grown(told(10_000), told(100_000)), ["a change: bytes sent to proxies grew from 10000 to 100000"]);
        let mut aged = size(100, 1, 1);
        for (_, cost) in &mut aged.costs {
            cost.reads = 1;
            cost.operations = [("ec2.DescribeSubnets".to_owned(), 1)].into();
        }
        assert!(grown(size(10, 1, 1), aged).is_empty());
    }

    #[test]
    fn endpoints_that_take_too_long_are_named() {
        let size = |median| Size {
            gateways: 50,
            routes: 20,
            reach: vec![Times { change: "an endpoint more", count: 1, median, ninth: median, longest: median }],
            ..Size::default()
        };
        let late = |median| Report { program: String::new(), class: Class::PorticoEnvoy, sizes: vec![size(median)] }.late();
        assert!(late(99.0).is_empty());
        assert_eq!(late(120.4), ["an endpoint more: at 1000 routes requests reach it after 120 ms (median)"]);
    }
}
