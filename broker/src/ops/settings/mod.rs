//! Operations on settings of streams and accounts.

mod commitment;
pub mod describe_account_settings;
pub mod disable_enhanced_monitoring;
pub mod enable_enhanced_monitoring;
mod encryption;
mod monitoring;
pub mod start_stream_encryption;
pub mod stop_stream_encryption;
pub mod update_account_settings;
pub mod update_max_record_size;
pub mod update_stream_mode;
pub mod update_stream_record_distribution_strategy;
pub mod update_stream_warm_throughput;
pub mod warm_throughput;

use crate::model::stream::{Stream, StreamStatus};
use crate::ops::Fault;

/// Settings are changed while nothing else of the stream is.
///
/// # Errors
/// [`Fault::ResourceInUse`] when the stream is not ACTIVE.
fn check_active(stream: &Stream) -> Result<(), Fault> {
    if stream.status == StreamStatus::Active {
        return Ok(());
    }
    Err(Fault::not_active(&stream.key, stream.status))
}
