//! Put of the gRPC API: records as PutRecords takes them, their data as bytes.
//!
//! Limits and errors are those of PutRecords. Each record succeeds or fails by itself.

use std::sync::Arc;

use super::entry::Entry;
use super::put_records;
use crate::limits::PUT_RECORDS_MAX;
use crate::model::producer::Stamp;
use crate::ops::fault::InvalidRecords;
use crate::ops::{Call, Fault, placement, target};
use crate::service::{AppendFailure, AppendedRecord, NewRecord, OrderedPut, Payload, Service};

/// A record as it came, before its bounds are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PutEntry<'a> {
    /// Decides the shard by its MD5.
    pub partition_key: Option<&'a str>,
    /// Decimal; decides the shard instead of the key.
    pub explicit_hash_key: Option<&'a str>,
    /// The data.
    pub data: &'a [u8],
}

/// Puts records into the stream of that name or ARN, as `ordered` put of a session if there is one. Returns one result
/// for each record. Records with a stamp are a producer's batch.
///
/// # Errors
/// Those of PutRecords; nothing was written then.
pub async fn put(
    service: &Arc<Service>,
    call: &Call,
    stream: &str,
    records: impl ExactSizeIterator<Item = PutEntry<'_>>,
    stamp: Option<&Stamp>,
    ordered: Option<OrderedPut>,
) -> Result<Vec<Result<AppendedRecord, AppendFailure>>, Fault> {
    let key = target::by_text(call, stream)?;
    let entries = entries(records)?;
    let entries = &entries;
    let prepare = || async {
        let stream = target::find(&service.catalog(), &key)?;
        let records: Vec<NewRecord<'_>> = put_records::records(&stream, entries)?;
        Ok((stream, records))
    };
    let (stream, records) = placement::certain(service, prepare).await?;
    let results = match ordered {
        Some(put) => service.appender().append_in_order(&stream, &records, stamp, put).await,
        None => service.appender().append(&stream, &records, stamp).await,
    };
    assert_eq!(results.len(), records.len(), "an append answers for every record");
    Ok(results)
}

/// Refuses more records than one call may put.
///
/// # Errors
/// [`Fault::InvalidArgument`].
pub fn check_count_max(count: usize) -> Result<(), Fault> {
    if count > PUT_RECORDS_MAX { Err(wrong_count(count)) } else { Ok(()) }
}

fn wrong_count(count: usize) -> Fault {
    InvalidRecords::Count(count).into()
}

fn entries<'a>(records: impl ExactSizeIterator<Item = PutEntry<'a>>) -> Result<Vec<Entry<'a>>, Fault> {
    if records.len() == 0 {
        return Err(wrong_count(0));
    }
    check_count_max(records.len())?;
    let checked = |(position, record): (usize, PutEntry<'a>)| {
        let data = Payload::Raw(record.data);
        let entry = Entry::checked(data, record.partition_key, record.explicit_hash_key);
        entry.map_err(|bound| InvalidRecords::Record { position, bound }.into())
    };
    records.enumerate().map(checked).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::cases;

    #[test]
    fn a_record_out_of_bounds_is_named_with_its_bound() {
        let good = PutEntry { partition_key: Some("k"), explicit_hash_key: None, data: b"x" };
        let large = vec![0; 10 * 1024 * 1024 + 1];
        let long = "k".repeat(257);
        for (record, words) in [
            (PutEntry { partition_key: Some(""), ..good }, "a partition key has 1 to 256 characters"),
            (PutEntry { partition_key: Some(&long), ..good }, "a partition key has 1 to 256 characters"),
            (PutEntry { explicit_hash_key: Some("01"), ..good }, "an explicit hash key is a decimal number"),
            (PutEntry { explicit_hash_key: Some("-1"), ..good }, "an explicit hash key is a decimal number"),
            (PutEntry { data: &large, ..good }, "data has up to 10485760 bytes"),
        ] {
            let (_, text) = cases::said(entries([good, record].into_iter()));
            assert!(text.starts_with("Record 1 of the call: ") && text.contains(words), "{text}");
        }
        for (count, is_taken) in [(0, false), (1, true), (500, true), (501, false)] {
            assert_eq!(entries(vec![good; count].into_iter()).is_ok(), is_taken, "{count}");
        }
    }
}
