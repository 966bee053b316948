//! Request latencies by operation and outcome, with handles made once: the path of a request allocates no labels.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use hyper::StatusCode;
use metrics::Histogram;
use prost::Message;
use prost_types::{FileDescriptorSet, MethodDescriptorProto};
use tidelog_proto::v1::DESCRIPTOR_SET;
use tidelog_tables::Operation as TableOperation;

use super::aws;
use crate::observability::REQUEST_SECONDS;
use crate::ops::api::Operation;

const UNKNOWN: &str = "unknown";
/// Values of the label `outcome`: 2xx, 4xx, 5xx.
const OUTCOMES: [&str; 3] = ["ok", "client_fault", "server_fault"];

/// Operations that are on the page of metrics before they are called: those whose latencies CloudWatch has too.
const FROM_THE_START: [Operation; 3] = [Operation::GetRecords, Operation::PutRecord, Operation::PutRecords];

/// One operation's histograms. All of them are made when the first is recorded to, so that `/metrics` lists the
/// called operations, and an alarm on failures sees the step from 0 to 1.
#[derive(Debug, Default)]
pub(super) struct OperationTiming {
    name: Cow<'static, str>,
    by_outcome: OnceLock<[Histogram; OUTCOMES.len()]>,
}

/// All operations' histograms.
#[derive(Debug)]
pub(super) struct Timing {
    /// In the order of [`Operation::ALL`].
    operations: [OperationTiming; Operation::ALL.len()],
    /// In the order of [`TableOperation::ALL`].
    tables: [OperationTiming; TableOperation::ALL.len()],
    /// Calls of the gRPC API by path, such as `tidelog.v1.Streams/ListShards`, and those of AWS services beside
    /// Kinesis.
    calls: BTreeMap<String, OperationTiming>,
    unknown: OperationTiming,
}

impl Default for Timing {
    fn default() -> Self {
        fn named(name: impl Into<Cow<'static, str>>) -> OperationTiming {
            OperationTiming { name: name.into(), ..OperationTiming::default() }
        }
        let timing = Self {
            operations: Operation::ALL.map(|operation| named(operation.name())),
            tables: TableOperation::ALL.map(|operation| named(format!("DynamoDB.{}", operation.name()))),
            calls: call_paths()
                .into_iter()
                .chain(aws::TIMED.map(str::to_owned))
                .map(|path| (path.clone(), named(path)))
                .collect(),
            unknown: named(UNKNOWN),
        };
        for operation in FROM_THE_START {
            timing.of_operation(Some(operation)).histograms();
        }
        timing
    }
}

/// The paths of all calls of the gRPC API, without the slash before them.
fn call_paths() -> Vec<String> {
    let descriptors = FileDescriptorSet::decode(DESCRIPTOR_SET).expect("the build made the descriptors");
    let mut paths = Vec::new();
    for file in &descriptors.file {
        for service in &file.service {
            let path = |method: &MethodDescriptorProto| {
                format!("{}.{}/{}", file.package(), service.name(), method.name())
            };
            paths.extend(service.method.iter().map(path));
        }
    }
    paths
}

impl Timing {
    /// The histograms of an operation of the Kinesis protocol; those of any other target without one.
    pub(super) fn of_operation(&self, operation: Option<Operation>) -> &OperationTiming {
        operation.map_or(&self.unknown, |operation| &self.operations[operation as usize])
    }

    /// The histograms of an operation of lease tables; those of an unknown one without one.
    pub(super) fn of_tables(&self, operation: Option<TableOperation>) -> &OperationTiming {
        operation.map_or(&self.unknown, |operation| &self.tables[operation as usize])
    }

    /// The histograms of the call of the gRPC API with that path, without the slash before it, or of a service beside
    /// Kinesis.
    pub(super) fn of_call(&self, path: &str) -> &OperationTiming {
        self.calls.get(path).unwrap_or(&self.unknown)
    }
}

impl OperationTiming {
    /// Counts one request.
    pub(super) fn record(&self, status: StatusCode, elapsed: Duration) {
        let outcome = match status.as_u16() {
            500.. => 2,
            400.. => 1,
            _ => 0,
        };
        self.histograms()[outcome].record(elapsed);
    }

    fn histograms(&self) -> &[Histogram; OUTCOMES.len()] {
        self.by_outcome.get_or_init(|| {
            OUTCOMES.map(|outcome| {
                metrics::histogram!(REQUEST_SECONDS, "operation" => self.name.clone(), "outcome" => outcome)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_and_call_has_its_label_and_all_else_has_one() {
        let timing = Timing::default();
        for operation in Operation::ALL {
            assert_eq!(timing.of_operation(Some(operation)).name, operation.name());
        }
        let paths = call_paths();
        assert!(paths.contains(&"tidelog.v1.Cluster/ClockStatus".to_owned()), "{paths:?}");
        for path in paths {
            assert_eq!(timing.of_call(&path).name, path);
        }
        assert_eq!(timing.of_operation(None).name, UNKNOWN);
        assert_eq!(timing.of_call("tidelog.v1.Streams/Other").name, UNKNOWN);
    }
}
