//! The contract between translation and the clouds: Plan, Refusal, Change, Provider.
