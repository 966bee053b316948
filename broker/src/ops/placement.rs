//! Where an operation runs, and which knowledge its denials rest on.
//!
//! The control plane runs on the leader of the metadata group; operations that read a shard run on the leader of
//! the shard's group. Another node's answer is relayed as it is, and a call that came from another node goes no
//! further. Without a leader in reach, reads are answered from the state that this node has applied, except
//! SubscribeToShard; everything else is refused with an error that clients retry.
//!
//! A denial that rests on metadata is given only once this node is known to have applied all metadata that was
//! committed before: consumers take a missing shard for its end.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, sleep};

use super::api::{GetRecordsInput, Operation, Request, RunsOn, WithoutLeader};
use super::record::{get_records, position};
use super::{Call, Fault, Reply, rate, relayed, run as run_operation, target};
use crate::model::stream::{Catalog, Shard};
use crate::observability::requests;
use crate::replication::{Leader, META_GROUP};
use crate::room::{Charge, LARGEST_ANSWER_BYTES, SMALL_BYTES};
use crate::service::iterator::ShardIterator;
use crate::service::{NotRelayed, Service};

/// How long an operation that changes something waits for a leader.
const CHANGE_PATIENCE: Duration = Duration::from_secs(5);
/// How long a read waits for a leader before this node answers it: an election takes about as long.
const READ_PATIENCE: Duration = Duration::from_millis(1_500);
/// Pause before a leader is looked for again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The subject of a request, as far as the choice of its node depends on it.
pub enum About {
    /// Something that the metadata group decides.
    Metadata,
    /// Records, each of which is sent to the leader of its own shard.
    Records,
    /// The shard that the members of the request name.
    NamedShard,
    /// The shard of an iterator, which is opened for the request, and again if this node did not have its key yet.
    Iterator(Result<ShardIterator, Fault>),
}

impl About {
    /// An iterator is opened again when this node may not have applied yet the key that it was made with.
    async fn of(service: &Service, request: &Request) -> Result<Self, Fault> {
        Ok(match (request.operation().properties().runs_on, request) {
            (RunsOn::MetadataLeader, _) => Self::Metadata,
            (RunsOn::AnyNode, _) => Self::Records,
            (RunsOn::ShardLeader, Request::GetRecords(GetRecordsInput { shard_iterator, .. })) => {
                let mut opened = get_records::open(service, shard_iterator);
                if opened == Err(Fault::no_key_yet()) {
                    look(service).await?;
                    opened = get_records::open(service, shard_iterator);
                }
                Self::Iterator(opened)
            }
            (RunsOn::ShardLeader, _) => Self::NamedShard,
        })
    }

    /// The name of the stream that a request names, for the request log: the request may run on another node.
    fn stream_name(&self, service: &Service, call: &Call, request: &Request) -> Option<Arc<str>> {
        if let Self::Iterator(opened) = self {
            let iterator = opened.as_ref().ok()?;
            return service.catalog().by_uid(iterator.stream_uid).map(|stream| stream.key.name.clone());
        }
        let targets = request.targets();
        target::named(call, targets.stream_name(), targets.stream_arn().or(targets.resource_arn()))
            .ok()
            .map(|key| key.name)
    }

    /// The iterator of a GetRecords.
    ///
    /// # Panics
    /// For a request of another operation.
    pub fn iterator(&self) -> Result<ShardIterator, Fault> {
        match self {
            Self::Iterator(opened) => opened.clone(),
            Self::Metadata | Self::Records | Self::NamedShard => panic!("only GetRecords has an iterator"),
        }
    }
}

/// Runs a call of a client where it belongs.
///
/// # Errors
/// The operation's fault, or [`Fault::Unavailable`] while no node leads its subject.
pub async fn run(service: &Arc<Service>, call: &Call, request: &Request) -> Result<Reply, Fault> {
    let about = &About::of(service, request).await?;
    requests::note_stream(|| about.stream_name(service, call, request));
    if service.groups().leadership().leaders().iter().all(|leader| *leader == Leader::Here) {
        return run_here(service, call, request, about).await;
    }
    let operation = request.operation();
    let (is_read, has_events) = (
        operation.properties().without_leader == WithoutLeader::AnswersHere,
        operation == Operation::SubscribeToShard,
    );
    let ends = Instant::now() + if is_read { READ_PATIENCE } else { CHANGE_PATIENCE };
    while let Some(group) = group(service, call, request, about).await? {
        let tried = match service.leader_until(group, ends).await {
            Leader::Here => break,
            Leader::At(node) => {
                let (bytes_max, charge) = room_for_records(service, call, about);
                let relayed = relayed::request(call, request, bytes_max);
                let answer = service.relay(node, group, has_events, relayed, ends).boxed().await;
                match answer {
                    Ok(answer) => {
                        service.give_up(group, false);
                        return relayed::reply(service, answer, charge);
                    }
                    Err(error) => error,
                }
            }
            Leader::Unknown => NotRelayed::NotDone,
        };
        match tried {
            NotRelayed::Unknown if !is_read => return Err(Fault::Internal),
            _ if Instant::now() + LOOK_AGAIN < ends && !service.is_given_up(group) => sleep(LOOK_AGAIN).await,
            _ if is_read => {
                service.give_up(group, true);
                break;
            }
            _ => return Err(Fault::leaderless()),
        }
    }
    run_here(service, call, request, about).await
}

/// Room for the records that another node is asked for, and its bytes; 0 where no records are asked for. A reader that
/// has all that this node knows of is taken for one at the tip, which needs room for the largest record in JSON.
fn room_for_records(service: &Service, call: &Call, about: &About) -> (usize, Option<Charge>) {
    let About::Iterator(opened) = about else { return (0, None) };
    let at_tip = || {
        let iterator = opened.as_ref().ok()?;
        let stream = service.catalog().by_uid(iterator.stream_uid)?.clone();
        let bounds = service.bounds(&stream, stream.shard(iterator.shard.0)?)?;
        let record_bytes = stream.max_record_kib as usize * 1_024;
        (iterator.position.0 >= bounds.next_ordinal).then_some(record_bytes / 3 * 4 + SMALL_BYTES)
    };
    let bytes = at_tip().unwrap_or(LARGEST_ANSWER_BYTES).min(LARGEST_ANSWER_BYTES);
    call.answers.take_up_to(bytes)
}

/// Runs a call that came from another node if this node leads its subject; `None` when it is not.
///
/// # Errors
/// The operation's fault.
pub async fn run_if_here(
    service: &Arc<Service>,
    call: &Call,
    request: &Request,
) -> Result<Option<Reply>, Fault> {
    let about = &About::of(service, request).await?;
    match group(service, call, request, about).await? {
        Some(group) if service.groups().leadership().leader(group) != Leader::Here => Ok(None),
        _ => run_here(service, call, request, about).await.map(Some),
    }
}

async fn run_here(
    service: &Arc<Service>,
    call: &Call,
    request: &Request,
    about: &About,
) -> Result<Reply, Fault> {
    rate::check(service, call, request)?;
    certain(service, || run_operation(service, call, request, about)).boxed().await
}

/// Runs an operation; again when it was denied something that this node's metadata may have been behind in.
///
/// # Errors
/// The operation's fault, or [`Fault::Unavailable`] when the answer is not certain.
pub async fn certain<T, Running>(service: &Service, run: impl Fn() -> Running + Send) -> Result<T, Fault>
where
    Running: Future<Output = Result<T, Fault>> + Send,
{
    let before = service.catalog();
    let answer = run().await;
    match &answer {
        Err(fault) if fault.rests_on_metadata() => {}
        _ => return answer,
    }
    look(service).await?;
    if Arc::ptr_eq(&before, &service.catalog()) { answer } else { run().await }
}

/// Returns once this node has applied all metadata that was committed before.
async fn look(service: &Service) -> Result<(), Fault> {
    service.groups().proposals().read_index(META_GROUP).boxed().await.map_err(|_| Fault::leaderless())
}

/// The group whose leader runs the call; `None` when its subject certainly does not exist.
async fn group(
    service: &Arc<Service>,
    call: &Call,
    request: &Request,
    about: &About,
) -> Result<Option<u8>, Fault> {
    match about {
        About::Metadata => return Ok(Some(META_GROUP)),
        About::Records => return Ok(None),
        About::NamedShard | About::Iterator(_) => {}
    }
    let find = || group_of_shard(&service.catalog(), call, request, about);
    if let Some(group) = find() {
        return Ok(Some(group));
    }
    look(service).await?;
    Ok(find())
}

fn group_of_shard(catalog: &Catalog, call: &Call, request: &Request, about: &About) -> Option<u8> {
    let group = |shard: &Shard| shard.group;
    if let About::Iterator(opened) = about {
        let iterator = opened.as_ref().ok()?;
        return catalog.by_uid(iterator.stream_uid)?.shard(iterator.shard.0).map(group);
    }
    let targets = request.targets();
    let shard_id =
        targets.shard_id().expect("the test below: a request that runs on a shard's leader names it");
    let stream = match targets.consumer_arn() {
        Some(arn) => target::consumer(catalog, arn).ok()?.0,
        None => target::stream(catalog, call, targets).ok()?,
    };
    position::find_shard(&stream, shard_id).ok().map(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_that_runs_on_a_shards_leader_names_the_shard_or_is_known_to_name_it_otherwise() {
        let runs_on_shard = |operation: &Operation| operation.properties().runs_on == RunsOn::ShardLeader;
        for operation in Operation::ALL.into_iter().filter(runs_on_shard) {
            let names_shard =
                operation.members().iter().any(|member| member.name == "ShardId" && member.required);
            // `About::of` has an arm for this one.
            let has_iterator = operation == Operation::GetRecords;
            assert!(names_shard || has_iterator, "{operation:?} needs an arm in About::of");
        }
    }
}
