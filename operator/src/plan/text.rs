//! The plan for a person: by load balancer, then by kind of resource; what is done on the left, where it comes from on the right.

use std::fmt::Write;

use anstyle::Style;

use super::document::{ChangeDocument, PlanDocument, RefusalDocument, Situation, UnitDocument, Verb};
use crate::output::{CREATE, DELETE, DIM, HEADING, UPDATE, styled};

/// Columns of a line that stands beside its source, where nobody says how wide the output is.
const WIDTH: usize = 150;

/// How many load balancers without changes are named.
const NAMED: usize = 8;

/// How many refusals of one cause are listed.
const LISTED: usize = 10;

impl PlanDocument {
    /// The plan for a person, with styles; `width` is that of the terminal.
    pub fn text(&self, width: Option<usize>) -> String {
        let mut page = Page { out: String::new(), width };
        for unit in self.units.iter().filter(|unit| !unit.is_quiet()) {
            page.unit(unit);
        }
        page.quiet(&self.units);
        if !self.problems.is_empty() {
            page.line(0, &styled(HEADING, "Problems"));
            for problem in &self.problems {
                page.line(2, &format!("{} {}  {}", styled(DELETE, "!"), problem.object, styled(DIM, &problem.condition)));
                page.wrapped(6, &problem.message, Style::new());
            }
            page.line(0, "");
        }
        page.summary(self);
        page.out
    }
}

/// Text under way.
struct Page {
    out: String,
    width: Option<usize>,
}

/// One line of a group.
struct Row<'a> {
    change: &'a ChangeDocument,
    text: &'a str,
    note: String,
}

impl Page {
    fn line(&mut self, indent: usize, text: &str) {
        if text.is_empty() {
            self.out.push('\n');
        } else {
            let _ = writeln!(self.out, "{:indent$}{text}", "");
        }
    }

    /// A paragraph, broken at the terminal's width and indented throughout.
    fn wrapped(&mut self, indent: usize, text: &str, style: Style) {
        for line in broken(text, self.width.map(|width| width.saturating_sub(indent))) {
            self.line(indent, &styled(style, line));
        }
    }

    fn unit(&mut self, unit: &UnitDocument) {
        let mut counts = Vec::new();
        for (verb, style, words) in
            [(Verb::Create, CREATE, "to create"), (Verb::Update, UPDATE, "to change"), (Verb::Delete, DELETE, "to delete")]
        {
            let number = unit.count(verb);
            if number > 0 {
                counts.push(styled(style, format_args!("{number} {words}")));
            }
        }
        let counts = if counts.is_empty() { String::new() } else { format!("  {}", counts.join(", ")) };
        self.line(0, &format!("{}{counts}", styled(HEADING, name(&unit.unit))));
        match unit.situation {
            Situation::Served => {}
            Situation::Held => self.line(2, "Its Gateway is not accepted or has lost its class: whatever exists is left as it is."),
            Situation::Deleting => self.line(2, "Its Gateway is being deleted, or belongs to another controller now."),
            Situation::Orphaned => self.line(2, "The cloud has it, but there is no such Gateway in the cluster."),
        }
        if let Some(note) = &unit.note {
            self.wrapped(2, note, Style::new());
        }
        if let Some(error) = &unit.error {
            self.line(2, &styled(DELETE, "cannot be planned"));
            self.wrapped(6, error, Style::new());
        }
        self.refusals(&unit.refusals);
        for (heading, changes) in groups(&unit.changes) {
            self.group(&heading, &changes);
        }
        if unit.changes.is_empty() && unit.error.is_none() && unit.situation == Situation::Served {
            self.line(2, &styled(DIM, "nothing to change"));
        }
        self.line(0, "");
    }

    /// Refusals, those with the same cause together: a quota that is exceeded by thirty rules is one thing to say.
    fn refusals(&mut self, refusals: &[RefusalDocument]) {
        let mut causes: Vec<(&str, Vec<&RefusalDocument>)> = Vec::new();
        for refusal in refusals {
            match causes.iter_mut().find(|(why, _)| *why == refusal.why.as_str()) {
                Some((_, same)) => same.push(refusal),
                None => causes.push((refusal.why.as_str(), vec![refusal])),
            }
        }
        if !causes.is_empty() {
            self.line(2, &styled(DELETE, "refused"));
        }
        for (why, same) in causes {
            let mut lines = broken(why, self.width.map(|width| width.saturating_sub(6))).into_iter();
            if let Some(first) = lines.next() {
                self.line(4, &format!("{} {first}", styled(DELETE, "!")));
            }
            lines.for_each(|line| self.line(6, line));
            let widest = same.iter().take(LISTED).map(|it| it.subject.chars().count()).max().unwrap_or_default();
            for refusal in same.iter().take(LISTED) {
                self.line(8, &format!("{}  {}", padded(&refusal.subject, widest), styled(DIM, &refusal.field)));
            }
            if same.len() > LISTED {
                self.line(8, &styled(DIM, format_args!("and {} more", same.len() - LISTED)));
            }
        }
    }

    fn group(&mut self, heading: &str, changes: &[&ChangeDocument]) {
        self.line(2, &styled(HEADING, heading));
        let rows: Vec<Row> = changes.iter().map(|change| Row { change, text: short(change), note: note(change) }).collect();
        let widest = rows.iter().filter(|row| !row.note.is_empty()).map(|row| row.text.chars().count()).max().unwrap_or_default();
        let notes = rows.iter().map(|row| row.note.chars().count()).max().unwrap_or_default();
        let beside = 6 + widest + 2 + notes <= self.width.unwrap_or(WIDTH);
        for row in rows {
            let (style, sign) = match row.change.action {
                Verb::Create => (CREATE, '+'),
                Verb::Update => (UPDATE, '~'),
                Verb::Delete => (DELETE, '-'),
            };
            let sign = styled(style, sign);
            if row.note.is_empty() || beside {
                let text = if row.note.is_empty() { row.text.to_owned() } else { padded(row.text, widest) };
                let note = if row.note.is_empty() { String::new() } else { format!("  {}", styled(DIM, &row.note)) };
                self.line(4, &format!("{sign} {text}{note}"));
                continue;
            }
            let lines = broken(row.text, self.width.map(|width| width.saturating_sub(8)));
            for (number, line) in lines.into_iter().enumerate() {
                if number == 0 {
                    self.line(4, &format!("{sign} {line}"));
                } else {
                    self.line(8, line);
                }
            }
            self.wrapped(8, &row.note, DIM);
        }
    }

    /// The load balancers about which there is nothing to say, on one line.
    fn quiet(&mut self, units: &[UnitDocument]) {
        let quiet: Vec<_> = units.iter().filter(|unit| unit.is_quiet()).map(|unit| name(&unit.unit)).collect();
        if quiet.is_empty() {
            return;
        }
        let text = if quiet.len() <= NAMED { quiet.join(", ") } else { format!("{} load balancers", quiet.len()) };
        self.wrapped(0, &format!("As they should be: {text}"), DIM);
        self.line(0, "");
    }

    fn summary(&mut self, document: &PlanDocument) {
        let summary = &document.summary;
        let changes = summary.create + summary.update + summary.delete;
        let complaints = summary.complaints();
        let end = if complaints.is_empty() { String::new() } else { format!("; {}", styled(DELETE, complaints)) };
        let counts = if changes == 0 {
            "no changes".to_owned()
        } else {
            format!("{} to create, {} to change, {} to delete", summary.create, summary.update, summary.delete)
        };
        self.line(0, &format!("{} {counts}{end}.", styled(HEADING, "Plan:")));
        if document.source.observed == "nothing" && changes > 0 {
            let of_fleets = |change: &ChangeDocument| change.call == portico_envoy::Operation::PUBLISH;
            let all = || document.units.iter().flat_map(|unit| &unit.changes);
            let (fleets, clouds) = (all().any(of_fleets), !all().all(of_fleets));
            if clouds {
                self.line(
                    0,
                    &styled(DIM, "Compared with an empty account: no cloud was asked. Subnets and groups of the cloud are assumed."),
                );
            }
            if fleets {
                self.line(0, &styled(DIM, "Compared with Envoy proxies that know nothing: no fleet was asked."));
            }
        }
    }
}

/// `gateway/NS/NAME` as a person writes it.
fn name(unit: &str) -> String {
    match unit.split_once('/') {
        Some(("gateway", key)) => format!("Gateway {key}"),
        _ => unit.to_owned(),
    }
}

/// Changes by kind of resource, in the order in which the kinds first come; rules by listener.
fn groups(changes: &[ChangeDocument]) -> Vec<(String, Vec<&ChangeDocument>)> {
    let mut groups: Vec<(String, Vec<&ChangeDocument>)> = Vec::new();
    for change in changes {
        let heading = heading(&change.resource);
        match groups.iter_mut().find(|(there, _)| *there == heading) {
            Some((_, members)) => members.push(change),
            None => groups.push((heading, vec![change])),
        }
    }
    groups
}

/// `rule/80/…` is `rules on port 80`, `target-group/…` is `target groups`.
fn heading(resource: &str) -> String {
    let mut parts = resource.split('/');
    match (parts.next().unwrap_or_default(), parts.next()) {
        ("rule", Some(port)) => format!("rules on port {port}"),
        (kind, None) => kind.replace('-', " "),
        ("backend-access", Some(_)) => "access to backends".to_owned(),
        (kind, Some(_)) => format!("{}s", kind.replace('-', " ")),
    }
}

/// The operation without what the group's heading says.
fn short(change: &ChangeDocument) -> &str {
    let port = change.resource.strip_prefix("rule/").and_then(|rest| rest.split('/').next());
    let rest = port.and_then(|port| change.operation.strip_prefix("on port ")?.strip_prefix(port));
    rest.map_or(change.operation.as_str(), |rest| rest.trim_start_matches([' ', ',']))
}

/// Why, and where it comes from. Something new is there because an object asks for it, which its source says.
fn note(change: &ChangeDocument) -> String {
    let reason = if change.action == Verb::Create { "" } else { change.reason.as_str() };
    let sources = match change.sources.as_slice() {
        [] => String::new(),
        [only] => format!("← {only}"),
        [first, rest @ ..] => format!("← {first} and {} more", rest.len()),
    };
    let gate = change.gate.as_ref().map(|gate| format!("({gate})")).unwrap_or_default();
    let parts: Vec<&str> = [reason, sources.as_str(), gate.as_str()].into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("  ")
}

fn padded(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(text.chars().count());
    format!("{text}{:missing$}", "")
}

/// A text in lines of at most `width` characters, broken between words; one line where there is no width. A longer word stays whole.
fn broken(text: &str, width: Option<usize>) -> Vec<&str> {
    let Some(width) = width else { return vec![text] };
    let mut lines = Vec::new();
    let mut rest = text;
    while rest.chars().count() > width {
        let limit = rest.char_indices().nth(width + 1).map_or(rest.len(), |(at, _)| at);
        let Some(at) = rest.get(..limit).and_then(|head| head.rfind(' ')).or_else(|| rest.find(' ')) else { break };
        let (line, tail) = rest.split_at(at);
        lines.push(line);
        rest = tail.trim_start();
    }
    lines.push(rest);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::document::{Cause, Problem, Traffic};
    use expect_test::{Expect, expect};
    use portico_crds::NamespacedName;
    use portico_providers::UnitId;
    use std::collections::BTreeSet;

    fn change(action: Verb, resource: &str, operation: &str, reason: &str, sources: &[&str]) -> ChangeDocument {
        ChangeDocument {
            action,
            resource: resource.into(),
            call: "Call".into(),
            operation: operation.into(),
            reason: reason.into(),
            sources: sources.iter().map(|s| (*s).to_owned()).collect(),
            after: Vec::new(),
            gate: None,
        }
    }

    fn unit(name: &str) -> UnitDocument {
        UnitDocument::new(&UnitId::Gateway(name.parse::<NamespacedName>().unwrap()), Situation::Served)
    }

    fn refusal(rule: u32) -> RefusalDocument {
        RefusalDocument {
            subject: format!("HTTPRoute shop/cart rules[{rule}].matches[0]"),
            field: format!("spec.rules[{rule}]"),
            cause: Cause::Quota { limit: "rules".into(), holder: "load balancer".into(), need: 131, have: 100 },
            traffic: Traffic::Answer500,
            remedy: "Raise the quota.".into(),
            message: String::new(),
            why: "needs 131 rules, the ALB allows 100; its requests are answered 500. Raise the quota.".into(),
        }
    }

    fn document() -> PlanDocument {
        let mut first = unit("platform/public");
        first.changes = vec![
            change(Verb::Create, "target-group/shop/web:80", "create target group web", "not there", &["Service shop/web"]),
            change(Verb::Create, "target-group/shop/longer:80", "create target group longer", "not there", &["Service shop/longer"]),
            change(
                Verb::Create,
                "rule/80/shop",
                "on port 80 at priority 500, if path /a: forward to shop",
                "not there yet",
                &["HTTPRoute shop/cart rules[0].matches[0]"],
            ),
            change(
                Verb::Update,
                "rule/80/x",
                "on port 80, change a rule to forward",
                "weights 50/50 → 90/10",
                &["HTTPRoute a/b", "HTTPRoute a/c", "Gateway x/y"],
            ),
            change(Verb::Delete, "target-group/name/old", "delete target group old", "nothing forwards to it any more", &[]),
        ];
        first.refusals = (0..12).map(refusal).collect();
        let mut broken = unit("a/b");
        broken.error = Some("no subnet fits".into());
        let mut gone = UnitDocument { situation: Situation::Orphaned, ..unit("c/d") };
        gone.changes = vec![change(Verb::Delete, "load-balancer", "delete load balancer x", "its Gateway is gone", &[])];
        let problem = Problem {
            object: "HTTPRoute shop/cart".into(),
            condition: "ResolvedRefs=False BackendNotFound".into(),
            message: "spec.rules[0].backendRefs[0]: no Service shop/gone".into(),
        };
        PlanDocument::new(vec![first, broken, gone, unit("e/f"), unit("e/g")], BTreeSet::from([problem]))
    }

    fn reads(document: &PlanDocument, width: Option<usize>, expected: Expect) {
        let plain = anstream::adapter::strip_str(&document.text(width)).to_string();
        expected.assert_eq(&plain);
    }

    #[test]
    fn a_plan_reads_like_a_plan() {
        reads(
            &document(),
            None,
            expect![[r#"
            Gateway platform/public  3 to create, 1 to change, 1 to delete
              refused
                ! needs 131 rules, the ALB allows 100; its requests are answered 500. Raise the quota.
                    HTTPRoute shop/cart rules[0].matches[0]  spec.rules[0]
                    HTTPRoute shop/cart rules[1].matches[0]  spec.rules[1]
                    HTTPRoute shop/cart rules[2].matches[0]  spec.rules[2]
                    HTTPRoute shop/cart rules[3].matches[0]  spec.rules[3]
                    HTTPRoute shop/cart rules[4].matches[0]  spec.rules[4]
                    HTTPRoute shop/cart rules[5].matches[0]  spec.rules[5]
                    HTTPRoute shop/cart rules[6].matches[0]  spec.rules[6]
                    HTTPRoute shop/cart rules[7].matches[0]  spec.rules[7]
                    HTTPRoute shop/cart rules[8].matches[0]  spec.rules[8]
                    HTTPRoute shop/cart rules[9].matches[0]  spec.rules[9]
                    and 2 more
              target groups
                + create target group web     ← Service shop/web
                + create target group longer  ← Service shop/longer
                - delete target group old     nothing forwards to it any more
              rules on port 80
                + at priority 500, if path /a: forward to shop  ← HTTPRoute shop/cart rules[0].matches[0]
                ~ change a rule to forward                      weights 50/50 → 90/10  ← HTTPRoute a/b and 2 more

            Gateway a/b
              cannot be planned
                  no subnet fits

            Gateway c/d  1 to delete
              The cloud has it, but there is no such Gateway in the cluster.
              load balancer
                - delete load balancer x  its Gateway is gone

            As they should be: Gateway e/f, Gateway e/g

            Problems
              ! HTTPRoute shop/cart  ResolvedRefs=False BackendNotFound
                  spec.rules[0].backendRefs[0]: no Service shop/gone

            Plan: 3 to create, 1 to change, 2 to delete; 12 refusals, 1 problem, 1 error.
        "#]],
        );
    }

    #[test]
    fn a_narrow_terminal_gets_narrow_lines() {
        let document = document();
        for line in anstream::adapter::strip_str(&document.text(Some(80))).to_string().lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn nothing_to_do_is_said_in_one_line() {
        let many = (0..20).map(|number| unit(&format!("a/g{number}"))).collect();
        reads(
            &PlanDocument::new(many, BTreeSet::new()),
            None,
            expect![[r#"
            As they should be: 20 load balancers

            Plan: no changes.
        "#]],
        );
    }

    #[test]
    fn words_are_kept_whole() {
        assert_eq!(broken("one two three", Some(7)), ["one two", "three"]);
        assert_eq!(broken("extraordinary word", Some(5)), ["extraordinary", "word"]);
        assert_eq!(broken("anything at all", None), ["anything at all"]);
    }
}
