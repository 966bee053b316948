//! Leases out of a table and into one: copies of an application, and applications that come from AWS.
//!
//! Leases of this cluster's stream come in as they are. Others get positions by time: their sequence numbers are of
//! other shards, and have the second in which the record arrived.

use std::sync::Arc;

use tidelog_tables::lease::Lease;
use tidelog_tables::request::{ApplicationChange, CreateTable};
use tidelog_tables::{Item, Owner};

use super::find::{Fit, FoundStream, fit};
use super::leases::Application;
use super::plan::{new_lease, position_of_range};
use super::reset::{checks, dropped, no_stream};
use super::{ApplicationError, Service};
use crate::model::stream::{Stream, StreamKey};
use crate::service::ServiceError;

/// An application to be made of leases.
#[derive(Clone, Debug)]
pub struct NewApplication<'a> {
    /// The name.
    pub name: &'a str,
    /// The stream that it is to read, where the caller names it.
    pub stream: Option<&'a StreamKey>,
    /// The items of its leases.
    pub items: &'a [Item],
    /// Whether it may replace a table.
    pub may_replace: bool,
    /// Whether nothing is to be changed.
    pub is_trial: bool,
}

/// Leases that were made, or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportOutcome {
    /// The stream, where it is known.
    pub stream: Option<String>,
    /// Whether the positions were found by time.
    pub is_by_time: bool,
    /// Keys and checkpoints of the leases.
    pub leases: Vec<(String, String)>,
    /// Why it would not be done now; after a trial only.
    pub refusal: Option<ApplicationError>,
}

impl Service {
    /// The items of an application's leases.
    ///
    /// # Errors
    /// [`ApplicationError`].
    pub async fn export_application(&self, owner: &Owner, name: &str) -> Result<Vec<Item>, ApplicationError> {
        let application = self.application(owner, name).await?;
        Ok(application.leases.into_iter().map(|lease| lease.item).collect())
    }

    /// Makes a table of leases.
    ///
    /// # Errors
    /// [`ApplicationError`]: there is one that may not be replaced, or whose application runs; items that are no
    /// leases; a stream that is not known.
    pub async fn import_application(
        &self,
        owner: &Owner,
        new: NewApplication<'_>,
    ) -> Result<ImportOutcome, ApplicationError> {
        let leases = read_leases(new.items)?;
        let before = match self.application(owner, new.name).await {
            Ok(application) => Some(application),
            Err(ApplicationError::NoSuchApplication(_)) => None,
            Err(error) => return Err(error),
        };
        if before.is_some() && !new.may_replace {
            return Err(ApplicationError::Exists(new.name.to_owned()));
        }
        let asked = Application { name: new.name.to_owned(), leases, ..Application::default() };
        let found = self.find_stream(owner, &asked, new.stream).await?;
        let (stream, is_by_time, items) = self.imported(owner, &asked, &found).await?;
        let (change, is_new) = match &before {
            None => (asked.change(), true),
            Some(before) => {
                let writes = checks(before);
                (ApplicationChange { writes, dropped: dropped(before), ..before.change() }, false)
            }
        };
        let leases = items.iter().filter_map(Lease::of);
        let leases = leases.map(|lease| (lease.key.into(), lease.checkpoint.into())).collect();
        let created = Some(CreateTable::of_leases(new.name));
        let change = ApplicationChange { created, items, ..change };
        let refusal = match before {
            Some(before) => self.change_application(owner, &before, change, new.is_trial).await?,
            None if new.is_trial => None,
            None => self.make_change(owner, change).await.map(|()| None).map_err(|error| match error {
                ApplicationError::Overtaken if is_new => ApplicationError::Exists(new.name.to_owned()),
                error => error,
            })?,
        };
        Ok(ImportOutcome { stream, is_by_time, leases, refusal })
    }

    /// The items to make: as they are, or by time.
    async fn imported(
        &self,
        owner: &Owner,
        asked: &Application,
        found: &FoundStream,
    ) -> Result<(Option<String>, bool, Vec<Item>), ApplicationError> {
        let as_they_are = || asked.leases.iter().map(Lease::without_owner).collect();
        let Some(name) = found.one() else {
            return match found {
                FoundStream::InLeases(_) if self.all_fit(owner, &asked.leases) => {
                    Ok((None, false, as_they_are()))
                }
                FoundStream::InLeases(_) => Err(ApplicationError::Invalid(
                    "leases of several streams are imported only as they are, and these are of other shards"
                        .to_owned(),
                )),
                _ => Err(no_stream(found)),
            };
        };
        let stream = self.stream_of(owner, name).ok_or(ServiceError::StreamGone)?;
        if asked.leases.iter().all(|lease| fit(&stream, lease) != Fit::Not) {
            return Ok((Some(name.to_owned()), false, as_they_are()));
        }
        Ok((Some(name.to_owned()), true, self.by_time(&stream, asked).await?))
    }

    fn all_fit(&self, owner: &Owner, leases: &[Lease]) -> bool {
        leases.iter().all(|lease| {
            let stream: Option<Arc<Stream>> =
                lease.stream_name().and_then(|name| self.stream_of(owner, name));
            stream.is_some_and(|stream| fit(&stream, lease) != Fit::Not)
        })
    }

    async fn by_time(&self, stream: &Stream, asked: &Application) -> Result<Vec<Item>, ApplicationError> {
        let many = asked.leases.iter().find_map(|lease| lease.stream.as_deref());
        // A record of another service's second may have any millisecond of it here.
        let cut = self.checkpoints(stream, |shard| position_of_range(shard, &asked.leases)).await?;
        let lease = |(shard, checkpoint)| new_lease(shard, checkpoint, many, asked.has_entities()).item();
        Ok(cut.into_iter().map(lease).collect())
    }
}

fn read_leases(items: &[Item]) -> Result<Vec<Lease>, ApplicationError> {
    let mut leases = Vec::with_capacity(items.len());
    for (at, item) in items.iter().enumerate() {
        let lease = Lease::of(item);
        leases.push(lease.ok_or_else(|| {
            ApplicationError::Invalid(format!(
                "item {} is no lease: a lease has leaseKey and checkpoint",
                at + 1
            ))
        })?);
    }
    if leases.is_empty() {
        return Err(ApplicationError::Invalid("there is no lease to import".to_owned()));
    }
    Ok(leases)
}
