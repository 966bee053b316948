//! The check that each call between nodes passes before it is answered, and the sentences for refused
//! callers.

use tonic::metadata::MetadataMap;
use tonic::{Extensions, Request, Status};

use super::{
    CLUSTER_HEADER, Caller, FORMAT, FORMAT_HEADER, INCARNATION_HEADER, LIVES_HEADER, NODE_HEADER, Peers,
    TARGET_HEADER, superseded,
};
use crate::tls::peer::Role;

impl Peers {
    /// Whether a call says that its node is of this node's cluster.
    pub fn is_of_own_cluster(&self, headers: &MetadataMap) -> bool {
        let named = headers.get(CLUSTER_HEADER).and_then(|value| value.to_str().ok());
        self.identity().is_some_and(|own| named == Some(&own.cluster))
    }

    /// Checks that a request may be answered, and returns its sender.
    ///
    /// # Errors
    /// PERMISSION_DENIED for another cluster, for a call that was meant for another node, for one that does not name
    /// its incarnation, and for a known node without its data or with an older copy of it.
    pub fn admit(&self, headers: &MetadataMap) -> Result<u64, Box<Status>> {
        let refused = |text: String| Err(Box::new(Status::permission_denied(text)));
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let Some(own) = self.identity() else {
            return Err(Box::new(Status::unavailable("this node belongs to no cluster yet")));
        };
        if header(CLUSTER_HEADER) != own.cluster {
            return refused(format!(
                "this is node {} of cluster {}, not one of cluster {:?}: check the addresses of --cluster",
                own.node,
                own.cluster,
                header(CLUSTER_HEADER)
            ));
        }
        if header(TARGET_HEADER) != own.node.to_string() {
            return refused(format!("this is node {}, not node {}", own.node, header(TARGET_HEADER)));
        }
        if header(FORMAT_HEADER) != FORMAT.to_string() {
            return refused(format!(
                "node {} speaks format {} of commands and files, this node {FORMAT}: run one version on all nodes (stop all, then start all)",
                header(NODE_HEADER),
                header(FORMAT_HEADER)
            ));
        }
        if header(INCARNATION_HEADER).is_empty() {
            return refused("the caller does not name its data directory".into());
        }
        let Ok(node) = header(NODE_HEADER).parse::<u64>() else {
            return refused("the caller does not name its node".into());
        };
        if !self.may_follow(node, header(LIVES_HEADER)) {
            return refused(superseded(node));
        }
        match self.members().get(&node) {
            Some(member)
                if !member.incarnation.is_empty() && member.incarnation != header(INCARNATION_HEADER) =>
            {
                refused(wrong_incarnation(node))
            }
            _ => Ok(node),
        }
    }
}

/// Refuses a call whose headers name another node than the certificate of its connection, and calls of administrators
/// where only nodes are answered. Without certificates every call passes.
///
/// # Errors
/// PERMISSION_DENIED.
pub fn check_certificate(request: Request<()>) -> Result<Request<()>, Status> {
    // A node that belongs to no cluster yet sends a greeting without headers; the id in the greeting is checked too.
    let named = request.metadata().get(NODE_HEADER).map(|value| value.to_str().unwrap_or_default());
    check_name(request.extensions(), named)?;
    Ok(request)
}

/// Refuses a call of a caller that names itself node `named`, if its certificate is not that node's.
///
/// # Errors
/// PERMISSION_DENIED.
pub fn check_name(extensions: &Extensions, named: Option<&str>) -> Result<(), Status> {
    let proven = match extensions.get::<Caller>() {
        Some(Caller::Proven(role)) => *role,
        Some(Caller::Unproven) | None => return Ok(()),
    };
    match (proven, named) {
        (Role::Node(_), None) => Ok(()),
        (Role::Node(id), Some(named)) if named == id.to_string() => Ok(()),
        (Role::Node(id), Some(named)) => Err(Status::permission_denied(format!(
            "the call is of node {named}, and its certificate is that of node {id}"
        ))),
        (Role::Administrator, _) => {
            Err(Status::permission_denied("an administrator's certificate is not that of a node"))
        }
    }
}

/// The refusal of a node that has the id of a member, but not its data.
pub fn wrong_incarnation(node: u64) -> String {
    format!(
        "the cluster knows node {node} with another data directory. A node that has lost its data must not come back \
         under its old id, because it no longer knows what it has voted for and acknowledged: start it with an empty \
         directory under an id that was never used, and run `tidelog cluster replace {node} NEW_ID=HOST:PORT`"
    )
}

/// The refusal of a node that was a member, and is none any more.
pub fn taken_out(node: u64) -> String {
    format!(
        "node {node} was taken out of the cluster, and ids are not used again: start the node with an empty directory \
         under an id that was never used, and run `tidelog cluster add NEW_ID=HOST:PORT`"
    )
}
