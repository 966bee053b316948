//! The addresses of `--listen`: as they were written, and resolved at the start.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};

use super::values::host;

/// An address to listen on, as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// An address and a port.
    Address(SocketAddr),
    /// A host's name, which is resolved at the start, and a port.
    Name {
        /// The name.
        host: String,
        /// The port.
        port: u16,
    },
}

/// `ADDRESS:PORT`, `HOST:PORT`, or `:PORT` for the loopback interface.
pub(crate) fn listen(text: &str) -> Result<ListenAddress, String> {
    if let Ok(address) = text.parse() {
        return Ok(ListenAddress::Address(address));
    }
    let wrong = || "it is ADDRESS:PORT, HOST:PORT, or :PORT for the loopback interface".to_owned();
    let (name, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse::<u16>().map_err(|_| wrong())?;
    if name.is_empty() {
        return Ok(ListenAddress::Address(SocketAddr::from(([127, 0, 0, 1], port))));
    }
    // The system takes `10.1` for an address; the last part of a name has a letter.
    let is_name = name.rsplit('.').next().is_some_and(|last| !last.bytes().all(|byte| byte.is_ascii_digit()));
    match host(name) {
        Ok(host) if is_name => Ok(ListenAddress::Name { host, port }),
        _ => Err(wrong()),
    }
}

/// The addresses, and the names of hosts beside them.
pub(crate) fn split(listen: &[ListenAddress]) -> (Vec<SocketAddr>, Vec<String>) {
    let (mut addresses, mut names) = (Vec::new(), Vec::new());
    for one in listen {
        match one {
            ListenAddress::Address(address) => addresses.push(*address),
            ListenAddress::Name { host, .. } => names.push(host.clone()),
        }
    }
    (addresses, names)
}

/// Resolves the names. Addresses of a name that this machine does not have are left out.
///
/// # Errors
/// One sentence, when a name has no address, or none of this machine.
pub fn resolve(listen: &[ListenAddress]) -> Result<Vec<SocketAddr>, String> {
    let mut addresses = Vec::new();
    for one in listen {
        match one {
            ListenAddress::Address(address) => addresses.push(*address),
            ListenAddress::Name { host, port } => addresses.extend(resolved(host, *port)?),
        }
    }
    Ok(addresses)
}

fn resolved(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let found = (host, port).to_socket_addrs().map_err(|error| {
        format!("cannot resolve {host} of --listen {host}:{port}: {error}; give a name that resolves, or an address")
    })?;
    let mut found: Vec<SocketAddr> = found.collect();
    found.sort_unstable();
    found.dedup();
    let own: Vec<SocketAddr> = found.iter().copied().filter(|address| is_own(address.ip())).collect();
    if own.is_empty() {
        let found: Vec<String> = found.iter().map(|address| address.ip().to_string()).collect();
        return Err(format!(
            "cannot listen on {host}:{port}: this machine does not have the address {}; give --listen a name or an \
             address of this machine",
            found.join(", ")
        ));
    }
    Ok(own)
}

fn is_own(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_a_name_or_a_port_is_read() {
        let address = |text: &str| Ok(ListenAddress::Address(text.parse().unwrap()));
        assert_eq!(listen("[::1]:80"), address("[::1]:80"));
        assert_eq!(listen(":4567"), address("127.0.0.1:4567"));
        let name = |host: &str, port| Ok(ListenAddress::Name { host: host.into(), port });
        assert_eq!(listen("tidelog-1.internal:4567"), name("tidelog-1.internal", 4567));
        for text in [
            "4567",
            "",
            ":",
            "a",
            "a:",
            "a:x",
            "a:65536",
            "10.1:80",
            "1:80",
            "a b:80",
            "::1:80",
            "http://a:80",
        ] {
            assert!(listen(text).unwrap_err().contains("HOST:PORT"), "{text}");
        }
    }

    #[test]
    fn a_name_without_an_address_of_this_machine_is_refused() {
        let name = |host: &str| [ListenAddress::Name { host: host.into(), port: 80 }];
        let own = resolve(&name("localhost")).unwrap();
        assert!(!own.is_empty() && own.iter().all(|address| address.ip().is_loopback()), "{own:?}");
        let error = resolve(&name("no-such-host.invalid")).unwrap_err();
        assert!(error.contains("cannot resolve no-such-host.invalid"), "{error}");
        // An address of the documentation's range, which no machine has.
        assert!(!is_own("192.0.2.1".parse().unwrap()));
    }
}
