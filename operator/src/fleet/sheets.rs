//! What is said of units, in sheets of so many lines: Kubernetes takes 1 MiB in one ConfigMap. A unit keeps its sheet for as long as something is said of it, so that what changes
//! costs the writing of one.

use std::collections::{BTreeMap, BTreeSet};

use portico_envoy_xds::{Acknowledgement, Progress};
use portico_providers::UnitId;

/// Lines of a sheet: with 500 bytes for names and counts, and words of which every character is escaped, they come to 960 KiB.
const LINES: usize = 128;

/// Bytes of the refusals in one line, and of why a proxy was turned away.
const REFUSALS: usize = 3072;
const REASON: usize = 512;

/// Of what a line speaks: a unit on a fleet.
type Subject = (String, UnitId);

/// Sheets by number.
#[derive(Debug, Default)]
pub(super) struct Sheets {
    sheets: BTreeMap<usize, BTreeMap<Subject, Progress>>,
    places: BTreeMap<Subject, usize>,
    unwritten: BTreeSet<usize>,
}

impl Sheets {
    /// Sheets that were written before, by whomever.
    pub fn written_before(sheets: impl IntoIterator<Item = (usize, Vec<Acknowledgement>)>) -> Self {
        let mut all = Self::default();
        for (number, said) in sheets {
            let sheet = all.sheets.entry(number).or_default();
            for Acknowledgement { fleet, unit, progress } in said {
                let subject = (fleet, unit);
                // Of two that speak of one unit the first stays.
                if all.places.contains_key(&subject) {
                    all.unwritten.insert(number);
                    continue;
                }
                all.places.insert(subject.clone(), number);
                sheet.insert(subject, progress);
            }
        }
        all
    }

    /// Takes what is so now.
    pub fn take(&mut self, said: Vec<Acknowledgement>) {
        let now: BTreeMap<Subject, Progress> = said.into_iter().map(|it| ((it.fleet, it.unit), brief(it.progress))).collect();
        let gone: Vec<Subject> = self.places.keys().filter(|subject| !now.contains_key(*subject)).cloned().collect();
        for subject in gone {
            if let Some(number) = self.places.remove(&subject) {
                self.sheets.entry(number).or_default().remove(&subject);
                self.unwritten.insert(number);
            }
        }
        for (subject, progress) in now {
            let number = match self.places.get(&subject) {
                Some(number) => *number,
                None => self.room(),
            };
            let sheet = self.sheets.entry(number).or_default();
            if sheet.get(&subject) != Some(&progress) {
                self.unwritten.insert(number);
                self.places.insert(subject.clone(), number);
                sheet.insert(subject, progress);
            }
        }
    }

    /// The first sheet that has room.
    fn room(&self) -> usize {
        (0..).find(|number| self.sheets.get(number).is_none_or(|sheet| sheet.len() < LINES)).unwrap_or_default()
    }

    /// The first sheet that is not written as it is, and what it should hold; nothing where it is to go.
    pub fn unwritten(&self) -> Option<(usize, Vec<Acknowledgement>)> {
        let number = *self.unwritten.first()?;
        let lines = self.sheets.get(&number).into_iter().flatten();
        let line = |((fleet, unit), progress): (&Subject, &Progress)| Acknowledgement {
            fleet: fleet.clone(),
            unit: unit.clone(),
            progress: progress.clone(),
        };
        Some((number, lines.map(line).collect()))
    }

    /// Nobody knows what is written.
    pub fn doubt(&mut self) {
        self.unwritten.extend(self.sheets.keys());
    }

    /// A sheet was written, or is gone where it holds nothing.
    pub fn is_written(&mut self, number: usize) {
        self.unwritten.remove(&number);
        self.sheets.retain(|_, sheet| !sheet.is_empty());
    }
}

/// The same with no more than so much of what proxies said.
fn brief(mut progress: Progress) -> Progress {
    let mut room = REFUSALS;
    let mut kept = Vec::new();
    for refusal in &progress.refusals {
        if room == 0 {
            break;
        }
        let end = refusal.floor_char_boundary(room);
        kept.extend(refusal.get(..end).map(str::to_owned));
        room = room.saturating_sub(refusal.len());
    }
    let left = progress.refusals.len() - kept.len();
    if left > 0 {
        kept.push(format!("and {left} more"));
    }
    progress.refusals = kept;
    if let Some(reason) = &mut progress.turned_away {
        reason.truncate(reason.floor_char_boundary(REASON));
    }
    progress
}

#[cfg(test)]
mod tests {
    use super::*;
    use portico_crds::NamespacedName;

    fn said(units: impl IntoIterator<Item = usize>, proxies: u32) -> Vec<Acknowledgement> {
        let line = |number: usize| Acknowledgement {
            fleet: "edge".to_owned(),
            unit: UnitId::Gateway(NamespacedName::new("infra", format!("web-{number:05}"))),
            progress: Progress { proxies, ..Progress::default() },
        };
        units.into_iter().map(line).collect()
    }

    /// Writes what there is to write; the numbers of the sheets, and how many lines each got.
    fn write(sheets: &mut Sheets, stored: &mut BTreeMap<usize, Vec<Acknowledgement>>) -> Vec<(usize, usize)> {
        let mut written = Vec::new();
        while let Some((number, lines)) = sheets.unwritten() {
            written.push((number, lines.len()));
            if lines.is_empty() {
                drop(stored.remove(&number))
            } else {
                drop(stored.insert(number, lines))
            }
            sheets.is_written(number);
        }
        written
    }

    #[test]
    fn a_change_costs_one_sheet_and_what_is_empty_goes() {
        let (mut sheets, mut stored) = (Sheets::default(), BTreeMap::new());
        sheets.take(said(0..300, 1));
        assert_eq!(write(&mut sheets, &mut stored), [(0, 128), (1, 128), (2, 44)]);
        sheets.take(said(0..300, 1));
        assert_eq!(write(&mut sheets, &mut stored), []);
        let mut changed = said(0..300, 1);
        changed[130].progress.proxies = 2;
        sheets.take(changed);
        assert_eq!(write(&mut sheets, &mut stored), [(1, 128)]);
        // What leaves the middle makes room there.
        sheets.take(said((0..100).chain(120..300), 1));
        write(&mut sheets, &mut stored);
        sheets.take(said((0..100).chain(120..310), 1));
        assert_eq!(write(&mut sheets, &mut stored), [(0, 118)]);
        sheets.doubt();
        assert_eq!(write(&mut sheets, &mut stored), [(0, 118), (1, 128), (2, 44)]);
        sheets.take(said(256..300, 1));
        assert_eq!(write(&mut sheets, &mut stored), [(0, 0), (1, 0)]);
        assert_eq!(stored.keys().collect::<Vec<_>>(), [&2]);
    }

    #[test]
    fn who_goes_on_with_what_another_wrote_writes_what_differs() {
        let (mut sheets, mut stored) = (Sheets::default(), BTreeMap::new());
        sheets.take(said(0..300, 1));
        write(&mut sheets, &mut stored);
        let mut next = Sheets::written_before(stored.clone());
        next.take(said(0..300, 1));
        assert_eq!(write(&mut next, &mut stored), []);
        // Somebody speaks of a unit twice.
        stored.insert(7, said(3..4, 9));
        let mut next = Sheets::written_before(stored.clone());
        next.take(said(0..300, 1));
        assert_eq!(write(&mut next, &mut stored), [(7, 0)]);
    }

    #[test]
    fn a_full_sheet_fits_into_an_object() {
        let longest = |letter: &str, length: usize| letter.repeat(length);
        let line = |number: usize| Acknowledgement {
            fleet: longest("f", 63),
            unit: UnitId::Gateway(NamespacedName::new(longest("n", 63), format!("{number:0253}"))),
            progress: Progress { refusals: vec![longest("\"", 2000); 40], turned_away: Some(longest("\"", 2000)), ..Progress::default() },
        };
        let mut sheets = Sheets::default();
        sheets.take((0..LINES).map(line).collect());
        let (number, lines) = sheets.unwritten().unwrap();
        assert_eq!((number, lines.len()), (0, LINES));
        assert_eq!(lines[0].progress.refusals.iter().map(String::len).collect::<Vec<_>>(), [2000, 1072, 11]);
        assert!(serde_json::to_string(&lines).unwrap().len() < 1024 * 1024);
    }
}
