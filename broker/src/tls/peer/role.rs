//! The part that a certificate of the cluster's authority plays: a node, or the administration.
//!
//! An authority may issue certificates for other programs too. Only a certificate that says so, by a URI among its
//! alternative names (RFC 5280, section 4.2.1.6), is a node of the cluster or its administrator.

use std::fmt;

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

/// URI name of an administrator's certificate.
const ADMINISTRATOR: &str = "tidelog:admin";
/// Beginning of the URI name of a node's certificate; the node's id follows.
const NODE: &str = "tidelog:node:";

/// Part that a certificate plays in its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The node of that id.
    Node(u64),
    /// A program that administers the cluster, such as `tidelog cluster`.
    Administrator,
}

impl fmt::Display for Role {
    /// Writes the URI name that the certificate carries.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(id) => write!(formatter, "{NODE}{id}"),
            Self::Administrator => formatter.write_str(ADMINISTRATOR),
        }
    }
}

impl Role {
    /// The role that a verified certificate names; `None` for a certificate without one, or with several.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = parse_x509_certificate(certificate).ok()?;
        let names = certificate.subject_alternative_name().ok()??;
        let mut roles = names.value.general_names.iter().filter_map(|name| match name {
            GeneralName::URI(uri) => Self::named(uri),
            _ => None,
        });
        roles.next().filter(|_| roles.next().is_none())
    }

    fn named(uri: &str) -> Option<Self> {
        if uri == ADMINISTRATOR {
            return Some(Self::Administrator);
        }
        let digits = uri.strip_prefix(NODE)?;
        let id =
            digits.parse().ok().filter(|id| *id > 0 && digits.bytes().all(|byte| byte.is_ascii_digit()))?;
        Some(Self::Node(id))
    }
}

/// The side that holds the certificate.
#[derive(Clone, Debug)]
pub enum Own {
    /// A node that others dial at `host`, where that is known.
    Node {
        /// The node's id.
        id: u64,
        /// Name or address in the members' list.
        host: Option<String>,
    },
    /// A program that administers the cluster; the certificate of a node will do for it.
    Administrator,
}

impl Own {
    pub(super) fn host(&self) -> Option<&str> {
        match self {
            Self::Node { host, .. } => host.as_deref(),
            Self::Administrator => None,
        }
    }

    /// Checks that the own certificate names the role that the other nodes expect.
    pub(super) fn check_role(&self, chain: &[CertificateDer<'_>]) -> Result<(), String> {
        let found = chain.first().and_then(Role::of);
        let wanted = match (self, found) {
            (Self::Node { id, .. }, Some(Role::Node(found))) if found == *id => return Ok(()),
            (Self::Administrator, Some(_)) => return Ok(()),
            (Self::Node { id, .. }, _) => Role::Node(*id),
            (Self::Administrator, None) => Role::Administrator,
        };
        let found = found.map_or_else(|| "none".to_owned(), |role| role.to_string());
        Err(format!(
            "other nodes would refuse it: it has to carry the URI name {wanted} and carries {found}. Issue it with \
             subjectAltName=DNS:HOST,URI:{wanted}; deploy/OPERATIONS.md has the commands"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_others_are_none() {
        for role in [Role::Node(1), Role::Node(u64::MAX), Role::Administrator] {
            assert_eq!(Role::named(&role.to_string()), Some(role));
        }
        for uri in [
            "",
            "tidelog:node:",
            "tidelog:node:0",
            "tidelog:node:+1",
            "tidelog:node:1a",
            "tidelog:admin2",
            "spiffe://x",
        ] {
            assert_eq!(Role::named(uri), None, "{uri}");
        }
    }
}
