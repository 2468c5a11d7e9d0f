//! `Filter.N.Name` / `Filter.N.Value.M`: values of one filter are alternatives, filters all apply, values take wildcards.

use crate::error::{Answer, ApiError};
use crate::glob;
use crate::tag::Tags;
use crate::wire::Input;

/// One filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Its name, such as `vpc-id` or `tag:Name`.
    pub name: String,
    /// The alternatives.
    pub values: Vec<String>,
}

/// The filters of a call.
#[derive(Clone, Debug, Default)]
pub struct Filters(pub Vec<Filter>);

impl Filters {
    /// Reads `Filter`; a name that is neither a tag filter nor in `known` is an error.
    pub fn read(input: &Input, known: &[&str]) -> Answer<Self> {
        let mut filters = Vec::new();
        for item in input.items("Filter") {
            let name = item.text("Name").unwrap_or_default().to_string();
            let values = item.strings("Value");
            if !name.starts_with("tag:") && !["tag-key", "tag-value"].contains(&name.as_str()) && !known.contains(&name.as_str()) {
                return Err(ApiError::parameter_value(format!("The filter '{name}' is invalid")));
            }
            if values.is_empty() {
                return Err(ApiError::parameter_value(format!("The filter '{name}' must have at least one value")));
            }
            if values.len() > 200 {
                return Err(ApiError::new("FilterLimitExceeded", "The maximum number of filter values specified on a single call is 200"));
            }
            filters.push(Filter { name, values });
        }
        Ok(Self(filters))
    }

    /// Whether a resource passes all filters; `attribute` gives its values under a filter's name.
    pub fn accept(&self, tags: &Tags, attribute: impl Fn(&str) -> Vec<String>) -> bool {
        self.0.iter().all(|filter| {
            let found = match filter.name.as_str() {
                "tag-key" => tags.keys().cloned().collect(),
                "tag-value" => tags.values().cloned().collect(),
                name => match name.strip_prefix("tag:") {
                    Some(key) => tags.get(key).cloned().into_iter().collect(),
                    None => attribute(name),
                },
            };
            filter.values.iter().any(|pattern| found.iter().any(|value| glob::matches(pattern, value)))
        })
    }

    /// The values of the filter with this name.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &String> {
        self.0.iter().filter(move |filter| filter.name == name).flat_map(|filter| &filter.values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::query;

    fn accepts(query: &str) -> bool {
        let filters = Filters::read(&query::parse(query), &["vpc-id"]).unwrap();
        let tags = Tags::from([("Name".into(), "web-1".into()), ("empty".into(), String::new())]);
        filters.accept(&tags, |_| vec!["vpc-1".into()])
    }

    #[test]
    fn filters_combine_as_on_aws() {
        let rows = [
            ("", true),
            ("Filter.1.Name=vpc-id&Filter.1.Value.1=vpc-2&Filter.1.Value.2=vpc-1", true),
            ("Filter.1.Name=tag:Name&Filter.1.Value.1=web-*&Filter.2.Name=vpc-id&Filter.2.Value.1=vpc-?", true),
            ("Filter.1.Name=tag:Name&Filter.1.Value.1=web-*&Filter.2.Name=vpc-id&Filter.2.Value.1=other", false),
            ("Filter.1.Name=tag:name&Filter.1.Value.1=web-1", false),
            ("Filter.1.Name=tag-key&Filter.1.Value.1=empty", true),
            ("Filter.1.Name=tag:empty&Filter.1.Value.1=", true),
        ];
        for (query, expected) in rows {
            assert_eq!(accepts(query), expected, "{query}");
        }
    }

    #[test]
    fn unknown_filters_are_errors() {
        let error = Filters::read(&query::parse("Filter.1.Name=colour&Filter.1.Value.1=x"), &["vpc-id"]).unwrap_err();
        assert_eq!((error.code.as_ref(), error.message.as_str()), ("InvalidParameterValue", "The filter 'colour' is invalid"));
    }
}
