//! What holds for any stacks: the changes of a diff lead to the stack, and from there nothing is left to do.

use crate::cloud::Cloud;
use crate::plans::{cluster, plan, unit};
use portico_aws::{Stack, compile, diff};
use portico_providers::Presence;
use proptest::prelude::*;

/// A rule: path, header, Services with weights.
type RuleSeed = (u8, Option<u8>, Vec<(u8, u32)>);

fn rule() -> impl Strategy<Value = RuleSeed> {
    (0..12u8, prop::option::of(0..3u8), prop::collection::vec((0..6u8, 0..2000u32), 0..4))
}

fn ports() -> impl Strategy<Value = Vec<(u16, Vec<RuleSeed>)>> {
    prop::collection::btree_map(80..84u16, prop::collection::vec(rule(), 0..12), 0..3).prop_map(|ports| ports.into_iter().collect())
}

fn stack(ports: &[(u16, Vec<RuleSeed>)]) -> Stack {
    let ports: Vec<_> = ports
        .iter()
        .map(|(port, rules)| {
            let rules: Vec<_> = rules
                .iter()
                .map(|(path, header, backends)| {
                    let headers: Vec<_> =
                        header.iter().map(|h| serde_json::json!({ "name": "x", "value": { "exact": h.to_string() } })).collect();
                    let backends: Vec<_> = backends.iter().map(|(service, weight)| format!("{weight} x team-a/s{service}:80")).collect();
                    serde_json::json!({ "http": { "path": { "prefix": format!("/p{path}") }, "headers": headers }, "backends": backends })
                })
                .collect();
            serde_json::json!({ "port": port, "listeners": [{ "rules": rules }] })
        })
        .collect();
    compile(&cluster(), &plan(&serde_json::json!({ "ports": ports }).to_string())).stack
}

fn reach(cloud: &mut Cloud, stack: &Stack) {
    for change in diff(stack, &cloud.observe(stack)).unwrap() {
        cloud.apply(&change.operation);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn from_any_stack_to_any_other_and_to_nothing(first in ports(), second in ports()) {
        let mut cloud = Cloud::new();
        for wanted in [stack(&first), stack(&second)] {
            reach(&mut cloud, &wanted);
            prop_assert_eq!(diff(&wanted, &cloud.observe(&wanted)).unwrap(), vec![]);
            let name = &wanted.load_balancer.as_ref().unwrap().name;
            let listeners = cloud.balancers[name].listeners.present().unwrap();
            prop_assert_eq!(listeners.len(), wanted.listeners.len());
            for listener in &wanted.listeners {
                // Priorities increase with rank.
                let Presence::Present(rules) = &listeners[&listener.port].rules else { panic!() };
                let found: Vec<_> = rules.values().map(|rule| (&rule.conditions, &rule.action)).collect();
                let expected: Vec<_> = listener.rules.iter().map(|rule| (&rule.conditions, &rule.action)).collect();
                prop_assert_eq!(found, expected);
            }
        }
        let nothing = Stack::empty(&cluster(), &unit());
        reach(&mut cloud, &nothing);
        prop_assert!(cloud.balancers.is_empty() && cloud.groups.is_empty() && cloud.own.is_none() && cloud.nodes.admits_us.is_empty());
    }

    /// A pass that is cut off anywhere is finished by the next.
    #[test]
    fn cut_off_anywhere_the_next_pass_converges(first in ports(), second in ports(), cut in 0..40usize) {
        let mut cloud = Cloud::new();
        let (first, second) = (stack(&first), stack(&second));
        reach(&mut cloud, &first);
        for change in diff(&second, &cloud.observe(&second)).unwrap().into_iter().take(cut) {
            cloud.apply(&change.operation);
        }
        reach(&mut cloud, &second);
        prop_assert_eq!(diff(&second, &cloud.observe(&second)).unwrap(), vec![]);
    }
}
