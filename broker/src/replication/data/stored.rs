//! The stored form of remembered producers: conversions between the domain's types and those of `stored.proto`.

use tidelog_proto::stored;

use crate::model::producer::Positions;
use crate::model::producers::{Producer, Run, Table};

/// The stored form of one producer's remembered batches.
pub fn store_producer((id, producer): (u64, &Producer)) -> stored::Producer {
    let batch = |(number, runs): (u64, &[Run])| stored::producer::Batch {
        number,
        runs: runs.iter().map(store_run).collect(),
    };
    stored::Producer {
        id,
        settled_below: producer.settled_below(),
        last_used_ms: producer.last_used_ms(),
        batches: producer.batches().map(batch).collect(),
    }
}

/// The producers that are stored.
///
/// # Errors
/// For positions that no batch has.
pub fn read_producers(stored: &[stored::Producer]) -> Result<Table, String> {
    stored.iter().map(read_producer).collect()
}

fn read_producer(stored: &stored::Producer) -> Result<(u64, Producer), String> {
    let mut producer = Producer::new(stored.settled_below, stored.last_used_ms);
    for batch in &stored.batches {
        for run in &batch.runs {
            producer.remember(batch.number, read_run(run)?);
        }
    }
    Ok((stored.id, producer))
}

fn store_run(run: &Run) -> stored::producer::Run {
    stored::producer::Run {
        positions: run.positions.words().to_vec(),
        shard: run.shard,
        created_s: run.created_s,
        first_ordinal: run.first_ordinal,
        time_ms: run.time_ms,
    }
}

fn read_run(stored: &stored::producer::Run) -> Result<Run, String> {
    let positions = Positions::from_words(&stored.positions);
    Ok(Run {
        positions: positions.ok_or("a stored batch with more records than one has")?,
        shard: stored.shard,
        created_s: stored.created_s,
        first_ordinal: stored.first_ordinal,
        time_ms: stored.time_ms,
    })
}
