//! Answers that came from the node that ran the operation, as if they had been made here.

use futures_util::StreamExt;
use tidelog_proto::peer::{ExecuteFault, ExecuteRequest};

use super::api::Request;
use super::{Call, Codec, Events, Fault, Reply};
use crate::room::Charge;
use crate::service::{Relayed, Service};

/// A call as another node takes it, whose answer has at most that many bytes; 0 for no such bound.
pub fn request(call: &Call, request: &Request, answer_bytes_max: usize) -> ExecuteRequest {
    let body = match call.body.is_empty() {
        true => call.codec.encode(&request.write()).into(),
        false => call.body.clone(),
    };
    ExecuteRequest {
        answer_bytes_max: answer_bytes_max as u64,
        operation: request.operation().name().to_owned(),
        account: call.account.to_string(),
        region: call.region.to_string(),
        is_cbor: call.codec == Codec::Cbor,
        body,
        ..ExecuteRequest::default()
    }
}

/// The answer, for its client. The charge that was taken for it beforehand shrinks to its size.
///
/// # Errors
/// The other node's fault.
pub fn reply(service: &Service, relayed: Relayed, charge: Option<Charge>) -> Result<Reply, Fault> {
    match relayed {
        Relayed::Complete(body) => Ok(match charge.and_then(|charge| charge.fitted(body.len())) {
            Some(charge) => Reply::Charged(body, charge),
            None => Reply::Complete(body),
        }),
        Relayed::Fault(message) => Err(decode_fault(&message)),
        Relayed::Events(messages) => {
            // The other node ends it earlier, when it has to.
            let over = Box::pin(tokio::time::sleep(service.pace().life));
            let messages = messages.map(|message| message.map_err(|message| decode_fault(&message))).boxed();
            Ok(Reply::Events(Events { messages, over }))
        }
    }
}

/// A fault for another node.
pub fn encode_fault(fault: &Fault) -> ExecuteFault {
    let json = serde_json::to_vec(fault).expect("faults are made of texts and numbers");
    ExecuteFault { json: json.into() }
}

/// The fault that another node tells; one that this version does not know is an error of the broker.
pub fn decode_fault(message: &ExecuteFault) -> Fault {
    serde_json::from_slice(&message.json).unwrap_or_else(|error| {
        crate::log_at_most_once_a_second!(warn, %error, "a peer answers with a fault that this version does not know");
        Fault::Internal
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::shard_id::ShardId;
    use crate::model::stream::{HashRange, StreamStatus};
    use crate::ops::api::PutRecordInput;
    use crate::ops::cases;
    use crate::ops::fault::Feature;
    use crate::ops::fault::{InvalidPosition, InvalidReshard, LimitExceeded, Unavailable};
    use crate::replication::{Quota, QuotaExceeded};
    use crate::service::PutRefusal;

    #[test]
    fn a_relayed_fault_is_the_same_fault() {
        let key = cases::stream("ä", 1).key;
        let exceeded = QuotaExceeded { quota: Quota::Shards, limit: 1, present: 2, additional: 3 };
        let range = HashRange { start: 0, end: u128::MAX };
        for own in [
            cases::input::<PutRecordInput>("{}").expect_err("no data"),
            cases::input::<PutRecordInput>(r#"{"Data":7}"#).expect_err("no text"),
            Fault::InvalidPosition(InvalidPosition::Future { time_ms: u64::MAX, now_ms: 1 }),
            Fault::invalid_reshard(
                &key,
                InvalidReshard::SplitKey { shard: ShardId(1), at: "7".into(), range },
            ),
            Fault::stream_not_found(&key),
            Fault::shard_not_found(&key, ShardId(u32::MAX)),
            Fault::not_active(&key, StreamStatus::Updating),
            Fault::LimitExceeded(LimitExceeded::Quota { key: key.clone(), exceeded }),
            Fault::no_room(true, "answers"),
            Fault::ExpiredIterator { issued_ms: 1, now_ms: 2 },
            Fault::EncryptionUnavailable(key.clone()),
            Fault::NotBuilt(Feature::Queues),
            Fault::Unavailable(Unavailable::Puts(Some(PutRefusal::SpaceLow { free: 1, reserved: 2 }))),
            Fault::being_created(&key),
            Fault::DryRun,
            Fault::Internal,
        ] {
            assert_eq!(decode_fault(&encode_fault(&own)), own);
        }
    }

    /// Nodes of two versions share a cluster during an upgrade.
    #[test]
    fn the_words_of_relayed_faults_stay_the_same() {
        let key = cases::stream("a", 1).key;
        let key_words = r#"{"account":"000000000000","region":"us-east-1","name":"a"}"#;
        let exceeded = QuotaExceeded { quota: Quota::Shards, limit: 1, present: 2, additional: 3 };
        for (fault, words) in [
            (
                Fault::shard_not_found(&key, ShardId(7)),
                format!(r#"{{"ResourceNotFound":{{"Shard":{{"key":{key_words},"shard":7}}}}}}"#),
            ),
            (
                Fault::not_active(&key, StreamStatus::Updating),
                format!(r#"{{"ResourceInUse":{{"NotActive":{{"key":{key_words},"status":"Updating"}}}}}}"#),
            ),
            (
                Fault::LimitExceeded(LimitExceeded::Quota { key: key.clone(), exceeded }),
                format!(
                    r#"{{"LimitExceeded":{{"Quota":{{"key":{key_words},"exceeded":{{"quota":"Shards","limit":1,"present":2,"additional":3}}}}}}}}"#
                ),
            ),
            (Fault::being_created(&key), format!(r#"{{"Unavailable":{{"BeingCreated":{key_words}}}}}"#)),
            (Fault::Internal, r#""Internal""#.to_owned()),
        ] {
            assert_eq!(str::from_utf8(&encode_fault(&fault).json), Ok(words.as_str()));
        }
    }

    #[test]
    fn a_fault_of_another_version_is_an_error_of_the_broker() {
        for json in [&br#"{"ResourceNotFound":"Everything"}"#[..], b"", b"\"New\""] {
            let message = ExecuteFault { json: json.into() };
            assert_eq!(decode_fault(&message), Fault::Internal);
        }
    }
}
