//! Answers that came from the node that ran the operation, as if they had been made here.

use futures_util::StreamExt;
use tidelog_proto::peer::{ExecuteFault, ExecuteRequest};

use super::{Call, Codec, Events, Fault, Reply};
use crate::room::Charge;
use crate::service::{Relayed, Service};

/// A call as another node takes it, whose answer has at most that many bytes; 0 for no such bound.
pub fn request(call: &Call, answer_bytes_max: usize) -> ExecuteRequest {
    ExecuteRequest {
        answer_bytes_max: answer_bytes_max as u64,
        operation: call.operation.clone(),
        account: call.account.to_string(),
        region: call.region.to_string(),
        is_cbor: call.codec == Codec::Cbor,
        body: call.body.clone(),
        ..ExecuteRequest::default()
    }
}

/// The answer, for its client. What was charged for it beforehand shrinks to what it takes.
///
/// # Errors
/// The other node's fault.
pub fn reply(service: &Service, relayed: Relayed, charge: Option<Charge>) -> Result<Reply, Fault> {
    match relayed {
        Relayed::Complete(body) => Ok(match charge.and_then(|charge| charge.fitted(body.len())) {
            Some(charge) => Reply::Charged(body, charge),
            None => Reply::Complete(body),
        }),
        Relayed::Fault(told) => Err(fault(told)),
        Relayed::Events(messages) => {
            // The other node ends it earlier, when it has to.
            let over = Box::pin(tokio::time::sleep(service.pace().life));
            let messages = messages.map(|message| message.map_err(fault)).boxed();
            Ok(Reply::Events(Events { messages, over }))
        }
    }
}

/// The fault that the table of faults tells so. What no operation answers once its members are judged is none.
pub fn fault(told: ExecuteFault) -> Fault {
    let ExecuteFault { exception, message, .. } = told;
    let made = [
        Fault::Validation,
        Fault::InvalidArgument,
        Fault::ResourceNotFound,
        Fault::ResourceInUse,
        Fault::LimitExceeded,
        Fault::ProvisionedThroughputExceeded,
        Fault::ExpiredIterator,
        Fault::ExpiredNextToken,
        Fault::EncryptionUnavailable,
        Fault::NotBuilt,
        Fault::Unavailable,
        |_| Fault::DryRun,
    ];
    let fault = made.into_iter().find(|make| make(String::new()).exception().name == exception);
    fault.map_or(Fault::Internal, |make| make(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relayed_fault_is_the_same_fault() {
        let text = || "why".to_owned();
        for own in [
            Fault::Validation(text()),
            Fault::InvalidArgument(text()),
            Fault::ResourceNotFound(text()),
            Fault::ResourceInUse(text()),
            Fault::LimitExceeded(text()),
            Fault::ProvisionedThroughputExceeded(text()),
            Fault::ExpiredIterator(text()),
            Fault::ExpiredNextToken(text()),
            Fault::EncryptionUnavailable(text()),
            Fault::NotBuilt(text()),
            Fault::Unavailable(text()),
            Fault::DryRun,
            Fault::Internal,
        ] {
            let exception = own.exception();
            let told = ExecuteFault {
                exception: exception.name.to_owned(),
                message: exception.message.expect("words").1.to_owned(),
                status: exception.status.into(),
            };
            assert_eq!(fault(told), own);
        }
    }
}
