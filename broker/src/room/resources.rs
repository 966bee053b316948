//! Every resource that a client can take: its bound, its setting, its effect on clients, and the test that checks
//! it.
//!
//! `deploy/RESOURCES.md` is made from [`RESOURCES`]; a test compares the two, and looks for each test that is named.

/// A resource that a client can take.
#[derive(Clone, Copy, Debug)]
pub struct Resource {
    /// The thing that a client takes.
    pub name: &'static str,
    /// The amount of it that there is.
    pub bound: &'static str,
    /// The setting that changes the bound; empty where nothing does.
    pub setting: &'static str,
    /// The refusal or delay that a client meets at the bound.
    pub at_bound: &'static str,
    /// The test: `file: function`.
    pub test: &'static str,
}

/// All of them, by the way from the connection to the disk.
pub const RESOURCES: &[Resource] = &[
    Resource {
        name: "Connections",
        bound: "A node serves 10,000 connections, and fewer with a low limit of open files. Each takes 32 KiB of the class connections.",
        setting: "`--memory`, `ulimit -n`",
        at_bound: "The newest connection of the address whose connections hold most memory is closed. If all connections come from one address, the one that has been idle longest is.",
        test: "broker/tests/wire/connections.rs: past_the_bound_the_longest_idle_goes",
    },
    Resource {
        name: "Connections past the bound",
        bound: "64 connections are answered beyond the bound, one request each.",
        setting: "",
        at_bound: "HTTP/1.1: `/health`, `/ready`, `/livez` and `/metrics` are served; a call that clients may see throttled gets 400 with ProvisionedThroughputExceededException, any other call 503. HTTP/2: the connection is closed without an answer. Further connections wait in the kernel.",
        test: "broker/tests/wire/connections.rs: past_the_bound_of_busy_connections_pages_are_served_and_calls_are_refused",
    },
    Resource {
        name: "Idle connections",
        bound: "A connection may be idle for 75 s.",
        setting: "",
        at_bound: "HTTP/1.1: the connection is closed. HTTP/2: it ends with GOAWAY.",
        test: "broker/tests/wire/connections.rs: a_connection_of_http2_that_nobody_uses_is_closed",
    },
    Resource {
        name: "Reads of segment files at a time",
        bound: "16 reads run at a time, and fewer where half of the class answers has less than 10 MiB for each.",
        setting: "`--memory`",
        at_bound: "Further reads wait.",
        test: "broker/src/room/mod.rs: a_class_has_room_for_the_largest_of_it",
    },
    Resource {
        name: "Head of a request",
        bound: "A head has up to 16 KiB, over HTTP/1.1 and HTTP/2.",
        setting: "",
        at_bound: "The request gets 431. HTTP/1.1: the connection is closed.",
        test: "broker/tests/wire/headers.rs: a_head_past_the_bound_is_431",
    },
    Resource {
        name: "Unread bytes of HTTP/2",
        bound: "A stream has 256 KiB and a connection 1 MiB; below 1 GiB of memory 64 KiB and 256 KiB.",
        setting: "`--memory`",
        at_bound: "The client waits for its flow-control window.",
        test: "broker/tests/wire/headers.rs: windows_are_fixed_and_small",
    },
    Resource {
        name: "Unread bytes in the kernel",
        bound: "Below 1 GiB of memory a connection has 64 KiB, which Linux counts twice; otherwise `net.ipv4.tcp_rmem` decides.",
        setting: "`--memory`",
        at_bound: "The client waits for its TCP window.",
        test: "broker/src/wire/accept.rs: connections_take_over_the_bounds_of_their_listener",
    },
    Resource {
        name: "Request body",
        bound: "One body has up to 20 MiB. All bodies together have the class bodies, which is charged as the bytes arrive.",
        setting: "`--memory`",
        at_bound: "A larger body gets 413. Without room in the class, a request waits up to 10 s before its body begins and 2 s in the middle of it; then puts are throttled, and other calls get 503 or gRPC UNAVAILABLE.",
        test: "broker/tests/wire/bodies.rs: a_refusal_for_lack_of_room_is_read_and_puts_are_throttled",
    },
    Resource {
        name: "Announced length of a body",
        bound: "An announced length takes no memory.",
        setting: "",
        at_bound: "Nothing happens.",
        test: "broker/tests/wire/bodies.rs: an_announcement_takes_no_room",
    },
    Resource {
        name: "Pace of a body",
        bound: "While more than half of the class bodies is taken, a body has to arrive at 16 KiB/s, measured over 10 s.",
        setting: "",
        at_bound: "The request gets 408, and the connection is closed.",
        test: "broker/tests/wire/bodies.rs: slow_bodies_are_cut_only_where_room_is_short",
    },
    Resource {
        name: "Streams of HTTP/2",
        bound: "A connection has 2,048 streams; 100 and more with less than 2 GiB of memory. Each stream beyond the first takes 32 KiB of the class connections.",
        setting: "`--memory`",
        at_bound: "Puts and reads are throttled; other calls get 503 or gRPC UNAVAILABLE.",
        test: "broker/src/wire/client.rs: streams_beyond_the_first_are_charged_while_they_last",
    },
    Resource {
        name: "Answers",
        bound: "All answers together have the class answers, gRPC answers of one message among them. An answer is charged from its encoding until the client has taken its last byte.",
        setting: "`--memory`",
        at_bound: "GetRecords returns fewer records, and then throttles. Other calls get 503.",
        test: "broker/src/room/answer.rs: short_of_room_there_are_fewer_and_the_first_is_the_last_to_be_refused",
    },
    Resource {
        name: "Records that another node answers with",
        bound: "The client's node charges room in its class answers before it asks, at least 16 KiB. The node that reads the records charges its own class answers; while more than half of that is taken, all other nodes together have a sixteenth of it, at least 14 MiB.",
        setting: "`--memory`",
        at_bound: "GetRecords returns fewer records, and then throttles.",
        test: "broker/tests/node/anywhere.rs: records_of_another_node_are_as_many_as_there_is_room_for",
    },
    Resource {
        name: "Pace of an answer",
        bound: "Answers of more than 16 KiB have to be taken at 16 KiB/s, measured over 10 s, while more than half of the class answers is taken; an answer out of the reserve at 1 MiB/s, measured over 2 s.",
        setting: "",
        at_bound: "The connection, or the stream of HTTP/2, is closed.",
        test: "broker/tests/wire/slow.rs: a_slow_reader_is_cut_while_answers_are_short_of_memory",
    },
    Resource {
        name: "Last bytes of an answer over HTTP/2",
        bound: "Answers of more than 16 KiB are charged and watched to their last byte. A stream counts as open until its frames of 1 KiB and more are sent.",
        setting: "",
        at_bound: "The stream is closed after 30 s in which the client takes no byte.",
        test: "broker/tests/wire/slow.rs: the_last_bytes_of_an_answer_are_charged_and_watched_until_they_are_taken",
    },
    Resource {
        name: "Time of a request body",
        bound: "A body may take 300 s, and may pause for 30 s.",
        setting: "",
        at_bound: "The request gets 408, and the connection is closed.",
        test: "broker/tests/wire/bounds.rs: a_body_that_stops_in_the_middle_is_408",
    },
    Resource {
        name: "Events on their way to subscribers",
        bound: "All events together have the class events.",
        setting: "`--memory`",
        at_bound: "The subscription gets empty events until there is room.",
        test: "broker/tests/wire/slow.rs: a_subscriber_without_room_gets_empty_events_until_there_is_room",
    },
    Resource {
        name: "Events on their way to one client of gRPC",
        bound: "A call has 4 batches. While more than half of the class events is taken, a connection has a sixteenth of the class, at least 2 MiB; an address has a quarter of it if there are other addresses. One batch is always allowed.",
        setting: "`--memory`",
        at_bound: "Subscribe waits 2 s for room and then gets messages without records. Read ends with UNAVAILABLE after 15 s.",
        test: "broker/tests/wire/grpc/unpolled.rs: subscribers_that_take_nothing_leave_others_room_for_their_records",
    },
    Resource {
        name: "Records on their way between nodes",
        bound: "Records sent to other nodes have an eighth of the class log, records received from them another eighth, and events for their clients an eighth of the class events; each of the three has 11 to 64 MiB.",
        setting: "`--memory`",
        at_bound: "The records wait. Puts that have no outcome in time are refused.",
        test: "broker/src/replication/sizes.rs: records_from_and_to_other_nodes_have_a_part_of_the_memory",
    },
    Resource {
        name: "Streams, shards and their metadata",
        bound: "A cluster has 20,000 streams, 100,000 shards and 64 MiB of metadata. One account holds at most as many as remain free.",
        setting: "`--control-limits`",
        at_bound: "The call gets LimitExceededException, over gRPC RESOURCE_EXHAUSTED.",
        test: "broker/src/replication/metadata/bounds/tests.rs: the_cluster_has_its_streams_and_shards_and_no_account_more_than_it_leaves",
    },
    Resource {
        name: "Lease tables",
        bound: "An account has 256 tables in a region, and a table 100,000 items. A data group has 32 MiB, of which an account leaves an eighth for others, and of that eighth it takes at most as much as remains free.",
        setting: "`--lease-table-limits`",
        at_bound: "CreateTable gets LimitExceededException, and an item ValidationException. Leases that exist can be renewed.",
        test: "tables/tests/operations/bounds.rs: an_account_leaves_an_eighth_of_a_group_for_others",
    },
    Resource {
        name: "Items of a BatchGetItem",
        bound: "An answer has 16 MiB, charged to the class answers page by page.",
        setting: "`--memory`",
        at_bound: "The other keys are in UnprocessedKeys. Without room for one page the call gets ProvisionedThroughputExceededException.",
        test: "broker/tests/node/lease_tables.rs: a_batch_has_16_mib_of_items_and_the_keys_that_are_left",
    },
    Resource {
        name: "Subscriptions at shards",
        bound: "A node has 100,000. The subscriptions of one stream are at most as many as remain free.",
        setting: "",
        at_bound: "The call gets LimitExceededException.",
        test: "broker/src/service/subscribe/subscriptions.rs: a_stream_leaves_subscriptions_to_others_and_gets_its_own_back",
    },
    Resource {
        name: "Shards that gRPC subscriptions follow",
        bound: "A node follows 131,072. One stream has at most as many as remain free.",
        setting: "",
        at_bound: "The call gets RESOURCE_EXHAUSTED.",
        test: "broker/src/service/limits/stream_shares.rs: a_greedy_stream_leaves_as_much_as_it_has",
    },
    Resource {
        name: "Rates of single callers and subjects",
        bound: "A node remembers 65,536 token buckets.",
        setting: "",
        at_bound: "An arbitrary bucket is dropped, and the next call of its subject finds a full one.",
        test: "broker/src/service/limits/rates.rs: idle_buckets_are_forgotten_and_their_number_is_bounded",
    },
    Resource {
        name: "Batches of producers that are remembered",
        bound: "A shard remembers 1,024 producers and 64 batches of each; a data group remembers 262,144 producers and batches.",
        setting: "",
        at_bound: "A new batch is refused with PRODUCER_TABLE_FULL until batches are settled, or their producer has not written for an hour. No batch is forgotten to make room.",
        test: "broker/src/replication/data/producers/tests.rs: a_group_keeps_to_its_bound",
    },
    Resource {
        name: "Entries that are kept in memory beside the log's files",
        bound: "All groups of a node keep 64 MiB of records together. Each group may keep 4 MiB, however much the others keep.",
        setting: "",
        at_bound: "Older entries are read from the log's files.",
        test: "broker/src/replication/raft/log_store/recent.rs: the_groups_of_a_node_share_one_bound_of_entries_in_memory",
    },
    Resource {
        name: "Questions to other nodes by `/health`",
        bound: "A node asks the others once a second.",
        setting: "",
        at_bound: "The answer is that of the last second.",
        test: "broker/src/cluster/administration/cached_status.rs: a_thousand_askers_of_a_second_ask_the_cluster_once",
    },
    Resource {
        name: "Pages of metrics",
        bound: "One page is made at a time. It has 10,000 series of single shards.",
        setting: "",
        at_bound: "Callers that ask meanwhile share the next page. Further shards are added up by stream, or left out and counted.",
        test: "broker/src/wire/pages.rs: callers_that_ask_at_the_same_time_share_a_page",
    },
    Resource {
        name: "Content of a call for CloudWatch or STS",
        bound: "1 MiB once it is inflated, 65,536 fields of a form, 1,000 metrics.",
        setting: "",
        at_bound: "The call gets 413 or 400, in the form of the service.",
        test: "broker/tests/wire/aws.rs: content_is_bounded_inflated_or_not",
    },
    Resource {
        name: "Series of applications' metrics (PutMetricData)",
        bound: "A node has 10,000 series with 1 KiB of labels each. A series ends an hour after it was last written.",
        setting: "",
        at_bound: "The account with most series gives up series for an account that has fewer; within an account, the namespace with most for one that has fewer. Otherwise the data are dropped, counted (`tidelog_application_data_refused_total`) and logged.",
        test: "broker/src/observability/applications/table.rs: no_account_starves_another",
    },
    Resource {
        name: "Watches of gRPC health",
        bound: "A node has 1,024.",
        setting: "",
        at_bound: "The call gets UNAVAILABLE.",
        test: "broker/tests/wire/grpc/streams.rs: watches_of_health_are_bounded",
    },
    Resource {
        name: "Log lines that requests can cause",
        bound: "Each place in the code logs once a second.",
        setting: "",
        at_bound: "Further lines are dropped and counted (`tidelog_log_lines_dropped_total`).",
        test: "broker/src/observability/logs/tests.rs: a_place_logs_once_a_second_and_counts_the_others",
    },
    Resource {
        name: "Lines of the log of requests",
        bound: "Half of the 1,024 log lines that wait to be written.",
        setting: "`--log-requests`",
        at_bound: "Further lines are dropped and counted (`tidelog_log_lines_dropped_total`).",
        test: "broker/src/observability/logs/tests.rs: lines_of_requests_take_half_of_the_queue",
    },
    Resource {
        name: "Time to take an answer",
        bound: "The client has to take a byte every 30 s.",
        setting: "",
        at_bound: "The connection, or the stream of HTTP/2, is closed.",
        test: "broker/tests/wire/slow.rs: a_complete_answer_that_nobody_takes_is_cut_and_a_slow_one_is_not",
    },
];

/// The rows as a table of Markdown.
#[must_use]
pub fn table() -> String {
    let mut text =
        "| resource | bound | setting | at the bound | held by |\n|---|---|---|---|---|\n".to_owned();
    for Resource { name, bound, setting, at_bound, test } in RESOURCES {
        let (file, function) = test.split_once(": ").expect("file and function");
        text += &format!("| {name} | {bound} | {setting} | {at_bound} | `{file}`: `{function}` |\n");
    }
    text
}
