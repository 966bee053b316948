//! The flags of a node of a cluster: its id, the other nodes, and their certificates.
//!
//! Invariants: a [`ClusterConfig`] names its own node among the members, and no id or address twice. Host names are
//! kept as they were written and resolved whenever one is dialled: their addresses may change.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use tidelog::cluster::peers::address;
use tidelog::config::{ClusterConfig, PeerCertificates};

/// The arguments as they were given.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) node_id: Option<u64>,
    pub(crate) members: Vec<(u64, String)>,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) is_insecure: bool,
    pub(crate) is_ephemeral: bool,
}

/// Makes the cluster's settings from the arguments; `None` for a node on its own.
///
/// # Errors
/// One sentence that names the flags.
pub(crate) fn settings(given: Given) -> Result<Option<ClusterConfig>, String> {
    let tls = certificates(given.certificate, given.key, given.ca)?;
    if given.members.is_empty() {
        let alone = [
            (given.node_id.is_some(), "--node-id"),
            (given.listen.is_some(), "--cluster-listen"),
            (tls.is_some(), "--cluster-certificate"),
            (given.is_insecure, "--cluster-insecure"),
        ];
        return match alone.iter().find(|(is_given, _)| *is_given) {
            Some((_, flag)) => Err(format!("{flag} needs --cluster, the list of the cluster's nodes")),
            None => Ok(None),
        };
    }
    if given.is_insecure && tls.is_some() {
        return Err("--cluster-insecure and --cluster-certificate exclude each other".into());
    }
    let Some(node_id) = given.node_id else {
        return Err("--cluster needs --node-id, which of the nodes in the list this one is".into());
    };
    if given.is_ephemeral {
        let reason = "--ephemeral and --cluster exclude each other: a node that forgot what it acknowledged could make \
                      the others forget it too";
        return Err(reason.into());
    }
    let members = members(given.members)?;
    if !members.contains_key(&node_id) {
        return Err(format!("--cluster lists no node {node_id}, which --node-id says this one is"));
    }
    let is_insecure = given.is_insecure;
    Ok(Some(ClusterConfig { node_id, members, listen: given.listen, tls, is_insecure }))
}

/// The certificate, its key and the authority go together.
///
/// # Errors
/// When some are given and others are not.
pub(crate) fn certificates(
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    ca: Option<PathBuf>,
) -> Result<Option<PeerCertificates>, String> {
    match (certificate, key, ca) {
        (Some(certificate), Some(key), Some(ca)) => Ok(Some(PeerCertificates { certificate, key, ca })),
        (None, None, None) => Ok(None),
        _ => {
            let reason =
                "--cluster-certificate, --cluster-key and --cluster-ca go together: give all three, or none";
            Err(reason.into())
        }
    }
}

fn members(list: Vec<(u64, String)>) -> Result<BTreeMap<u64, String>, String> {
    let mut members = BTreeMap::new();
    for (id, address) in list {
        let spelled = |known: &String| known.eq_ignore_ascii_case(&address);
        if let Some((known, _)) = members.iter().find(|(_, known)| spelled(known)) {
            return Err(format!("--cluster gives the nodes {known} and {id} one address, {address}"));
        }
        if members.insert(id, address).is_some() {
            return Err(format!("--cluster lists the node {id} twice"));
        }
    }
    Ok(members)
}

/// A node's id: a whole number from 1 on.
pub(crate) fn node_id(text: &str) -> Result<u64, String> {
    match text.parse::<u64>() {
        Ok(id) if id > 0 => Ok(id),
        _ => Err(format!("`{text}` is not the id of a node: a whole number from 1 on")),
    }
}

/// A node with its address, `ID=HOST:PORT`.
pub(crate) fn member(text: &str) -> Result<(u64, String), String> {
    let Some((id, at)) = text.trim().split_once('=') else {
        return Err(format!("`{text}` is not a node as `ID=HOST:PORT`"));
    };
    Ok((node_id(id)?, address(at)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_an_id_and_an_address() {
        assert_eq!(member(" 7=a:1"), Ok((7, "a:1".into())));
        for text in ["a:1", "=a:1", "0=a:1", "-1=a:1", "x=a:1", "1=a"] {
            assert!(member(text).is_err(), "{text}");
        }
    }
}
