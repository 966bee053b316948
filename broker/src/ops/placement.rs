//! Where an operation runs, and what its denials rest on.
//!
//! The control plane runs on the leader of the metadata group; what reads a shard, on the leader of the shard's group.
//! Another node's answer is relayed as it is, and a call that came from another node goes no further. Without a leader
//! in reach reads are answered from what this node has applied; everything else is refused with an error that clients
//! retry.
//!
//! A denial that rests on metadata is given only once this node is known to have applied all metadata that was committed
//! before: consumers take a missing shard for its end.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, sleep};

use super::input::Input;
use super::record::position;
use super::{Call, Fault, Reply, rate, relayed, run as run_operation, target};
use crate::model::stream::{Catalog, Shard};
use crate::replication::{Leader, META_GROUP};
use crate::room::{Charge, LARGEST_ANSWER_BYTES, SMALL_BYTES};
use crate::service::{NotRelayed, Service};

/// How long what changes something waits for a leader.
const CHANGE_PATIENCE: Duration = Duration::from_secs(5);
/// How long a read waits for a leader before this node answers it: an election takes about as long.
const READ_PATIENCE: Duration = Duration::from_millis(1_500);
/// Pause before a leader is looked for again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// The operation that answers with an event stream.
const STREAMING: &str = "SubscribeToShard";

/// Runs a call of a client where it belongs.
///
/// # Errors
/// The operation's fault, or [`Fault::Unavailable`] while nobody leads what it is about.
pub async fn run(
    service: &Arc<Service>,
    call: &Call,
    name: &'static str,
    input: &Input,
) -> Result<Reply, Fault> {
    if service.groups().leadership().leaders().iter().all(|leader| *leader == Leader::Here) {
        return run_here(service, call, name, input).await;
    }
    let is_read = ["Describe", "Get", "List"].iter().any(|read| name.starts_with(read));
    let ends = Instant::now() + if is_read { READ_PATIENCE } else { CHANGE_PATIENCE };
    while let Some(group) = group(service, call, name, input).await? {
        let tried = match service.leader_until(group, ends).await {
            Leader::Here => break,
            Leader::At(node) => {
                let (bytes_max, charge) = room_for_records(service, call, name, input);
                let request = relayed::request(call, bytes_max);
                let answer = service.relay(node, group, name == STREAMING, request, ends).boxed().await;
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
    run_here(service, call, name, input).await
}

/// Room for the records that another node is asked for, and its bytes; 0 where no records are asked for. A reader that has
/// all that this node knows of is taken for one at the tip, which needs room for the largest record in JSON.
fn room_for_records(service: &Service, call: &Call, name: &str, input: &Input) -> (usize, Option<Charge>) {
    if name != "GetRecords" {
        return (0, None);
    }
    let at_tip = || {
        let text = input.required_text("ShardIterator");
        let iterator = service.sealer()?.open_iterator(text, service.earliest_now_ms()).ok()?;
        let stream = service.catalog().by_uid(iterator.stream_uid)?.clone();
        let bounds = service.bounds(&stream, stream.shard(iterator.shard.0)?)?;
        let record_bytes = stream.max_record_kib as usize * 1_024;
        (iterator.position.0 >= bounds.next_ordinal).then_some(record_bytes / 3 * 4 + SMALL_BYTES)
    };
    let bytes = at_tip().unwrap_or(LARGEST_ANSWER_BYTES).min(LARGEST_ANSWER_BYTES);
    call.answers.take_up_to(bytes)
}

/// Runs a call that came from another node if what it is about is led here; `None` when it is not.
///
/// # Errors
/// The operation's fault.
pub async fn run_if_here(
    service: &Arc<Service>,
    call: &Call,
    name: &'static str,
    input: &Input,
) -> Result<Option<Reply>, Fault> {
    match group(service, call, name, input).await? {
        Some(group) if service.groups().leadership().leader(group) != Leader::Here => Ok(None),
        _ => run_here(service, call, name, input).await.map(Some),
    }
}

async fn run_here(
    service: &Arc<Service>,
    call: &Call,
    name: &'static str,
    input: &Input,
) -> Result<Reply, Fault> {
    rate::check(service, name, call, input)?;
    certain(service, || run_operation(service, call, name, input)).boxed().await
}

/// Runs an operation; again when it was denied something that this node's metadata may have been behind in.
///
/// # Errors
/// The operation's fault, or [`Fault::Unavailable`] when it cannot be told for certain.
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

/// The group whose leader runs the call; `None` when what it is about is certainly not there.
async fn group(service: &Arc<Service>, call: &Call, name: &str, input: &Input) -> Result<Option<u8>, Fault> {
    if !matches!(name, "GetRecords" | "GetShardIterator" | STREAMING) {
        return Ok(Some(META_GROUP));
    }
    let find = || {
        let catalog = service.catalog();
        group_of_shard(service, &catalog, call, name, input)
    };
    if let Some(group) = find() {
        return Ok(Some(group));
    }
    look(service).await?;
    Ok(find())
}

fn group_of_shard(
    service: &Service,
    catalog: &Catalog,
    call: &Call,
    name: &str,
    input: &Input,
) -> Option<u8> {
    let group = |shard: &Shard| shard.group;
    if name == "GetRecords" {
        let text = input.required_text("ShardIterator");
        let iterator = service.sealer()?.open_iterator(text, service.earliest_now_ms()).ok()?;
        return catalog.by_uid(iterator.stream_uid)?.shard(iterator.shard.0).map(group);
    }
    let stream = match name {
        STREAMING => target::consumer(catalog, input.required_text("ConsumerARN")).ok()?.0,
        _ => target::stream(catalog, call, input).ok()?,
    };
    position::find_shard(&stream, input.required_text("ShardId")).ok().map(group)
}
