//! The service model of 2013-12-02 as tables: every operation with its members, their bounds and its errors.
//!
//! Generated at build time from `service-model.json`, which holds the facts of AWS's model; no bound of a single member
//! stands anywhere else.

use super::shape::{Kind, Member, Pattern, Text};

/// One operation of the service model.
#[derive(Debug)]
pub struct Operation {
    /// Such as `CreateStream`.
    pub name: &'static str,
    /// The members of its request.
    pub members: &'static [Member],
    /// Whether its answer has members; otherwise its body is empty.
    pub has_output: bool,
    /// Names of the exceptions it declares.
    pub errors: &'static [&'static str],
}

include!(concat!(env!("OUT_DIR"), "/service_model.rs"));

/// The operation of that name.
pub fn operation(name: &str) -> Option<&'static Operation> {
    OPERATIONS.binary_search_by_key(&name, |operation| operation.name).ok().map(|at| &OPERATIONS[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_found_by_name() {
        assert!(OPERATIONS.is_sorted_by_key(|operation| operation.name));
        assert_eq!(OPERATIONS.len(), 57);
        assert!(OPERATIONS.iter().all(|own| operation(own.name).is_some_and(|found| found.name == own.name)));
        assert!(operation("ListStreams2").is_none());
    }
}
