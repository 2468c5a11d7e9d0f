//! What all Describe operations of EC2 have in common: ids, filters, pages.

use super::filter::Filters;
use super::{Ec2, finish};
use crate::error::{Answer, ApiError};
use crate::page;
use crate::tag::Tags;
use crate::wire::{Input, Record};

/// A kind of resource that can be described.
pub trait Resource {
    /// The filters that it knows besides tags.
    const FILTERS: &'static [&'static str];
    /// The parameter that lists ids.
    const IDS: &'static str;
    /// The member of the answer that lists the resources.
    const SET: &'static str;

    /// Its id.
    fn id(&self) -> &str;
    /// Its tags.
    fn tags(&self) -> &Tags;
    /// Its values under a filter's name.
    fn attribute(&self, filter: &str, ec2: &Ec2) -> Vec<String>;
    /// The resource as the answer shows it.
    fn record(&self, ec2: &Ec2, filters: &Filters) -> Record;
    /// The error for an id that does not exist.
    fn not_found(id: &str) -> ApiError;
}

/// The id and the tags of a resource that holds them as its fields `id` and `tags`.
macro_rules! identity {
    () => {
        fn id(&self) -> &str {
            &self.id
        }

        fn tags(&self) -> &Tags {
            &self.tags
        }
    };
}
pub(super) use identity;

/// Reads the parameters common to all Describe operations and answers with those resources that they choose.
pub fn run<'a, R: Resource + 'a>(input: &Input, ec2: &'a Ec2, resources: impl Iterator<Item = &'a R>) -> Answer<Record> {
    let filters = Filters::read(input, R::FILTERS)?;
    let ids = input.strings(R::IDS);
    let size: Option<usize> = input.parse("MaxResults")?;
    let token = input.text("NextToken").map(str::to_string);
    finish(input)?;
    let mut chosen: Vec<&R> = resources.collect();
    if !ids.is_empty() {
        if size.is_some() {
            return Err(ApiError::new(
                "InvalidParameterCombination",
                "The parameter MaxResults cannot be used with the parameter that lists ids",
            ));
        }
        if let Some(missing) = ids.iter().find(|id| !chosen.iter().any(|resource| resource.id() == id.as_str())) {
            return Err(R::not_found(missing));
        }
        chosen.retain(|resource| ids.iter().any(|id| id == resource.id()));
    }
    chosen.retain(|resource| filters.accept(resource.tags(), |filter| resource.attribute(filter, ec2)));
    // AWS: MaxResults from 5 to 1000; larger values are cut.
    if let Some(small) = size.filter(|size| *size < 5) {
        return Err(ApiError::parameter_value(format!(
            "Value ( {small} ) for parameter maxResults is invalid. Expecting a value greater than 5."
        )));
    }
    let (shown, next) = page::page(chosen, |resource| resource.id().to_string(), token.as_deref(), size.unwrap_or(1000).min(1000))
        .map_err(|_| ApiError::new("InvalidNextToken", "The token is not valid"))?;
    let record = Record::new().list(R::SET, shown.into_iter().map(|resource| resource.record(ec2, &filters)));
    Ok(record.maybe("nextToken", next))
}
