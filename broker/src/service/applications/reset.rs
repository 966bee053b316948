//! Changes of an application whose workers are stopped: other positions, or its end. Each is one entry of the log.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidelog_tables::request::{ApplicationChange, ItemWrite};
use tidelog_tables::{Fault, Owner, Write, answer};

use super::describe::stream_name;
use super::find::FoundStream;
use super::leases::Application;
use super::plan::{LeaseChange, Position, changes, checkpoint_before, cut};
use super::seen::check_quiet;
use super::{ApplicationError, Service};
use crate::model::stream::{Shard, Stream, StreamKey};
use crate::replication::TableAnswer;
use crate::service::read::behind::{Behind, Unread};
use crate::service::{GroupBegin, ServiceError, ServiceUnavailable};

/// The changes of leases that were made, or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResetOutcome {
    /// Names of the streams that the application reads.
    pub streams: Vec<String>,
    /// The change of each lease.
    pub changes: Vec<LeaseChange>,
    /// Why it would not be done now; after a trial only.
    pub refusal: Option<ApplicationError>,
}

impl From<GroupBegin> for Position {
    fn from(begin: GroupBegin) -> Self {
        match begin {
            GroupBegin::TrimHorizon => Self::Oldest,
            GroupBegin::Latest => Self::Newest,
            GroupBegin::Time(time_ms) => Self::Time(time_ms),
        }
    }
}

impl Service {
    /// Sets the positions of an application anew. A trial changes nothing.
    ///
    /// # Errors
    /// [`ApplicationError`]: it runs, or that is not known; its stream is not known; a time in the future.
    pub async fn reset_application(
        &self,
        owner: &Owner,
        name: &str,
        named: Option<&StreamKey>,
        to: GroupBegin,
        is_trial: bool,
    ) -> Result<ResetOutcome, ApplicationError> {
        if matches!(to, GroupBegin::Time(time_ms) if time_ms > self.latest_now_ms()) {
            return Err(ApplicationError::OutOfRange("The timestamp lies in the future.".to_owned()));
        }
        let application = self.application(owner, name).await?;
        let found = self.find_stream(owner, &application, named).await?;
        let planned = self.plan_reset(owner, &application, &found, to.into()).await?;
        let streams = planned.iter().map(|(stream, _)| stream.key.name.to_string()).collect();
        let (changes, writes) = planned.into_iter().flat_map(|(_, changes)| changes).unzip();
        let change = ApplicationChange { writes, ..application.change() };
        let refusal = self.change_application(owner, &application, change, is_trial).await?;
        Ok(ResetOutcome { streams, changes, refusal })
    }

    /// Drops all tables of an application. A trial changes nothing. Returns their names.
    ///
    /// # Errors
    /// [`ApplicationError`]: it runs, or that is not known; one of the tables is protected.
    pub async fn delete_application(
        &self,
        owner: &Owner,
        name: &str,
        is_trial: bool,
    ) -> Result<(Vec<String>, Option<ApplicationError>), ApplicationError> {
        let application = self.application(owner, name).await?;
        let change = ApplicationChange { dropped: dropped(&application), ..application.change() };
        let change = ApplicationChange { writes: checks(&application), ..change };
        let refusal = self.change_application(owner, &application, change, is_trial).await?;
        Ok((application.tables, refusal))
    }

    /// Makes a change of an application that is quiet; of a trial gives the reason why it would be refused.
    pub(super) async fn change_application(
        &self,
        owner: &Owner,
        application: &Application,
        change: ApplicationChange,
        is_trial: bool,
    ) -> Result<Option<ApplicationError>, ApplicationError> {
        let watched = self.watched(owner, &application.name).await;
        let quiet = check_quiet(&application.leases, &watched, self.config.application_quiet);
        if is_trial {
            return Ok(quiet.err());
        }
        quiet?;
        self.make_change(owner, change).await.map(|()| None)
    }

    /// Makes a change if the leases are as they were read.
    pub(super) async fn make_change(
        &self,
        owner: &Owner,
        change: ApplicationChange,
    ) -> Result<(), ApplicationError> {
        let answer = match self.lease_tables.write(owner, Write::Application(Box::new(change))).await {
            Ok(answer) => answer,
            Err(Fault::Internal) => {
                return Err(ServiceError::Internal("the outcome is unknown".to_owned()).into());
            }
            Err(fault) => return Err(fault.into()),
        };
        match answer.status {
            200 => Ok(()),
            TableAnswer::OVERTAKEN => Err(ApplicationError::Overtaken),
            _ => Err(ApplicationError::Refused(answer::message_of(&answer.body))),
        }
    }

    /// The changes of leases for each stream of an application.
    async fn plan_reset(
        &self,
        owner: &Owner,
        application: &Application,
        found: &FoundStream,
        to: Position,
    ) -> Result<Vec<(Arc<Stream>, Vec<(LeaseChange, ItemWrite)>)>, ApplicationError> {
        let mut by_stream: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        for lease in &application.leases {
            let name = stream_name(found, lease).ok_or_else(|| no_stream(found))?;
            by_stream.entry(name).or_default().push(lease);
        }
        // Without a lease an application begins as its configuration says; a stream that is known gets its leases.
        if let (true, Some(name)) = (by_stream.is_empty(), found.one()) {
            by_stream.insert(name, Vec::new());
        }
        if by_stream.is_empty() {
            return Err(no_stream(found));
        }
        let mut planned = Vec::with_capacity(by_stream.len());
        for (name, leases) in by_stream {
            let stream = self.stream_of(owner, name).ok_or(ServiceError::StreamGone)?;
            let cut = self.checkpoints(&stream, |_| to).await?;
            let changes = changes(&application.name, &stream, &leases, &cut, application.has_entities())?;
            planned.push((stream.clone(), changes));
        }
        Ok(planned)
    }

    /// The shards at which reading goes on, each with its checkpoint.
    pub(super) async fn checkpoints<'s>(
        &self,
        stream: &'s Stream,
        position: impl Fn(&Shard) -> Position,
    ) -> Result<Vec<(&'s Shard, String)>, ApplicationError> {
        let cut = cut(stream, &position, self.clock_skew_ms());
        let unread = |shard: &&&Shard| match position(shard) {
            Position::Oldest => None,
            Position::Time(time_ms) => Some((shard.index, Unread::Time(time_ms))),
            Position::Newest => Some((shard.index, Unread::Ordinal(u64::MAX))),
        };
        let unread: Vec<_> = cut.iter().filter_map(|shard| unread(&shard)).collect();
        let known = self.behind(stream, &unread).await;
        let checkpoint = |shard: &'s Shard| {
            let position = position(shard);
            if position == Position::Oldest {
                return Ok((shard, checkpoint_before(shard, 0, 0)));
            }
            let behind = known.get(&shard.index).ok_or(ServiceUnavailable::UnknownEnd)?;
            Ok((shard, checkpoint_at(shard, position, behind)))
        };
        let checkpoints: Result<Vec<_>, ServiceUnavailable> = cut.into_iter().map(checkpoint).collect();
        checkpoints.map_err(|unavailable| ServiceError::Unavailable(unavailable).into())
    }
}

fn checkpoint_at(shard: &Shard, position: Position, behind: &Behind) -> String {
    match position {
        Position::Oldest => checkpoint_before(shard, 0, 0),
        // The record before arrived before that time.
        Position::Time(time_ms) => checkpoint_before(shard, behind.from_ordinal, time_ms / 1_000),
        Position::Newest => checkpoint_before(shard, behind.next_ordinal, behind.newest_ms / 1_000),
    }
}

/// The writes that change nothing and fail when a lease has changed.
pub(super) fn checks(application: &Application) -> Vec<ItemWrite> {
    application.leases.iter().map(|lease| lease.check(&application.name)).collect()
}

/// All tables of an application.
pub(super) fn dropped(application: &Application) -> Vec<Box<str>> {
    application.tables.iter().map(|table| table.as_str().into()).collect()
}

/// Says why the stream is not known.
pub(super) fn no_stream(found: &FoundStream) -> ApplicationError {
    ApplicationError::NoStream(match found {
        FoundStream::Ambiguous(names) => format!("the leases fit several streams ({})", names.join(", ")),
        FoundStream::Conflicting(names) => {
            format!("the positions of the leases are of several streams ({})", names.join(", "))
        }
        _ => "no stream fits the leases".to_owned(),
    })
}
