//! STS's GetCallerIdentity: the account of the access key, as for streams.
//!
//! KPL before 1.0.5 asks for it at its start, and makes the ARN of its stream from it.

use super::known::STS;

/// The answer to a caller of that account.
pub(super) fn caller_identity(account: &str, request_id: &str) -> String {
    let namespace = STS.namespace;
    format!(
        "<GetCallerIdentityResponse xmlns=\"{namespace}\">\n  <GetCallerIdentityResult>\n    \
         <Arn>arn:aws:iam::{account}:root</Arn>\n    <UserId>{account}</UserId>\n    <Account>{account}</Account>\n  \
         </GetCallerIdentityResult>\n  <ResponseMetadata>\n    <RequestId>{request_id}</RequestId>\n  \
         </ResponseMetadata>\n</GetCallerIdentityResponse>\n"
    )
}
