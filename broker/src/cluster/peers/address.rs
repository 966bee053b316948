//! Addresses of the cluster's ports as people write them.

use std::net::Ipv6Addr;

/// Reads `HOST:PORT`: the host is a name, an IPv4 address, or an IPv6 address in brackets.
///
/// # Errors
/// One sentence that names the text.
pub fn address(text: &str) -> Result<String, String> {
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
    }
}
