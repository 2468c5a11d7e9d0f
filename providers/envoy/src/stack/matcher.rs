//! Matchers: `envoy.type.matcher.v3`, and `xds.type.matcher.v3` as far as datagrams are shared out by it.

use super::core::{RuntimeFractionalPercent, TypedExtensionConfig};
use super::message::message;

message! {
    /// `envoy.type.matcher.v3.StringMatcher`.
    StringMatcher {
        exact: optional_string = "1",
        prefix: optional_string = "2",
        suffix: optional_string = "3",
        safe_regex: message RegexMatcher = "5",
        ignore_case: bool = "6",
    }
}

message! {
    /// `envoy.type.matcher.v3.RegexMatcher`: RE2, for the whole text.
    RegexMatcher {
        regex: string = "2",
    }
}

message! {
    /// `envoy.type.matcher.v3.RegexMatchAndSubstitute`.
    RegexMatchAndSubstitute {
        pattern: message RegexMatcher = "1",
        substitution: string = "2",
    }
}

message! {
    /// `envoy.type.matcher.v3.ListStringMatcher`.
    ListStringMatcher {
        patterns: messages StringMatcher = "1",
    }
}

message! {
    /// `xds.type.matcher.v3.Matcher`: the first that matches decides.
    Matcher {
        matcher_list: message MatcherList = "1",
        on_no_match: message OnMatch = "3",
    }
}

message! {
    /// `xds.type.matcher.v3.Matcher.MatcherList`.
    MatcherList {
        matchers: messages FieldMatcher = "1",
    }
}

message! {
    /// `xds.type.matcher.v3.Matcher.MatcherList.FieldMatcher`.
    FieldMatcher {
        predicate: message Predicate = "1",
        on_match: message OnMatch = "2",
    }
}

message! {
    /// `xds.type.matcher.v3.Matcher.MatcherList.Predicate`.
    Predicate {
        single_predicate: message SinglePredicate = "1",
    }
}

message! {
    /// `xds.type.matcher.v3.Matcher.MatcherList.Predicate.SinglePredicate`.
    SinglePredicate {
        input: message TypedExtensionConfig = "1",
        custom_match: message TypedExtensionConfig = "3",
    }
}

message! {
    /// `xds.type.matcher.v3.Matcher.OnMatch`.
    OnMatch {
        action: message TypedExtensionConfig = "2",
    }
}

message! {
    /// `envoy.extensions.matching.input_matchers.runtime_fraction.v3.RuntimeFraction`: a share of the inputs, by their hash.
    RuntimeFraction {
        runtime_fraction: message RuntimeFractionalPercent = "1",
        seed: uint64 = "2",
    }
}

message! {
    /// `envoy.extensions.matching.common_inputs.network.v3.SourcePortInput`.
    SourcePortInput {}
}

impl StringMatcher {
    /// The text itself.
    pub fn text(text: impl Into<String>) -> Self {
        Self { exact: Some(text.into()), ..Self::default() }
    }

    /// A text that a regular expression matches as a whole.
    pub fn pattern(pattern: impl Into<String>) -> Self {
        Self { safe_regex: Some(RegexMatcher { regex: pattern.into() }), ..Self::default() }
    }
}
