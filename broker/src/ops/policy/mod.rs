//! Operations on the policies of streams and consumers. Policies are checked and kept; nothing is allowed or denied by
//! them.

pub mod delete_resource_policy;
mod document;
pub mod get_resource_policy;
pub mod put_resource_policy;
