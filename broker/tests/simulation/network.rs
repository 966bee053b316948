//! How nodes reach each other in the simulated network.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use futures_util::{FutureExt, StreamExt, stream};
use tidelog::cluster::peers::{Accepted, BoxedIo, Destination, Dial, Incoming};
use turmoil::net::{TcpListener, TcpStream};

use crate::world::host_of;

/// Where nodes listen for each other.
const PORT: u16 = 4568;

/// Where a node is found.
pub fn address(id: u64) -> String {
    format!("{}:{PORT}", host_of(id))
}

/// Opens connections to other nodes.
pub fn dial() -> Dial {
    Arc::new(|Destination { address, .. }| {
        async move {
            let (host, port) = address.rsplit_once(':').ok_or(io::ErrorKind::InvalidInput)?;
            let port: u16 = port.parse().map_err(io::Error::other)?;
            Ok(Box::new(TcpStream::connect((host, port)).await?) as BoxedIo)
        }
        .boxed()
    })
}

/// Connections that other nodes open to the host this is called on.
pub async fn listen() -> io::Result<Incoming> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
    let accepted = stream::unfold(listener, |listener| async move {
        let accepted = listener.accept().await.map(|(stream, _)| Accepted::unproven(Box::new(stream)));
        Some((accepted, listener))
    });
    Ok(accepted.boxed())
}
