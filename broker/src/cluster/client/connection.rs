//! The one connection of a command.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tidelog_proto::cluster::cluster_client::ClusterClient;
use tidelog_proto::cluster::{Progress, StatusRequest, StatusResponse};
use tokio::time::timeout;
use tonic::{Request, Response, Status, Streaming};

use super::ClusterClientError;
use crate::clock::machine_time;
use crate::cluster::peers::{Destination, Lane, PeerConnection, tcp};
use crate::tls::peer::{Own, PeerCertificates, PeerTls};

/// How long a connection may take to come about.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// How long a status may take: the node asks its peers meanwhile.
const STATUS_DEADLINE: Duration = Duration::from_secs(10);
/// How long a change may be without a word. Nodes say something every few seconds.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Stands where HTTP asks for a host; nodes do not look at it.
const ORIGIN: &str = "http://cluster";

/// A client of the node's administration.
pub(super) type Client = ClusterClient<PeerConnection>;
/// A call whose answers come one after the other.
pub(super) type Call<'a> = BoxFuture<'a, Result<Response<Streaming<Progress>>, Status>>;

/// The node that is asked.
#[derive(Debug)]
pub struct NodeClient {
    at: String,
    client: Client,
}

impl NodeClient {
    /// Connects to the node at that cluster address, `HOST:PORT`, with the certificate of an administrator; without one
    /// in plain TCP.
    ///
    /// # Errors
    /// [`ClusterClientError`]: files that are no certificate, or an address where no node answers.
    pub async fn reach(at: &str, tls: Option<&PeerCertificates>) -> Result<Self, ClusterClientError> {
        let tls = match tls {
            Some(files) => Some(PeerTls::with_files(files, Own::Administrator, machine_time())?),
            None => None,
        };
        let unreachable = |reason: String| ClusterClientError::Unreachable { at: at.into(), reason };
        let connecting = async {
            let destination = Destination { node: None, address: at.into() };
            let io = tcp::dial(tls)(destination).await.map_err(|error| error.to_string())?;
            PeerConnection::over(io, Lane::Requests).await.map_err(|error| error.to_string())
        };
        let connection = match timeout(CONNECT_DEADLINE, connecting).await {
            Ok(connected) => connected.map_err(unreachable)?,
            Err(_) => {
                let reason = format!("no connection within {} seconds", CONNECT_DEADLINE.as_secs());
                return Err(unreachable(reason));
            }
        };
        let client = ClusterClient::with_origin(connection, hyper::Uri::from_static(ORIGIN));
        Ok(Self { at: at.into(), client })
    }

    /// How the node sees its cluster.
    ///
    /// # Errors
    /// [`ClusterClientError`] when it does not say so in time.
    pub async fn status(&mut self) -> Result<StatusResponse, ClusterClientError> {
        let mut request = Request::new(StatusRequest {});
        request.set_timeout(STATUS_DEADLINE);
        match timeout(STATUS_DEADLINE, self.client.status(request)).await {
            Ok(answer) => answer.map(Response::into_inner).map_err(|status| self.error(&status)),
            Err(_) => Err(self.silent(STATUS_DEADLINE)),
        }
    }

    /// Makes a call and hands each line of its progress to `tell`; returns the last one.
    pub(super) async fn follow(
        &mut self,
        call: impl FnOnce(Client) -> Call<'static>,
        mut tell: impl FnMut(&str),
    ) -> Result<String, ClusterClientError> {
        let begun = timeout(SILENCE_MAX, call(self.client.clone())).await;
        let begun = begun.map_err(|_| self.silent(SILENCE_MAX))?;
        let mut lines = begun.map_err(|status| self.error(&status))?.into_inner();
        loop {
            let line = timeout(SILENCE_MAX, lines.message()).await.map_err(|_| self.silent(SILENCE_MAX))?;
            match line.map_err(|status| self.error(&status))? {
                Some(line) if line.is_done => return Ok(line.text),
                Some(line) => tell(&line.text),
                None => {
                    let reason = format!("{} ended the call before it was done", self.at);
                    return Err(ClusterClientError::NotDone(reason));
                }
            }
        }
    }

    fn error(&self, status: &Status) -> ClusterClientError {
        ClusterClientError::from_status(&self.at, status)
    }

    fn silent(&self, silence: Duration) -> ClusterClientError {
        ClusterClientError::Silent { at: self.at.clone(), silence }
    }
}
