//! `tidelog group reset`: ResetGroup.

use serde_json::json;
use tidelog_proto::v1::{self, ResetGroupRequest, position};

use super::{Broker, CommandError, Named, Output};
use crate::command::output::{print, print_json};
use crate::command::time::{Beginning, written};
use tidelog_kinesis::Timestamp;
use tidelog_kinesis::operations::StartingPosition;

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(super) struct Reset {
    #[command(flatten)]
    named: Named,

    /// Where it goes on: trim (the oldest record), latest, 10m (ago), or a time such as 2026-03-01T12:00:00Z.
    #[arg(long, value_name = "PLACE", value_parser = Beginning::parse)]
    to: Beginning,
}

impl Reset {
    pub(super) async fn carry_out(&self, broker: &Broker, output: Output) -> Result<(), CommandError> {
        let position = self.to.position(jiff::Timestamp::now()).map_err(CommandError::Arguments)?;
        let (to, words) = target(&position);
        let Named { stream, group } = &self.named;
        let message = ResetGroupRequest { stream: stream.clone(), group: group.clone(), to: Some(to) };
        let node = broker.connection.node();
        if let Err(error) = node.answer(node.groups().reset_group(node.request(message))).await {
            return Err(self.named.failed(broker, error).await);
        }
        match output {
            Output::Json => print_json(&json!({ "stream": stream, "name": group, "reset_to": words })),
            Output::Table => print(&format!("{group} of {stream} goes on at {words}\n")),
        }
    }
}

/// The position for the broker, and in words.
fn target(position: &StartingPosition) -> (v1::Position, String) {
    let (at, words) = match position {
        StartingPosition::Latest => (position::At::Latest(v1::Latest {}), "latest".into()),
        StartingPosition::AtTimestamp { time: Timestamp(millis) } => {
            let seconds = millis.div_euclid(1000);
            let nanos = i32::try_from(millis.rem_euclid(1000) * 1_000_000).expect("below 1,000 milliseconds");
            let at = position::At::AtTimestamp(prost_types::Timestamp { seconds, nanos });
            (at, written(Timestamp(*millis)))
        }
        // Beginnings name nothing else.
        _ => (position::At::TrimHorizon(v1::TrimHorizon {}), "the oldest record".into()),
    };
    (v1::Position { at: Some(at) }, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_position_is_sent_to_the_broker() {
        let time = prost_types::Timestamp { seconds: 1_772_366_400, nanos: 250_000_000 };
        let cases = [
            (
                StartingPosition::TrimHorizon,
                position::At::TrimHorizon(v1::TrimHorizon {}),
                "the oldest record",
            ),
            (StartingPosition::Latest, position::At::Latest(v1::Latest {}), "latest"),
            (
                StartingPosition::AtTimestamp { time: Timestamp(1_772_366_400_250) },
                position::At::AtTimestamp(time),
                "2026-03-01T12:00:00.250Z",
            ),
        ];
        for (position, at, words) in cases {
            assert_eq!(target(&position), (v1::Position { at: Some(at) }, words.to_owned()));
        }
    }
}
