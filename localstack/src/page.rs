//! Pagination: opaque markers that name the last item shown, so that pages stay right while items come and go.

use crate::error::{Answer, ApiError};

/// Turns a key into an opaque marker and back.
pub fn encode(key: &str) -> String {
    key.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// The key in a marker; `None` if the marker was not made by [`encode`].
pub fn decode(marker: &str) -> Option<String> {
    let bytes: Option<Vec<u8>> =
        (0..marker.len()).step_by(2).map(|at| marker.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok())).collect();
    String::from_utf8(bytes?).ok().filter(|key| !key.is_empty())
}

/// One page of `items`, which are in a stable order, and the marker of the next page. `key` must be unique. If the item that the
/// marker names has gone, the page starts behind the greatest key that is not above it, so items must be sorted by key, or else
/// vanish only between two listings.
pub fn page<T>(items: Vec<T>, key: impl Fn(&T) -> String, marker: Option<&str>, size: usize) -> Answer<(Vec<T>, Option<String>)> {
    let start = match marker.filter(|marker| !marker.is_empty()) {
        None => 0,
        Some(marker) => {
            let last = decode(marker).ok_or_else(|| ApiError::validation(format!("Invalid marker '{marker}'")))?;
            match items.iter().position(|item| key(item) == last) {
                Some(at) => at + 1,
                None => items.iter().take_while(|item| key(item) <= last).count(),
            }
        }
    };
    let more = items.len() > start + size;
    let shown: Vec<T> = items.into_iter().skip(start).take(size).collect();
    let next = shown.last().filter(|_| more).map(|item| encode(&key(item)));
    Ok((shown, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(items: &[&str], marker: Option<&str>, size: usize) -> (Vec<String>, Option<String>) {
        page(items.iter().map(ToString::to_string).collect(), Clone::clone, marker, size).unwrap()
    }

    #[test]
    fn pages_cover_all_items_once() {
        let (first, next) = keys(&["a", "b", "c"], None, 2);
        assert_eq!(first, ["a", "b"]);
        let (second, end) = keys(&["a", "b", "c"], next.as_deref(), 2);
        assert_eq!((second.as_slice(), end), (&["c".to_string()][..], None));
    }

    #[test]
    fn a_vanished_marker_item_loses_nothing_behind_it() {
        let (_, next) = keys(&["a", "b", "c"], None, 2);
        assert_eq!(keys(&["a", "c", "d"], next.as_deref(), 5).0, ["c", "d"]);
    }

    #[test]
    fn foreign_markers_are_refused() {
        for marker in ["x", "zz", "é", "0"] {
            assert!(page(vec!["a"], |item| item.to_string(), Some(marker), 1).is_err(), "{marker}");
        }
    }
}
