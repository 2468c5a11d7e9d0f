//! The benchmark's report: both sizes side by side.

use std::fmt::Write;

use serde::Serialize;

use super::measure::Cost;

/// How much more allocations one change may take at the larger size: hash tables and trees of ten times as many entries are a little deeper.
const TOLERANCE: f64 = 1.25;
/// Allocations below which a difference says nothing: what the runtime does by itself.
const NOISE: u64 = 2_000;

/// What the operator reads again after minutes, whatever happens: whether a change pays for it is chance.
const READ_BY_AGE: [&str; 3] = ["ec2.DescribeSubnets", "ec2.DescribeVpcs", "elasticloadbalancing.DescribeAccountLimits"];

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    /// How the lab, and as a rule the operator, was built: `debug` or `release`.
    pub program: String,
    /// The sizes, the smaller one first.
    pub sizes: Vec<Size>,
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
            let _ = writeln!(text, "  {} Gateways × {} routes: peak memory {} MiB", size.gateways, size.routes, size.peak_kib / 1024);
        }
        let heads = self.sizes.iter().map(|size| format!("{:>42}", format!("{} Gateways", size.gateways))).collect::<String>();
        let columns = "  mutations  reads  statuses  requests  allocs".to_owned();
        let _ = writeln!(text, "\n{:<22}{heads}\n{:<22}{}", "", "", columns.repeat(self.sizes.len()));
        for (name, _) in self.sizes.first().map(|size| size.costs.as_slice()).unwrap_or_default() {
            let _ = write!(text, "{name:<22}");
            for size in &self.sizes {
                match size.cost(name) {
                    Some(cost) => {
                        let allocations = cost.allocations.map_or_else(|| "-".to_owned(), short);
                        let Cost { mutations, reads, status_writes, api_requests, .. } = cost;
                        let _ = write!(text, "  {mutations:>9}  {reads:>5}  {status_writes:>8}  {api_requests:>8}  {allocations:>6}");
                    }
                    None => text.push_str(&" ".repeat(columns.len())),
                }
            }
            let times: Vec<String> =
                self.sizes.iter().filter_map(|size| size.cost(name)).map(|cost| format!("{:.2} s", cost.time.as_secs_f64())).collect();
            let _ = writeln!(text, "   {}", times.join(" → "));
        }
        for size in &self.sizes {
            let _ = writeln!(text, "\nCalls by operation, {} Gateways × {} routes:", size.gateways, size.routes);
            for (name, cost) in &size.costs {
                let calls: Vec<String> = cost.operations.iter().map(|(operation, count)| format!("{operation} {count}")).collect();
                let _ = writeln!(text, "  {name}: {}", if calls.is_empty() { "none".to_owned() } else { calls.join(", ") });
            }
        }
        text
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

    #[test]
    fn what_grows_is_named() {
        let size = |gateways, mutations, allocations| Size {
            gateways,
            costs: vec![("a change", Cost { mutations, allocations: Some(allocations), ..Cost::default() })],
            ..Size::default()
        };
        let grown = |small, large| Report { program: "portico".to_owned(), sizes: vec![small, large] }.grown();
        assert!(grown(size(10, 1, 10_000), size(100, 1, 13_000)).is_empty());
        assert_eq!(grown(size(10, 1, 10_000), size(100, 1, 30_000)), ["a change: allocations grew from 10000 to 30000"]);
        assert_eq!(grown(size(10, 1, 1), size(100, 2, 1)), ["a change: mutations grew from 1 to 2"]);
        let mut aged = size(100, 1, 1);
        for (_, cost) in &mut aged.costs {
            cost.reads = 1;
            cost.operations = [("ec2.DescribeSubnets".to_owned(), 1)].into();
        }
        assert!(grown(size(10, 1, 1), aged).is_empty());
    }
}
