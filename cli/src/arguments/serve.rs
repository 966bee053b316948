//! The declaration of every setting of `tidelog serve`: flag, environment variable, default, help.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args};

use tidelog::config::{
    AllowedOrigins, DiskReserve, Durability, InitialStream, LeaseTableLimits, Transitions,
};
use tidelog::limits::{ControlLimits, ShardLimits};
use tidelog::observability::logs::LogFormat;
use tidelog::observability::requests::RequestLines;

use crate::settings::listen::{ListenAddress, listen};
use crate::settings::values::{
    account, control_limits, disk_reserve, drain, durability, host, lease_table_limits, limits, log,
    log_format, log_requests, memory, origins, region, transitions,
};
use crate::settings::{cluster, initial};

/// The settings as they were given.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Address and port to listen on; may be repeated. Port 0 lets the system choose a port, which is printed.
    ///
    /// `:4567` is that port of the loopback interface. A host's name is resolved at the start, and the broker listens
    /// on each of its addresses that this machine has.
    ///
    /// The default is reachable from this machine only. Callers are not authenticated: open other addresses only to
    /// networks that you trust.
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "TIDELOG_LISTEN",
        value_delimiter = ',',
        default_value = "127.0.0.1:4567",
        value_parser = listen
    )]
    pub(super) listen: Vec<ListenAddress>,

    /// Directory that keeps streams and records; created when absent, used by one process at a time.
    #[arg(long, value_name = "DIRECTORY", env = "TIDELOG_DATA", default_value = "./tidelog-data")]
    pub(super) data: PathBuf,

    /// Keep everything in a temporary directory and remove it at exit: all streams and records are lost then.
    ///
    /// Nothing is synced, whatever --durability says: a crash of the machine loses everything as well.
    #[arg(long, env = "TIDELOG_EPHEMERAL", action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    pub(super) ephemeral: bool,

    /// Refuse to start unless the data directory holds data: a volume that is not mounted must not begin a new broker.
    #[arg(long, env = "TIDELOG_EXPECT_DATA", action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    pub(super) expect_data: bool,

    /// Space of the data directory's volume that stays free: bytes such as `512MiB`, or a share such as `5%`.
    ///
    /// Puts are refused while less is free, so that votes, trims and checkpoints still find room. At least 40 MiB; a
    /// share is 1 to 50 %. The files and the bound of the write-ahead log follow from it and from the volume's size.
    /// [default: a tenth of the volume, at most 320 MiB]
    #[arg(long, value_name = "SIZE", env = "TIDELOG_DISK_RESERVE", value_parser = disk_reserve, default_value = "auto", hide_default_value = true)]
    pub(super) disk_reserve: DiskReserve,

    /// Rate limits of each shard: `aws`, `off`, or figures of your own.
    ///
    /// `aws` is 1 MiB and 1,000 records per second in, 2 MiB, 5 GetRecords and 5 GetShardIterator calls per second out,
    /// and 2 MiB per second to each registered consumer, as in Kinesis. Figures of your own are bytes, records or calls
    /// per second, each a whole number above zero or `off`; figures that you leave out stay as in `aws`:
    /// `write-bytes=2097152,write-records=5000,read-bytes=off,read-calls=20,iterators=20,fanout-bytes=off`.
    #[arg(long, value_name = "PROFILE", env = "TIDELOG_LIMITS", default_value = "aws", value_parser = limits)]
    pub(super) limits: ShardLimits,

    /// Rates and quotas of the calls that manage streams and consumers: `aws`, `off`, or figures of your own.
    ///
    /// `aws` is as in Kinesis, where most of these calls may come 5 times per second and account. Figures of your own
    /// are `rates=on|off` and the most `shards` and `on-demand-streams` of an account in a region, each a whole number
    /// above zero or `off`; figures that you leave out, and quotas without a name here, stay as in `aws`:
    /// `rates=off,shards=100`.
    ///
    /// Whatever the profile, the whole cluster has at most 20,000 streams and 100,000 shards, closed ones included,
    /// unless `cluster-streams` and `cluster-shards` say otherwise; no account has more of them than it leaves for all
    /// others.
    #[arg(long, value_name = "PROFILE", env = "TIDELOG_CONTROL_LIMITS", default_value = "aws", value_parser = control_limits)]
    pub(super) control_limits: ControlLimits,

    /// Least time in milliseconds that a change of a stream or consumer takes, 0 to 600,000.
    ///
    /// For tests of clients that wait for a state. One figure for all changes, or a list of `create-stream`,
    /// `delete-stream`, `register-consumer`, `deregister-consumer`, `split-shard`, `merge-shards` and
    /// `update-shard-count`, 0 for those left out: `create-stream=500,delete-stream=500`.
    #[arg(long, value_name = "MILLISECONDS", env = "TIDELOG_TRANSITION_DELAY", default_value = "0", value_parser = transitions)]
    pub(super) transition_delay: Transitions,

    /// Whether the lease tables of KCL are served beside Kinesis: `on` or `off`.
    ///
    /// With `on`, applications of the Kinesis Client Library need no DynamoDB: AWS_ENDPOINT_URL names the broker for
    /// both.
    #[arg(long, value_name = "SWITCH", env = "TIDELOG_LEASE_TABLES", default_value = "on", hide_possible_values = true, value_parser = BoolishValueParser::new(), action = ArgAction::Set)]
    pub(super) lease_tables: bool,

    /// Bounds of lease tables: `tables` of an account in a region, `items` of a table, `bytes` of a data group.
    ///
    /// Figures that you leave out stay as they are by default: `tables=1000,bytes=16MiB`. A cluster has six data
    /// groups, and all tables of one application live in one of them; `bytes` is what the tables of a group take in
    /// memory, 1 MiB to 32 MiB. An account leaves an eighth of a group for others. A call goes by the bounds of the
    /// node that takes it: give all nodes of a cluster the same.
    #[arg(long, value_name = "LIMITS", env = "TIDELOG_LEASE_TABLE_LIMITS", default_value = "tables=256,items=100000,bytes=32MiB", value_parser = lease_table_limits)]
    pub(super) lease_table_limits: LeaseTableLimits,

    /// Streams to create at the start unless they exist: `NAME[:SHARDS[:REGION]]`, separated by commas.
    ///
    /// They are provisioned, with 4 shards and in the region of --region by default:
    /// `clicks:1,orders::us-west-2,logs`.
    #[arg(long, value_name = "STREAMS", env = "TIDELOG_INITIALIZE_STREAMS", value_delimiter = ',', value_parser = initial::stream)]
    pub(super) initialize_streams: Vec<InitialStream>,

    /// Web origins whose pages may call the broker: `*`, `off`, or a list such as `https://app.example:8443`.
    ///
    /// Callers are not authenticated, so a web page of any site could read and delete streams through the browser of
    /// its reader. A request with another Origin is refused before it runs. `*` allows every origin, as Kinesis does,
    /// and `off` none. [default: http:// and https:// of localhost, 127.0.0.1 and [::1], at any port]
    #[arg(long, value_name = "ORIGINS", env = "TIDELOG_CORS", default_value = "", hide_default_value = true, value_parser = origins)]
    pub(super) cors: AllowedOrigins,

    /// Further name that the broker answers to on the loopback interface; may be repeated.
    ///
    /// On addresses such as 127.0.0.1 the broker answers to addresses, to localhost, to the machine's name and to
    /// the own hosts of Kinesis, DynamoDB, CloudWatch and STS. Requests for other names are refused, because a web site
    /// can point its own name here. Name the host of a reverse proxy on this machine that keeps the Host header.
    #[arg(long, value_name = "NAME", env = "TIDELOG_PUBLIC_HOST", value_delimiter = ',', value_parser = host)]
    pub(super) public_host: Vec<String>,

    /// Certificate to present to clients by https://, with its chain, in PEM form; needs --tls-key.
    ///
    /// Without it, https:// is served with a certificate issued by a CA that was created with the data directory
    /// (`tidelog ca` prints it), good for localhost, the machine's name, the addresses of --listen and the own host
    /// names of Kinesis, DynamoDB, CloudWatch and STS.
    #[arg(long, value_name = "FILE", env = "TIDELOG_TLS_CERTIFICATE")]
    pub(super) tls_certificate: Option<PathBuf>,

    /// Private key of --tls-certificate, in PEM form.
    #[arg(long, value_name = "FILE", env = "TIDELOG_TLS_KEY")]
    pub(super) tls_key: Option<PathBuf>,

    /// Memory the process may take, such as `512MiB` or `2GiB`; 192 MiB at least. [default: by the system's limits]
    ///
    /// Without it, three quarters of the smallest limit of the process's control groups; without such a limit, a
    /// quarter of the machine's memory, and no more than 6 GiB. Requests, answers and connections each have a class of
    /// it: when a class is full, its clients get an error that they retry.
    #[arg(long, value_name = "SIZE", env = "TIDELOG_MEMORY", value_parser = memory)]
    pub(super) memory: Option<u64>,

    /// Sync of the log: `fsync` before each acknowledgement, or `interval=MILLISECONDS`.
    ///
    /// `fsync` acknowledges a write when it is on the medium; a power loss loses nothing that was acknowledged.
    /// `interval=100` acknowledges before that and syncs every 100 milliseconds (1 to 60,000): a power loss or a crash
    /// of the operating system loses up to that much acknowledged data, a crash of the broker alone none. A node of a
    /// cluster that comes back from such a loss has to be replaced, and its system has to tell one boot from the next.
    #[arg(long, value_name = "MODE", env = "TIDELOG_DURABILITY", default_value = "fsync", value_parser = durability)]
    pub(super) durability: Durability,

    /// Account of callers whose access key id is not itself an account; 12 digits.
    ///
    /// A caller whose access key id is 12 digits works in that account, and sees only its streams.
    #[arg(long, value_name = "ACCOUNT", env = "TIDELOG_ACCOUNT", default_value = "000000000000", value_parser = account)]
    pub(super) account: String,

    /// Region of callers whose request is not signed for one.
    #[arg(long, value_name = "REGION", env = "TIDELOG_REGION", default_value = "us-east-1", value_parser = region)]
    pub(super) region: String,

    /// Which node of the cluster this is: the id of one of the nodes that --cluster lists, a whole number from 1 on.
    ///
    /// A node that lost its data, and one that was removed, comes back under an id that was never used.
    #[arg(long, value_name = "ID", env = "TIDELOG_NODE_ID", value_parser = cluster::node_id)]
    pub(super) node_id: Option<u64>,

    /// The nodes that form a cluster, this one too, as `ID=HOST:PORT,…`; without it the broker is a lone node.
    ///
    /// At these addresses the nodes reach each other; clients use those of --listen. Give every node of a new cluster
    /// the same list: it forms once all of them are up. A node that will be added names itself and some members. Host
    /// names are resolved whenever a connection is made: `1=tidelog-1:4568,2=tidelog-2:4568,3=tidelog-3:4568`.
    #[arg(long, value_name = "NODES", env = "TIDELOG_CLUSTER", value_delimiter = ',', value_parser = cluster::member)]
    pub(super) cluster: Vec<(u64, String)>,

    /// Address and port to listen on for other nodes, such as `0.0.0.0:4568`. [default: this node's address in
    /// --cluster]
    #[arg(long, value_name = "ADDRESS", env = "TIDELOG_CLUSTER_LISTEN")]
    pub(super) cluster_listen: Option<SocketAddr>,

    /// Certificate of this node for other nodes, with its chain, in PEM form; needs --cluster-key and --cluster-ca.
    ///
    /// With it nodes speak mutual TLS: a certificate must be by an authority of --cluster-ca, for the host that
    /// --cluster names, and for the node's id, by the URI name `tidelog:node:ID`. Without it nodes speak plain TCP and
    /// believe every caller; that is refused on other than loopback addresses.
    #[arg(long, value_name = "FILE", env = "TIDELOG_CLUSTER_CERTIFICATE")]
    pub(super) cluster_certificate: Option<PathBuf>,

    /// Private key of --cluster-certificate, in PEM form.
    #[arg(long, value_name = "FILE", env = "TIDELOG_CLUSTER_KEY")]
    pub(super) cluster_key: Option<PathBuf>,

    /// Authorities that the other nodes' certificates have to be by, in PEM form.
    #[arg(long, value_name = "FILE", env = "TIDELOG_CLUSTER_CA")]
    pub(super) cluster_ca: Option<PathBuf>,

    /// Listen for other nodes without certificates on an address that other machines can reach.
    ///
    /// Any program that reaches that address can then read, write and delete records and change the cluster. Use it
    /// only on a network that nothing but the nodes can reach.
    #[arg(long, env = "TIDELOG_CLUSTER_INSECURE", action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    pub(super) cluster_insecure: bool,

    /// Seconds of further service after SIGTERM, 0 to 3,600, while `/ready` already answers 503.
    ///
    /// Gives balancers and Kubernetes time to send clients elsewhere before the stop, which takes up to 8 seconds more.
    /// A second signal stops at once.
    #[arg(long, value_name = "SECONDS", env = "TIDELOG_DRAIN", default_value = "0", value_parser = drain)]
    pub(super) drain: Duration,

    /// TOML file of settings; an unknown key in it is an error.
    #[arg(long, value_name = "FILE", env = "TIDELOG_CONFIG")]
    pub(super) config: Option<PathBuf>,

    /// Level of the log on standard error: `error`, `warn`, `info`, `debug`, `trace`, or directives such as
    /// `info,tidelog::wire=debug`.
    ///
    /// A level without a target is that of Tidelog; the crates that it is built with log at `warn` at most, unless a
    /// directive names them, such as `debug,h2=debug`.
    #[arg(long, value_name = "LEVEL", env = "TIDELOG_LOG", default_value = "info,openraft=error", value_parser = log)]
    pub(super) log: String,

    /// Form of the log: `text`, or `json` for one JSON document a line.
    ///
    /// A document of `json` has `timestamp`, `level`, `target`, and `fields`, of which `message` is one.
    #[arg(long, value_name = "FORMAT", env = "TIDELOG_LOG_FORMAT", default_value = "text", value_parser = log_format)]
    pub(super) log_format: LogFormat,

    /// Requests of clients that the log has a line for: `off`, `errors`, `slow=TIME` or `all`.
    ///
    /// `errors` are requests answered with an error, `slow=1s` also those whose answer began a second after they came,
    /// or later; times are such as `250ms` and `2s`. A line has the id that the client sees as x-amzn-requestid.
    #[arg(long, value_name = "REQUESTS", env = "TIDELOG_LOG_REQUESTS", default_value = "off", value_parser = log_requests)]
    pub(super) log_requests: RequestLines,
}
