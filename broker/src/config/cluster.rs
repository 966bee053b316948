//! The settings of a node of a cluster: who it is, who the others are, and what they trust each other by.
//!
//! Invariants: a [`ClusterConfig`] names its own node among the members, and no id or address twice. Host names are
//! kept as they were written and resolved whenever one is dialled: what they stand for may change.

use std::collections::BTreeMap;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;

/// What a node of a cluster is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterConfig {
    /// Which of the members this node is; at least 1.
    pub node_id: u64,
    /// Every node the cluster is formed of, this one too, with its address as `HOST:PORT`.
    pub members: BTreeMap<u64, String>,
    /// Where other nodes are listened for, when that is not this node's own address of `members`.
    pub listen: Option<SocketAddr>,
    /// What makes the traffic between nodes mutual TLS; `None` is plain TCP.
    pub tls: Option<PeerCertificates>,
    /// Whether the cluster's port may be open to a network without certificates.
    pub is_insecure: bool,
}

/// A node's certificate, its key, and the authority that all nodes of the cluster are trusted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificates {
    /// PEM: the node's certificate, for both ends of a connection, and what stands between it and the authority.
    pub certificate: PathBuf,
    /// PEM: its private key.
    pub key: PathBuf,
    /// PEM: the authorities by one of which every node's certificate has to be.
    pub ca: PathBuf,
}

/// The arguments as they were given.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) node_id: Option<u64>,
    pub(super) members: Vec<(u64, String)>,
    pub(super) listen: Option<SocketAddr>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) ca: Option<PathBuf>,
    pub(super) is_insecure: bool,
    pub(super) is_ephemeral: bool,
}

/// What the arguments come to; `None` for a node on its own.
///
/// # Errors
/// One sentence that names the flags.
pub(super) fn settings(given: Given) -> Result<Option<ClusterConfig>, String> {
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
pub(super) fn certificates(
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
pub(super) fn node_id(text: &str) -> Result<u64, String> {
    match text.parse::<u64>() {
        Ok(id) if id > 0 => Ok(id),
        _ => Err(format!("`{text}` is not the id of a node: a whole number from 1 on")),
    }
}

/// A node with its address, `ID=HOST:PORT`.
pub(super) fn member(text: &str) -> Result<(u64, String), String> {
    let Some((id, at)) = text.trim().split_once('=') else {
        return Err(format!("`{text}` is not a node as `ID=HOST:PORT`"));
    };
    Ok((node_id(id)?, address(at)?))
}

/// `HOST:PORT`: the host is a name, an IPv4 address, or an IPv6 address in brackets.
pub(crate) fn address(text: &str) -> Result<String, String> {
    let wrong = || format!("`{text}` is not an address as `HOST:PORT`, an IPv6 host in brackets");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
    let is_host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(literal) => literal.parse::<Ipv6Addr>().is_ok(),
        None => {
            let legal = |byte: u8| byte.is_ascii_alphanumeric() || [b'-', b'.', b'_'].contains(&byte);
            !host.is_empty() && host.bytes().all(legal)
        }
    };
    if is_port && is_host { Ok(text.into()) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_host_and_a_port() {
        for text in ["a:1", "node-1.cluster.local:4568", "10.0.0.1:65535", "[::1]:4568"] {
            assert_eq!(address(text).as_deref(), Ok(text));
        }
        for text in
            ["", "a", "a:", ":1", "a:0", "a:65536", "a:x", "::1:4568", "[a]:1", "[]:1", "a b:1", "http://a:1"]
        {
            assert!(address(text).is_err(), "{text}");
        }
        assert_eq!(member(" 7=a:1"), Ok((7, "a:1".into())));
        for text in ["a:1", "=a:1", "0=a:1", "-1=a:1", "x=a:1", "1=a"] {
            assert!(member(text).is_err(), "{text}");
        }
    }
}
