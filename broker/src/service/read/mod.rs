//! Reading a shard: budget, memory first, files on the reader pool, and how far behind the reader is.

pub mod behind;
pub mod damage;
pub mod iterator;
pub mod reader;
pub mod token_cipher;

use bytes::Bytes;
use tidelog_storage::shard::{ReadBatch, ReadLimit, ShardError};

use super::limits::throttle::Budget;
use super::{OwnTask, ReadPermit, Reader, Service, ServiceError};
use crate::model::stream::{Shard, Stream};

/// A record on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRecord {
    /// The record's place in the shard, from 1.
    pub ordinal: u64,
    /// Arrival, milliseconds since the epoch.
    pub time_ms: u64,
    /// UTF-8; absent for a record that was put without one.
    pub partition_key: Option<Bytes>,
    /// The data.
    pub data: Bytes,
}

/// The records that one read found, and where it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadAnswer {
    /// The records in order, without a gap.
    pub records: Vec<ReadRecord>,
    /// The ordinal at which the next read goes on.
    pub next_ordinal: u64,
    /// Milliseconds between now and the arrival of the last record 0 at the tip.
    pub millis_behind: u64,
    /// True when a closed shard has been read to its end.
    pub end_of_shard: bool,
}

impl Service {
    /// Reads from an ordinal on; one below the trim point starts there, one beyond the end gives nothing.
    /// At least one record is given when there is one, whatever its size.
    pub async fn read(
        &self,
        stream: &Stream,
        shard: &Shard,
        from: u64,
        records_max: usize,
        bytes_max: usize,
    ) -> Result<ReadAnswer, ServiceError> {
        let (answer, _permit) = self.read_with_permit(stream, shard, from, records_max, bytes_max).await?;
        Ok(answer)
    }

    /// Reads like [`Self::read`], and returns the permit that covers the memory of records read from files. The
    /// caller drops it once the records are written elsewhere, and waits for nothing while it has one.
    pub async fn read_with_permit(
        &self,
        stream: &Stream,
        shard: &Shard,
        from: u64,
        records_max: usize,
        bytes_max: usize,
    ) -> Result<(ReadAnswer, Option<ReadPermit>), ServiceError> {
        let log = self.log(stream, shard).ok_or_else(|| unavailable(shard))?;
        self.admit_read(stream, shard)?;
        let limit = ReadLimit { records: records_max, bytes: bytes_max };
        let (batch, permit) = match log.read_memory(from, limit) {
            Some(batch) => (batch, None),
            None => {
                let (batch, permit) = self.with_read_permit(move || log.read(from, limit)).await?;
                (batch, Some(permit))
            }
        };
        let bytes = batch.records.iter().map(|read| size(&read.record)).sum::<usize>();
        self.charge_read(stream, shard, bytes as u64);
        self.accounts.meters.outgoing_records.increment(batch.records.len() as u64);
        self.accounts.meters.outgoing_bytes.increment(bytes as u64);
        let answer = self.answer(stream, shard, batch)?;
        if let Some(counts) = self.accounts.shard_counts.of(stream, shard) {
            counts.note_read(answer.records.len(), bytes, answer.millis_behind);
        }
        Ok((answer, permit))
    }

    fn answer(&self, stream: &Stream, shard: &Shard, batch: ReadBatch) -> Result<ReadAnswer, ServiceError> {
        let bounds = self.bounds(stream, shard).ok_or_else(|| unavailable(shard))?;
        let at_tip = batch.next_ordinal >= bounds.next_ordinal;
        let newest_given_ms = batch.records.last().map(|record| record.time_ms);
        let millis_behind = match newest_given_ms {
            _ if at_tip => 0,
            // Not at the tip, yet nothing given: behind by at least the oldest record that waits.
            None => bounds.oldest_time_ms.map_or(0, |oldest_ms| self.now_ms().saturating_sub(oldest_ms)),
            Some(given_ms) => self.now_ms().saturating_sub(given_ms),
        };
        self.accounts.meters.iterator_age_seconds.record(millis_behind as f64 / 1_000.0);
        let records = to_records(batch.records);
        // Sure on any node: the end of a closed shard is known before all of its records may be.
        let end_of_shard = shard.end_ordinal.is_some_and(|end| batch.next_ordinal >= end);
        Ok(ReadAnswer { records, next_ordinal: batch.next_ordinal, millis_behind, end_of_shard })
    }

    /// The first ordinal of a shard whose record arrived at `time_ms` or later; the next one when none has.
    pub async fn ordinal_at_time(
        &self,
        stream: &Stream,
        shard: &Shard,
        time_ms: u64,
    ) -> Result<u64, ServiceError> {
        let log = self.log(stream, shard).ok_or_else(|| unavailable(shard))?;
        self.on_reader_pool(move || log.ordinal_at_time(time_ms)).await
    }

    /// Runs a read of files on a thread that may block, a bounded number at a time.
    pub(super) async fn on_reader_pool<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, ShardError> + Send + 'static,
    ) -> Result<T, ServiceError> {
        self.with_read_permit(read).await.map(|(value, _permit)| value)
    }

    /// Runs a read like [`Self::on_reader_pool`], and returns the permit under which it ran.
    async fn with_read_permit<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, ShardError> + Send + 'static,
    ) -> Result<(T, ReadPermit), ServiceError> {
        let (permits, shell, reader) =
            (self.read_permits.clone(), self.groups.shell().clone(), Reader::current());
        // The read has a task of its own, because its caller may be polled only when a client's window opens.
        let done = OwnTask::start(async move {
            let permit = permits.take(reader).await;
            let reading = move || read().map(|value| (value, permit));
            shell.run_blocking(reading).await
        });
        match done.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                crate::log_at_most_once_a_second!(error, %error, "a shard cannot be read");
                Err(ServiceError::Internal(match error {
                    // Never the end of a shard and never a gap: consumers retry until an operator has decided.
                    ShardError::Damaged { .. } => {
                        "the next record of the shard is damaged on this node's disk and cannot be read; /health says \
                         which records, and what an operator can do"
                            .into()
                    }
                    other => other.to_string(),
                }))
            }
            Err(panic) => Err(ServiceError::Internal(panic.to_string())),
        }
    }

    fn admit_read(&self, stream: &Stream, shard: &Shard) -> Result<(), ServiceError> {
        let (now_ms, limits) = (self.now_ms(), self.shard_limits());
        let admitted = self.with_budget(stream, shard, |budget| budget.admit_read(&limits, now_ms));
        admitted.map_err(|_| {
            self.accounts.meters.read_throttled_calls.increment(1);
            self.accounts.stream_refusals.note_call(stream);
            if let Some(counts) = self.accounts.shard_counts.of(stream, shard) {
                counts.note_refused_read();
            }
            ServiceError::Throttled
        })
    }

    /// How long the next read of a shard has to wait for its budget, milliseconds.
    pub fn read_wait_ms(&self, stream: &Stream, shard: &Shard) -> u64 {
        let (now_ms, limits) = (self.now_ms(), self.shard_limits());
        self.with_budget(stream, shard, |budget| budget.read_wait_ms(&limits, now_ms))
    }

    /// Counts an iterator of an open shard.
    ///
    /// # Errors
    /// [`ServiceError::Throttled`] when too many were given out within a second.
    pub fn admit_iterator(&self, stream: &Stream, shard: &Shard) -> Result<(), ServiceError> {
        if shard.closed_ms.is_some() {
            return Ok(());
        }
        let (limits, now_ms) = (self.shard_limits(), self.now_ms());
        let admitted = self.with_budget(stream, shard, |budget| budget.admit_iterator(&limits, now_ms));
        admitted.map_err(|_| ServiceError::Throttled)
    }

    fn charge_read(&self, stream: &Stream, shard: &Shard, bytes: u64) {
        self.with_budget(stream, shard, |budget| budget.charge_read(bytes));
    }

    fn with_budget<T>(&self, stream: &Stream, shard: &Shard, use_budget: impl FnOnce(&mut Budget) -> T) -> T {
        let budget = self.accounts.budgets.of(stream).of(shard);
        use_budget(&mut budget.lock().expect("no code panics while it holds this lock"))
    }
}

/// Records of the log on their way out.
pub(super) fn to_records(records: Vec<tidelog_storage::shard::ReadRecord>) -> Vec<ReadRecord> {
    let give = |read: tidelog_storage::shard::ReadRecord| ReadRecord {
        ordinal: read.ordinal,
        time_ms: read.time_ms,
        partition_key: read.record.partition_key,
        data: read.record.data,
    };
    records.into_iter().map(give).collect()
}

/// Bytes of data and key.
pub(super) fn size(record: &tidelog_storage::record::Record) -> usize {
    record.data.len() + record.partition_key.as_ref().map_or(0, Bytes::len)
}

/// The shard's log is not here though metadata names it: its group has not applied its opening yet.
pub(super) fn unavailable(shard: &Shard) -> ServiceError {
    ServiceError::Unavailable(super::ServiceUnavailable::ShardNotReady(shard.index))
}
