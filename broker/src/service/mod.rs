//! The work of the broker, for every protocol.
//!
//! - `append` takes records to the groups of their shards, here and on other nodes.
//! - `read` gives records of a shard, and seals the tokens that name a place in it.
//! - `subscribe` pushes records to consumers and to other nodes' clients.
//! - `streams` drives the changes of streams, reshards among them; `consumers` those of consumers and consumer groups.
//! - `applications` shows and changes KCL applications, whose leases are in these tables.
//! - `lease_tables` answers the calls of the DynamoDB protocol that KCL makes.
//! - `limits` keeps the budgets of shards, callers and streams.
//! - `upkeep` runs by itself: checkpoints, retention, clocks, and the watch over the disk.
//!
//! Operations call the service with domain values; the service calls replication. Time is asked of the clock here and
//! passed down.

mod append;
mod applications;
mod consumers;
mod lease_tables;
mod limits;
mod own_task;
mod read;
mod relay;
mod streams;
mod subscribe;
mod upkeep;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidelog_storage::shard::{Bounds, ShardKey, ShardLog};

use self::limits::Accounting;
use self::limits::rates::{CallRates, Subject};
use self::limits::stream_shares::StreamShares;
use self::read::iterator::Sealer;
use self::read::reader::ReadPermits;
use self::subscribe::feed::Feeds;
use self::subscribe::follow::{FOLLOWED_SHARDS_MAX, NameBudgets};
use self::subscribe::subscriptions::SubscriptionTable;
use self::upkeep::trim_log::TrimLog;
use crate::limits::rates::Rate;
use crate::limits::{ControlLimits, ShardLimits};
use crate::model::stream::{Catalog, Shard, Stream, StreamStatus};
use crate::replication::{DATA_GROUPS, Groups, Leader, MetadataFull, ProposeError, QuotaExceeded};
use crate::room::{Account, AnswerRoom, PEERS, Pool};

pub use append::messages::check_peer_put;
pub use append::receive::LinkQueues;
pub use append::refusal::PutRefusal;
pub use append::session::{OrderedPut, PutSession};
pub use append::{AppendFailure, AppendedRecord, Appender, NewRecord, Payload};
pub use applications::{
    APPLICATION_QUIET, ApplicationDescription, ApplicationError, FoundStream, ImportOutcome, LeaseChange,
    LeaseDescription, LockDescription, NewApplication, ResetOutcome, WorkerDescription,
};
pub use consumers::groups::{
    ConsumerGroupError, GoOn, GroupBegin, GroupDescription, Joined, Lease, MemberDescription, NewMember,
    Reached, ShardDescription, ShardProgress,
};
pub use lease_tables::{LeaseTables, group_of};
pub use limits::demand::send_demand;
pub use limits::{rates, throttle};
pub use own_task::{OwnTask, in_own_tasks};
pub use read::damage::DamagedRecords;
pub use read::iterator;
pub use read::reader::{ReadPermit, Reader};
pub use read::{ReadAnswer, ReadRecord};
pub use relay::{NotRelayed, Relayed};
pub use streams::NewStream;
pub use streams::settings::{ResourceId, StreamChange};
pub use streams::transitions::Transitions;
use subscribe::call_room::CALL_SHARE_MIN;
pub use subscribe::call_room::{BatchCharge, CallRoom};
pub use subscribe::feed::Run;
pub use subscribe::follow::{Batch, Followed, FollowedShards, Follower, NameBudget, batch_bytes_max};
pub use subscribe::subscriptions::SubscribeRefusal;
pub use subscribe::{Event, Next, Pace, Subscription};

/// How far the clocks of a cluster's nodes may be apart before clients see it.
const CLOCK_SKEW_MS_MAX: u64 = 10_000;

/// Why the service cannot do something now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ServiceUnavailable {
    /// No node is known to lead the metadata.
    #[error("no leader for the metadata right now")]
    NoMetadataLeader,
    /// No key for tokens could be made.
    #[error("no key for tokens could be made")]
    NoKey,
    /// The newest position of a shard is not known.
    #[error("the end of a shard is not known now")]
    UnknownEnd,
    /// The shard of that index is not ready on this node.
    #[error("shard {0} is not ready on this node")]
    ShardNotReady(u32),
    /// The node has reached its limit of consumers.
    #[error("This node has reached its limit of consumers.")]
    Consumers,
}

/// The reason why the service did not carry out a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// A budget is spent: that of a shard, or of a caller of the control plane; later.
    #[error("a rate is exceeded")]
    Throttled,
    /// A stream of that name exists.
    #[error("the stream exists")]
    NameTaken,
    /// The stream is certainly gone.
    #[error("the stream does not exist")]
    StreamGone,
    /// The consumer is certainly gone.
    #[error("the consumer does not exist")]
    ConsumerGone,
    /// A shard that was to be closed is not open (any more): its index.
    #[error("shard {0} is not open")]
    ShardClosed(u32),
    /// The stream is in a state that forbids it.
    #[error("the stream is {0:?}")]
    NotActive(StreamStatus),
    /// The metadata of the cluster would grow beyond a bound.
    #[error(transparent)]
    MetadataFull(#[from] MetadataFull),
    /// A quota of an account, a stream or a resource would be exceeded.
    #[error(transparent)]
    QuotaExceeded(#[from] QuotaExceeded),
    /// Another request has changed the state that this one was decided on.
    #[error("another request has changed the stream")]
    Overtaken,
    /// The service cannot do it now; a retry may succeed.
    #[error(transparent)]
    Unavailable(#[from] ServiceUnavailable),
    /// Something is wrong here; the log names it.
    #[error("{0}")]
    Internal(String),
}

impl From<ProposeError> for ServiceError {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::NotProposed => Self::Unavailable(ServiceUnavailable::NoMetadataLeader),
            ProposeError::Unknown => Self::Internal("the outcome is unknown".into()),
        }
    }
}

/// The part of the configuration that the service needs.
#[derive(Clone, Debug)]
pub struct ServiceConfig {
    /// Limits of every shard.
    pub limits: ShardLimits,
    /// Rates and quotas of the control plane.
    pub control_limits: ControlLimits,
    /// How long changes of streams and consumers take at least.
    pub transitions: Transitions,
    /// Bounds of lease tables; `None` where they are not served.
    pub lease_tables: Option<tidelog_tables::Bounds>,
    /// How long no lease of a KCL application may have been renewed before it can be changed.
    pub application_quiet: Duration,
    /// The times of subscriptions.
    pub pace: Pace,
}

/// The broker's service. Shared by all connections.
pub struct Service {
    groups: Arc<Groups>,
    config: ServiceConfig,
    accounts: Arc<Accounting>,
    appender: Appender,
    lease_tables: LeaseTables,
    watches: applications::Watches,
    call_rates: Mutex<CallRates>,
    sealer: Mutex<Option<Arc<Sealer>>>,
    read_permits: Arc<ReadPermits>,
    /// Groups whose leader was waited for in vain, a bit for each.
    given_up: AtomicU8,
    /// The newest arrival time of a record here, as last looked at.
    newest_ms: AtomicU64,
    /// Trims that the log is to tell of.
    trims: Mutex<TrimLog>,
    /// Streams and consumers whose saga is being driven.
    sagas: Mutex<HashSet<u64>>,
    /// The subscriptions of consumers.
    subscriptions: SubscriptionTable,
    /// The read budgets of callers that follow shards without a subscription.
    name_budgets: NameBudgets,
    /// Shards that calls follow without a subscription.
    followed_shards: Arc<Mutex<StreamShares>>,
    /// Bytes of records on their way to other nodes' clients.
    bytes_for_peers: Arc<Pool>,
    /// The runs that subscribers of one shard share.
    feeds: Arc<Feeds>,
    /// The memory for answers, once clients are served.
    answers: OnceLock<AnswerRoom>,
}

impl Service {
    /// The service over running groups. Call [`Service::start_upkeep`] once.
    pub fn new(groups: Arc<Groups>, config: ServiceConfig) -> Arc<Self> {
        let sizes = *groups.sizes();
        let read_permits = Arc::new(ReadPermits::new(sizes.file_reads_max));
        let feeds = Arc::new(Feeds::new(config.pace.run_bytes_in_flight_max));
        let accounts = Arc::new(Accounting::new(config.limits));
        let appender = Appender::new(groups.clone(), accounts.clone());
        let lease_tables = LeaseTables::new(groups.clone(), config.lease_tables);
        Arc::new(Self {
            groups,
            config,
            accounts,
            appender,
            lease_tables,
            watches: applications::Watches::default(),
            call_rates: Mutex::default(),
            sealer: Mutex::default(),
            read_permits,
            given_up: AtomicU8::new(0),
            newest_ms: AtomicU64::new(0),
            trims: Mutex::default(),
            sagas: Mutex::default(),
            subscriptions: SubscriptionTable::default(),
            name_budgets: NameBudgets::default(),
            followed_shards: Arc::new(Mutex::new(StreamShares::new(FOLLOWED_SHARDS_MAX))),
            bytes_for_peers: Pool::unreserved(PEERS, sizes.events_for_peers_bytes_max, CALL_SHARE_MIN),
            feeds,
            answers: OnceLock::new(),
        })
    }

    /// Takes the memory for answers to other nodes' clients out of this pool from now on.
    pub fn answer_peers_from(&self, pool: &Arc<Pool>) {
        // A gateway is opened once.
        let _ = self.answers.set(AnswerRoom::new(pool, &Account::detached()));
    }

    /// The room for an answer to another node's client. All of them are one account, which waits for nobody.
    pub fn answers_for_peers(&self) -> AnswerRoom {
        self.answers.get().cloned().unwrap_or_default()
    }

    /// Milliseconds since the epoch, as the broker goes by them: see [`ClusterClock`](crate::clock::ClusterClock).
    pub fn now_ms(&self) -> u64 {
        self.groups.clock().now_ms()
    }

    /// The earliest that it may be by the clock of any node: an iterator of another node is not too old by this.
    pub fn earliest_now_ms(&self) -> u64 {
        self.now_ms().saturating_sub(self.clock_skew_ms())
    }

    /// The latest that it may be by the clock of any node: a record of another node is not of the future by this.
    pub fn latest_now_ms(&self) -> u64 {
        self.now_ms().saturating_add(self.clock_skew_ms())
    }

    fn clock_skew_ms(&self) -> u64 {
        if self.groups.peers().configured().is_empty() { 0 } else { CLOCK_SKEW_MS_MAX }
    }

    /// Every stream as of the newest applied metadata.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.groups.catalog()
    }

    /// The limits of every shard.
    pub fn shard_limits(&self) -> ShardLimits {
        self.config.limits
    }

    /// Rates and quotas of the control plane.
    pub fn control_limits(&self) -> &ControlLimits {
        &self.config.control_limits
    }

    /// Counts a call of the control plane.
    ///
    /// # Errors
    /// [`ServiceError::Throttled`] when it is one too many.
    pub fn admit_call(&self, operation: &str, rate: Rate, subject: &Subject) -> Result<(), ServiceError> {
        let mut rates = self.call_rates.lock().expect("no code panics while it holds this lock");
        rates.admit(operation, rate, subject, self.now_ms()).map_err(|_| ServiceError::Throttled)
    }

    /// How long changes of streams and consumers take at least.
    pub fn transitions(&self) -> &Transitions {
        &self.config.transitions
    }

    /// Returns the cipher of iterators and tokens; `None` until the cluster has its key.
    pub fn sealer(&self) -> Option<Arc<Sealer>> {
        let mut sealer = self.sealer.lock().expect("no code panics while it holds this lock");
        if sealer.is_none() {
            *sealer = self.catalog().sealing_key.map(|key| Arc::new(Sealer::new(key)));
        }
        sealer.clone()
    }

    /// Returns the bounds of a shard's records; `None` when this node does not know them now.
    pub fn bounds(&self, stream: &Stream, shard: &Shard) -> Option<Bounds> {
        self.log(stream, shard).map(|log| log.bounds())
    }

    /// Appends records to shards.
    pub fn appender(&self) -> &Appender {
        &self.appender
    }

    /// The lease tables.
    pub fn lease_tables(&self) -> &LeaseTables {
        &self.lease_tables
    }

    /// Why puts are refused right now, if they are.
    pub fn put_refusal(&self) -> Option<PutRefusal> {
        self.appender.gate().refusal()
    }

    /// The replicated groups below.
    pub fn groups(&self) -> &Arc<Groups> {
        &self.groups
    }

    /// Whether this node leads a group.
    fn leads(&self, group: u8) -> bool {
        self.groups.leadership().leader(group) == Leader::Here
    }

    /// Whether a group's leader was waited for in vain, so that reads need not wait for it again.
    pub fn is_given_up(&self, group: u8) -> bool {
        self.given_up.load(Ordering::Relaxed) & (1 << group) != 0
    }

    /// Takes note of whether a group's leader was waited for in vain.
    pub fn give_up(&self, group: u8, is_given_up: bool) {
        if is_given_up {
            self.given_up.fetch_or(1 << group, Ordering::Relaxed);
        } else if self.is_given_up(group) {
            self.given_up.fetch_and(!(1 << group), Ordering::Relaxed);
        }
    }

    /// The times and the memory of subscriptions.
    pub fn pace(&self) -> &Pace {
        &self.config.pace
    }

    fn log(&self, stream: &Stream, shard: &Shard) -> Option<Arc<ShardLog>> {
        self.groups.shard(ShardKey { stream_uid: stream.uid, shard: shard.index })
    }
}

/// A bit for each group.
const _: () = assert!(DATA_GROUPS < u8::BITS as u8);
