//! Calls: encoded, signed, sent, and made again where that is safe.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::CONTENT_TYPE;
use hyper::{Request, StatusCode};
use serde::Deserialize;
use tokio::time::{sleep, timeout};

use super::{Backoff, KinesisError, Operation, Settings, SettingsError, Signer, Transport, transport};

const JSON: &str = "application/x-amz-json-1.1";
const TARGET: &str = "Kinesis_20131202";
/// How long one attempt may take, from sending to the last byte of the answer.
const CALL_DEADLINE: Duration = Duration::from_secs(60);
/// Bound of an answer, in bytes: 10 MiB of records are a third more in base64, and 10,000 of them have keys and
/// numbers.
const ANSWER_MAX: usize = 32 * 1024 * 1024;

/// A client of one endpoint. Calls may be made from many tasks at once.
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    signer: Signer,
    transport: Transport,
    patience: Duration,
    /// Whether anything was ever answered: before that, a refused connection means that nobody is there.
    was_reached: AtomicBool,
}

impl Client {
    /// How long [`Self::call`] keeps trying by default.
    pub const PATIENCE: Duration = Duration::from_secs(15);

    /// A client by these settings; connects at the first call.
    ///
    /// # Errors
    /// When the certificates to trust cannot be read.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        let signer = Signer::new(&settings.credentials, &settings.region);
        let transport = transport(&settings)?;
        Ok(Self {
            settings,
            signer,
            transport,
            patience: Self::PATIENCE,
            was_reached: AtomicBool::new(false),
        })
    }

    /// Keeps trying for that long.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How long it keeps trying.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// Where it sends calls to, and how they are signed.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Makes the call, and makes it again with growing waits while it is throttled, not heard, or, for an operation
    /// that may be carried out twice ([`Operation::IS_REPEATABLE`]), not answered or answered with a 5xx. An endpoint
    /// that never answered anything and cannot be reached is given up at once.
    ///
    /// # Errors
    /// The last attempt's error.
    pub async fn call<O: Operation>(&self, operation: &O) -> Result<O::Answer, KinesisError> {
        let mut backoff = Backoff::new(self.patience);
        loop {
            let error = match self.call_once(operation).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let is_safe = O::IS_REPEATABLE || error.is_certainly_not_done();
            let is_anybody_there = !matches!(error, KinesisError::Unreachable { .. })
                || self.was_reached.load(Ordering::Relaxed);
            match backoff.wait() {
                Some(wait) if error.is_passing() && is_safe && is_anybody_there => sleep(wait).await,
                _ => return Err(error),
            }
        }
    }

    /// Makes the call once.
    ///
    /// # Errors
    /// [`KinesisError`], which says whether the call can have been carried out.
    pub async fn call_once<O: Operation>(&self, operation: &O) -> Result<O::Answer, KinesisError> {
        let request = self.request(operation)?;
        let (status, body) = match timeout(CALL_DEADLINE, self.exchange(O::NAME, request)).await {
            Ok(exchanged) => exchanged?,
            Err(_) => {
                let reason = format!("silent for {} seconds", CALL_DEADLINE.as_secs());
                return Err(self.interrupted(O::NAME, reason));
            }
        };
        if !status.is_success() {
            return Err(self.refused(O::NAME, status, &body));
        }
        self.was_reached.store(true, Ordering::Relaxed);
        let body: &[u8] = if body.is_empty() { b"{}" } else { &body };
        serde_json::from_slice(body)
            .map_err(|error| self.foreign(format!("its answer to {}: {error}", O::NAME)))
    }

    fn request<O: Operation>(&self, operation: &O) -> Result<Request<Full<Bytes>>, KinesisError> {
        let unsendable = |reason: String| KinesisError::Unsendable { operation: O::NAME, reason };
        let body = serde_json::to_vec(operation).map_err(|error| unsendable(error.to_string()))?;
        let request = Request::post(self.settings.endpoint.clone())
            .header(CONTENT_TYPE, JSON)
            .header("x-amz-target", format!("{TARGET}.{}", O::NAME))
            .body(Bytes::from(body));
        let mut request = request.map_err(|error| unsendable(error.to_string()))?;
        #[expect(clippy::disallowed_methods, reason = "a signature has the machine's time")]
        let now = SystemTime::now();
        self.signer.sign(&mut request, now).map_err(unsendable)?;
        Ok(request.map(Full::new))
    }

    async fn exchange(
        &self,
        operation: &'static str,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Bytes), KinesisError> {
        let answer = self.transport.request(request).await.map_err(|error| {
            let reason = innermost(&error);
            if error.is_connect() {
                KinesisError::Unreachable { endpoint: self.settings.endpoint_text(), reason }
            } else {
                self.interrupted(operation, reason)
            }
        })?;
        let status = answer.status();
        match Limited::new(answer.into_body(), ANSWER_MAX).collect().await {
            Ok(body) => Ok((status, body.to_bytes())),
            Err(error) => Err(self.interrupted(operation, innermost(error.as_ref()))),
        }
    }

    /// Makes the error of an answer that is not 200: an exception, in JSON, or something else altogether.
    fn refused(&self, operation: &'static str, status: StatusCode, body: &[u8]) -> KinesisError {
        #[derive(Deserialize)]
        struct Exception {
            #[serde(rename = "__type")]
            name: String,
            #[serde(default, alias = "Message")]
            message: String,
        }
        let (exception, message) = match serde_json::from_slice::<Exception>(body) {
            // Some services put a namespace in front, or a colon and a URL behind.
            Ok(Exception { name, message }) => {
                self.was_reached.store(true, Ordering::Relaxed);
                let name = name.rsplit('#').next().unwrap_or_default();
                (name.split(':').next().unwrap_or_default().to_owned(), message)
            }
            // A balancer in between may have answered.
            Err(_) if status.is_server_error() => (status.to_string(), "no words".into()),
            Err(_) => return self.foreign(format!("it answers {status}")),
        };
        KinesisError::Refused { operation, exception, message, status: status.as_u16() }
    }

    fn interrupted(&self, operation: &'static str, reason: String) -> KinesisError {
        KinesisError::Interrupted { endpoint: self.settings.endpoint_text(), operation, reason }
    }

    fn foreign(&self, reason: String) -> KinesisError {
        KinesisError::Foreign { endpoint: self.settings.endpoint_text(), reason }
    }
}

/// The innermost reason, which is the one that says something.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests;
