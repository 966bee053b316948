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
        bound: "10,000; 32 KiB each of the class connections; as many as the limit of open files leaves",
        setting: "`--memory`, `ulimit -n`",
        at_bound: "the newest of the address whose connections hold most memory ends; where all are of one address, the longest idle",
        test: "broker/tests/wire/connections.rs: past_the_bound_the_longest_idle_goes",
    },
    Resource {
        name: "Connections past the bound",
        bound: "64, one request each",
        setting: "",
        at_bound: "`/health`, `/ready`, `/livez` and `/metrics` are served, all else is refused; more wait in the kernel",
        test: "broker/tests/wire/connections.rs: past_the_bound_of_busy_connections_pages_are_served_and_calls_are_refused",
    },
    Resource {
        name: "Idle connections",
        bound: "75 s without a request",
        setting: "",
        at_bound: "HTTP/1.1 is closed, HTTP/2 ends with GOAWAY",
        test: "broker/tests/wire/connections.rs: a_connection_of_http2_that_nobody_uses_is_closed",
    },
    Resource {
        name: "Reads of segment files at a time",
        bound: "16; fewer where half of the class answers has less than 10 MiB for each",
        setting: "`--memory`",
        at_bound: "further ones wait",
        test: "broker/src/room/mod.rs: a_class_has_room_for_the_largest_of_it",
    },
    Resource {
        name: "Head of a request",
        bound: "16 KiB, HTTP/1.1 and HTTP/2",
        setting: "",
        at_bound: "431, and the connection of HTTP/1.1 ends",
        test: "broker/tests/wire/headers.rs: a_head_past_the_bound_is_431",
    },
    Resource {
        name: "Unread bytes of HTTP/2",
        bound: "256 KiB a stream and 1 MiB a connection; 64 KiB and 256 KiB below 1 GiB of memory",
        setting: "`--memory`",
        at_bound: "the client waits for its window",
        test: "broker/tests/wire/headers.rs: windows_are_fixed_and_small",
    },
    Resource {
        name: "Unread bytes in the kernel",
        bound: "64 KiB a connection below 1 GiB of memory (Linux counts twice that), else `net.ipv4.tcp_rmem`",
        setting: "`--memory`",
        at_bound: "the client waits for its window of TCP",
        test: "broker/src/wire/accept.rs: connections_take_over_the_bounds_of_their_listener",
    },
    Resource {
        name: "Request body",
        bound: "20 MiB each (413); all together the class bodies, charged as they come",
        setting: "`--memory`",
        at_bound: "waits up to 10 s before it has begun and 2 s then; puts are throttled, else 503, gRPC UNAVAILABLE",
        test: "broker/tests/wire/bodies.rs: a_refusal_for_lack_of_room_is_read_and_puts_are_throttled",
    },
    Resource {
        name: "Announced length of a body",
        bound: "takes nothing",
        setting: "",
        at_bound: "",
        test: "broker/tests/wire/bodies.rs: an_announcement_takes_no_room",
    },
    Resource {
        name: "Pace of a body",
        bound: "16 KiB/s over 10 s while the class is more than half taken",
        setting: "",
        at_bound: "408, and the connection ends",
        test: "broker/tests/wire/bodies.rs: slow_bodies_are_cut_only_where_room_is_short",
    },
    Resource {
        name: "Streams of HTTP/2",
        bound: "2,048 a connection, 100 and more with less than 2 GiB of memory; 32 KiB each beyond the first, of the class connections",
        setting: "`--memory`",
        at_bound: "puts and reads are throttled, else 503, gRPC UNAVAILABLE",
        test: "broker/src/wire/client.rs: streams_beyond_the_first_are_charged_while_they_last",
    },
    Resource {
        name: "Answers",
        bound: "the class answers, from their encoding until their last byte is taken; gRPC answers of one message too",
        setting: "`--memory`",
        at_bound: "GetRecords gives fewer records, then a throttle; else 503",
        test: "broker/src/room/answer.rs: short_of_room_there_are_fewer_and_the_first_is_the_last_to_be_refused",
    },
    Resource {
        name: "Records that another node answers with",
        bound: "the room of the client's node in its class answers, charged before it asks, 16 KiB at least; and the class answers of the node that reads them, a sixteenth for all nodes while it is more than half taken, 14 MiB at least",
        setting: "`--memory`",
        at_bound: "GetRecords gives fewer records, then a throttle",
        test: "broker/tests/node/anywhere.rs: records_of_another_node_are_as_many_as_there_is_room_for",
    },
    Resource {
        name: "Pace of an answer",
        bound: "16 KiB/s over 10 s while the class is more than half taken, 1 MiB/s over 2 s out of its reserve; for answers of more than 16 KiB",
        setting: "",
        at_bound: "the connection, or the stream of HTTP/2, is closed",
        test: "broker/tests/wire/slow.rs: a_slow_reader_is_cut_while_answers_are_short_of_memory",
    },
    Resource {
        name: "Last bytes of an answer over HTTP/2",
        bound: "charged and watched as the others, for answers of more than 16 KiB; the stream counts as open until frames of 1 KiB and more are sent",
        setting: "",
        at_bound: "the stream is closed after 30 s without a byte taken",
        test: "broker/tests/wire/slow.rs: the_last_bytes_of_an_answer_are_charged_and_watched_until_they_are_taken",
    },
    Resource {
        name: "Time of a request body",
        bound: "300 s, and 30 s without a byte",
        setting: "",
        at_bound: "408, and the connection ends",
        test: "broker/tests/wire/bounds.rs: a_body_that_stops_in_the_middle_is_408",
    },
    Resource {
        name: "Events on their way to subscribers",
        bound: "the class events",
        setting: "`--memory`",
        at_bound: "the subscription gets empty events until there is room",
        test: "broker/tests/wire/slow.rs: a_subscriber_without_room_gets_empty_events_until_there_is_room",
    },
    Resource {
        name: "Events on their way to one client of gRPC",
        bound: "4 batches of a call; while more than half of the class events is taken, a sixteenth of it for a connection, 2 MiB at least, and a quarter for an address while there is another, or one batch",
        setting: "`--memory`",
        at_bound: "Subscribe waits 2 s for room and then gets messages without records; Read ends with UNAVAILABLE after 15 s",
        test: "broker/tests/wire/grpc/unpolled.rs: subscribers_that_take_nothing_leave_others_room_for_their_records",
    },
    Resource {
        name: "Records on their way between nodes",
        bound: "an eighth of the class log for those that are sent and as much for those that came, an eighth of the class events for events of other nodes' clients; each 11 to 64 MiB",
        setting: "`--memory`",
        at_bound: "waits; puts without an outcome in time are refused",
        test: "broker/src/replication/sizes.rs: records_from_and_to_other_nodes_have_a_part_of_the_memory",
    },
    Resource {
        name: "Streams, shards and their metadata",
        bound: "20,000 streams, 100,000 shards, 64 MiB for the cluster; no account has more than it leaves for the others",
        setting: "`--control-limits`",
        at_bound: "LimitExceededException, gRPC RESOURCE_EXHAUSTED",
        test: "broker/src/replication/metadata/bounds/tests.rs: the_cluster_has_its_streams_and_shards_and_no_account_more_than_it_leaves",
    },
    Resource {
        name: "Subscriptions at shards",
        bound: "100,000 on a node; a stream leaves as many to the others as it has",
        setting: "",
        at_bound: "LimitExceededException",
        test: "broker/src/service/subscribe/subscriptions.rs: a_stream_leaves_subscriptions_to_others_and_gets_its_own_back",
    },
    Resource {
        name: "Shards that gRPC subscriptions follow",
        bound: "131,072 on a node; a stream has no more than it leaves for the others",
        setting: "",
        at_bound: "RESOURCE_EXHAUSTED",
        test: "broker/src/service/limits/stream_shares.rs: a_greedy_stream_leaves_as_much_as_it_has",
    },
    Resource {
        name: "Rates of single callers and subjects",
        bound: "65,536 are remembered",
        setting: "",
        at_bound: "the one that has been idle longest is forgotten",
        test: "broker/src/service/limits/rates.rs: idle_buckets_are_forgotten_and_their_number_is_bounded",
    },
    Resource {
        name: "Batches of producers that are remembered",
        bound: "1,024 producers of a shard, 64 batches of each, 262,144 in all of a group",
        setting: "",
        at_bound: "the oldest are forgotten, or a new producer is refused until one is",
        test: "broker/src/replication/data/producers/tests.rs: a_group_keeps_to_its_bound",
    },
    Resource {
        name: "Entries that are kept in memory beside the log's files",
        bound: "64 MiB of records on a node, 4 MiB for each group, however much the others have",
        setting: "",
        at_bound: "they are read from the log's files",
        test: "broker/src/replication/raft/log_store/tests.rs: the_groups_of_a_node_share_one_bound_of_entries_in_memory",
    },
    Resource {
        name: "Questions to other nodes by `/health`",
        bound: "one a second",
        setting: "",
        at_bound: "the answer is that of the last second",
        test: "broker/src/cluster/administration/cached_status.rs: a_thousand_askers_of_a_second_ask_the_cluster_once",
    },
    Resource {
        name: "Pages of metrics",
        bound: "one is made at a time; 10,000 series of single shards",
        setting: "",
        at_bound: "callers that ask meanwhile share the next page; shards are added up by stream, or left out and counted",
        test: "broker/src/wire/pages.rs: callers_that_ask_at_the_same_time_share_a_page",
    },
    Resource {
        name: "Content of a call for CloudWatch or STS",
        bound: "1 MiB, inflated; 65,536 fields of a form; 1,000 metrics",
        setting: "",
        at_bound: "413 or 400 in the form of the service",
        test: "broker/tests/wire/aws.rs: content_is_bounded_inflated_or_not",
    },
    Resource {
        name: "Series of applications' metrics (PutMetricData)",
        bound: "10,000 on a node, 1 KiB of labels each; an hour after they were last written they end",
        setting: "",
        at_bound: "an account that has fewer takes places of the one that has most, and so do namespaces of an account; else the data are dropped, counted (`tidelog_application_data_refused_total`) and logged",
        test: "broker/src/observability/applications/table.rs: no_account_starves_another",
    },
    Resource {
        name: "Watches of gRPC health",
        bound: "1,024 on a node",
        setting: "",
        at_bound: "UNAVAILABLE",
        test: "broker/tests/wire/grpc/streams.rs: watches_of_health_are_bounded",
    },
    Resource {
        name: "Log lines that requests can cause",
        bound: "one a second for each place in the code",
        setting: "",
        at_bound: "further ones are dropped and counted (`tidelog_log_lines_dropped_total`)",
        test: "broker/src/observability/logs.rs: a_place_logs_once_a_second_and_counts_the_others",
    },
    Resource {
        name: "Time to take an answer",
        bound: "30 s without a byte taken",
        setting: "",
        at_bound: "the connection, or the stream of HTTP/2, is closed",
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
