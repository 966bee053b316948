//! Settings from flags and a file: the resulting configuration, and how wrong ones are refused.

use std::ffi::OsString;
use std::io::Write;
use std::time::Duration;

use tempfile::NamedTempFile;
use tidelog::cluster::client::Change;
use tidelog::config::{
    CertificateFiles, ClusterConfig, Config, DataLocation, Durability, InitialStream, LeaseTableLimits,
    PeerCertificates, Transitions,
};
use tidelog::limits::{ControlLimits, ShardLimits};
use tidelog_cli::command::Output;
use tidelog_cli::command::cluster::{Action, ClusterCommand, Wait, Waiting};
use tidelog_cli::settings::{Command, ConfigError, load};

fn commanded(arguments: &[&str]) -> Result<Command, ConfigError> {
    load(["tidelog"].iter().chain(arguments).map(OsString::from), |_| None)
}

fn loaded(arguments: &[&str]) -> Result<Config, ConfigError> {
    match commanded(arguments)? {
        Command::Serve(settings) => Ok(settings.broker),
        other => panic!("{arguments:?} is {other:?}"),
    }
}

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// The configuration with this file and these flags.
fn filed(text: &str, flags: &[&str]) -> Result<Config, ConfigError> {
    let file = file(text);
    let path = file.path().to_str().unwrap();
    loaded(&[&["serve", "--config", path], flags].concat())
}

#[test]
fn nothing_given_is_the_default_with_and_without_the_command() {
    let default = loaded(&[]).unwrap();
    assert_eq!(default, loaded(&["serve"]).unwrap());
    assert_eq!(default, Config::new(DataLocation::Directory("./tidelog-data".into())));
    assert_eq!(default.listen, ["127.0.0.1:4567".parse().unwrap()]);
    assert_eq!(default.data, DataLocation::Directory("./tidelog-data".into()));
    assert_eq!(default.limits, ShardLimits::aws());
    assert_eq!(default.control_limits, ControlLimits::aws());
    assert_eq!(default.transitions, Transitions::default());
    assert_eq!(default.durability, Durability::Fsync);
    assert_eq!((&*default.account, &*default.region), ("000000000000", "us-east-1"));
}

#[test]
fn values_are_read() {
    let config = loaded(&["--ephemeral", "--listen", "127.0.0.1:0", "--listen=[::1]:80,0.0.0.0:81"]).unwrap();
    assert_eq!(config.data, DataLocation::Ephemeral);
    let addresses = ["127.0.0.1:0", "[::1]:80", "0.0.0.0:81"].map(|address| address.parse().unwrap());
    assert_eq!(config.listen, addresses);
    let aws = ShardLimits::aws();
    let limits: &[(&str, ShardLimits)] = &[
        ("aws", aws),
        ("off", ShardLimits::off()),
        ("write-records=5000", ShardLimits { write_records_per_second: Some(5_000), ..aws }),
        (
            "write-bytes=2097152,read-bytes=off,read-calls=20,fanout-bytes=4194304",
            ShardLimits {
                write_bytes_per_second: Some(2_097_152),
                read_bytes_per_second: None,
                read_calls_per_second: Some(20),
                fanout_bytes_per_second: Some(4_194_304),
                ..aws
            },
        ),
    ];
    for (text, expected) in limits {
        assert_eq!(loaded(&["--limits", text]).unwrap().limits, *expected, "{text}");
    }
    let aws = ControlLimits::aws();
    let control_limits: &[(&str, ControlLimits)] = &[
        ("aws", aws),
        ("off", ControlLimits::off()),
        ("rates=off", ControlLimits { rates: false, ..aws }),
        (
            "rates=on,shards=7,on-demand-streams=off",
            ControlLimits { shards_max: Some(7), on_demand_streams_max: None, ..aws },
        ),
        (
            "cluster-streams=5,cluster-shards=4000000000",
            ControlLimits { cluster_streams_max: 5, cluster_shards_max: 4_000_000_000, ..aws },
        ),
    ];
    for (text, expected) in control_limits {
        assert_eq!(loaded(&["--control-limits", text]).unwrap().control_limits, *expected, "{text}");
    }
    let usual = LeaseTableLimits::default();
    let tables: &[(&str, LeaseTableLimits)] = &[
        ("tables=5", LeaseTableLimits { tables: 5, ..usual }),
        ("items=7,bytes=16MiB", LeaseTableLimits { items: 7, group_bytes: 16 << 20, ..usual }),
        ("tables=256,items=100000,bytes=32MiB", usual),
    ];
    for (text, expected) in tables {
        assert_eq!(loaded(&["--lease-table-limits", text]).unwrap().lease_table_limits, *expected, "{text}");
    }
    let half = Duration::from_millis(500);
    let transitions: &[(&str, Transitions)] = &[
        ("500", Transitions::all(half)),
        (
            "create-stream=500,merge-shards=500",
            Transitions { create_stream: half, merge_shards: half, ..Transitions::default() },
        ),
    ];
    for (text, expected) in transitions {
        assert_eq!(loaded(&["--transition-delay", text]).unwrap().transitions, *expected, "{text}");
    }
    let interval = loaded(&["--durability", "interval=250"]).unwrap().durability;
    assert_eq!(interval, Durability::Interval(Duration::from_millis(250)));
}

#[test]
fn a_flag_goes_before_the_file_and_the_file_before_the_default() {
    let text =
        "region = \"eu-west-1\"\nlisten = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\ndurability = \"interval=5\"\n";
    let config = filed(text, &["--durability", "fsync"]).unwrap();
    assert_eq!(&*config.region, "eu-west-1");
    assert_eq!(config.listen.len(), 2);
    assert_eq!(config.durability, Durability::Fsync);
    assert_eq!(config.limits, ShardLimits::aws());
    let text = "control-limits = \"off\"\ntransition-delay = \"5\"";
    let config = filed(text, &["--transition-delay", "0"]).unwrap();
    assert_eq!((config.control_limits, config.transitions), (ControlLimits::off(), Transitions::default()));
    let text = "listen = [\"127.0.0.1:1\", \"127.0.0.1:2\"]";
    let config = filed(text, &["--listen", "127.0.0.1:3"]).unwrap();
    assert_eq!(config.listen, ["127.0.0.1:3".parse().unwrap()], "a list is replaced, not joined");
}

#[test]
fn where_data_is_kept_is_one_decision() {
    let data = |text, flags: &[&str]| filed(text, flags).map(|config| config.data);
    let kept = DataLocation::Directory("/kept".into());
    assert_eq!(data("ephemeral = true", &[]).unwrap(), DataLocation::Ephemeral);
    assert_eq!(data("ephemeral = true", &["--data", "/kept"]).unwrap(), kept);
    assert_eq!(data("data = \"/kept\"", &["--ephemeral"]).unwrap(), DataLocation::Ephemeral);
    assert_eq!(data("data = \"/kept\"\nephemeral = false", &[]).unwrap(), kept);
    let both = loaded(&["--data", "/kept", "--ephemeral"]).unwrap_err().to_string();
    assert!(both.contains("exclude each other"), "{both}");
    let both = data("data = \"/kept\"\nephemeral = true", &[]).unwrap_err().to_string();
    assert!(both.contains("exclude each other"), "{both}");
}

#[test]
fn the_words_of_kinesis_mock_count_last() {
    let loaded = |text: &str, flags: &[&str], variable: fn(&str) -> Option<String>| {
        let file = file(text);
        let path = file.path().to_str().unwrap().to_owned();
        let arguments = ["tidelog", "serve", "--config", &path];
        match load(arguments.iter().chain(flags).map(OsString::from), variable) {
            Ok(Command::Serve(settings)) => Ok(*settings),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        }
    };
    let region = |name: &str| (name == "AWS_REGION").then(|| "eu-west-1".into());
    let config = loaded("", &[], region).unwrap();
    assert_eq!(
        (&*config.broker.region, config.foreign_variables),
        ("us-east-1", vec![]),
        "clients have it too"
    );
    let region = |name: &str| match name {
        "AWS_REGION" => Some("eu-west-1".into()),
        "MERGE_SHARDS_DURATION" => Some("0s".into()),
        _ => None,
    };
    let used = vec!["AWS_REGION", "MERGE_SHARDS_DURATION"];
    let config = loaded("", &[], region).unwrap();
    assert_eq!((&*config.broker.region, config.foreign_variables), ("eu-west-1", used));
    for (text, flags) in [("region = \"us-west-2\"", [].as_slice()), ("", &["--region", "us-west-2"])] {
        let config = loaded(text, flags, region).unwrap();
        assert_eq!(
            (&*config.broker.region, config.foreign_variables),
            ("us-west-2", vec!["MERGE_SHARDS_DURATION"]),
            "{text}"
        );
    }
    let streams = |name: &str| (name == "INITIALIZE_STREAMS").then(|| "a:2,b::us-west-2".into());
    let stream = |name: &str, shard_count, region: Option<&str>| InitialStream {
        name: name.into(),
        shard_count,
        region: region.map(Into::into),
    };
    let expected = [stream("a", 2, None), stream("b", 4, Some("us-west-2"))];
    assert_eq!(loaded("", &[], streams).unwrap().broker.initial_streams, expected);
    assert_eq!(loaded("", &["--initialize-streams", "c"], streams).unwrap().broker.initial_streams.len(), 1);
    let wrong = |name: &str| match name {
        "AWS_ACCOUNT_ID" | "KINESIS_MOCK_TLS_PORT" => Some("12".into()),
        _ => None,
    };
    let error = loaded("", &[], wrong).unwrap_err();
    assert!(error.contains("AWS_ACCOUNT_ID") && error.contains("12 digits"), "{error}");
}

#[test]
fn a_certificate_and_its_key_go_together() {
    let files = CertificateFiles { certificate: "c.pem".into(), key: "k.pem".into() };
    let both = filed("tls-key = \"k.pem\"", &["--tls-certificate", "c.pem"]).unwrap();
    assert_eq!(both.certificate, Some(files));
    for alone in ["--tls-certificate", "--tls-key"] {
        let error = loaded(&[alone, "x.pem"]).unwrap_err().to_string();
        assert!(error.contains("--tls-certificate and --tls-key go together"), "{error}");
    }
}

#[test]
fn a_node_of_a_cluster_knows_itself_and_the_others() {
    assert_eq!(loaded(&[]).unwrap().cluster, None);
    let members = [(1, "a:4568"), (2, "[::1]:4568"), (3, "10.0.0.3:4568")];
    let plain = ClusterConfig {
        node_id: 2,
        members: members.map(|(id, address)| (id, address.into())).into(),
        listen: None,
        tls: None,
        is_insecure: false,
    };
    let list = "1=a:4568,2=[::1]:4568,3=10.0.0.3:4568";
    assert_eq!(loaded(&["--node-id=2", "--cluster", list]).unwrap().cluster, Some(plain.clone()));
    let text = "node-id = 2\ncluster = [\"1=a:4568\", \"2=[::1]:4568\", \"3=10.0.0.3:4568\"]\n\
                cluster-listen = \"0.0.0.0:4568\"\ncluster-ca = \"ca\"";
    let flags = ["--cluster-certificate=c", "--cluster-key=k"];
    let certificates = PeerCertificates { certificate: "c".into(), key: "k".into(), ca: "ca".into() };
    let secured =
        ClusterConfig { listen: Some("0.0.0.0:4568".parse().unwrap()), tls: Some(certificates), ..plain };
    assert_eq!(filed(text, &flags).unwrap().cluster, Some(secured));
}

#[test]
fn a_node_that_contradicts_its_cluster_is_refused() {
    let cases: &[(&[&str], &str)] = &[
        (&["--node-id", "1"], "--node-id needs --cluster"),
        (&["--cluster-listen", "0.0.0.0:1"], "--cluster-listen needs --cluster"),
        (&["--cluster", "1=a:1"], "--cluster needs --node-id"),
        (&["--node-id", "2", "--cluster", "1=a:1"], "lists no node 2"),
        (&["--node-id", "1", "--cluster", "1=a:1,1=b:1"], "lists the node 1 twice"),
        (&["--node-id", "1", "--cluster", "1=a:1,2=A:1"], "gives the nodes 1 and 2 one address"),
        (&["--node-id", "1", "--cluster", "1=a:1", "--ephemeral"], "--ephemeral and --cluster exclude"),
        (&["--node-id", "1", "--cluster", "1=a:1", "--cluster-ca", "x"], "go together"),
        (&["--node-id", "0", "--cluster", "1=a:1"], "from 1 on"),
        (&["--node-id", "1", "--cluster", "1=a"], "HOST:PORT"),
        (&["--node-id", "1", "--cluster", "1=a:1", "--cluster-listen", "a:1"], "--cluster-listen"),
    ];
    for (flags, part) in cases {
        let error = loaded(flags).unwrap_err();
        assert!(error.to_string().contains(part), "{flags:?}: {error}");
    }
}

#[test]
fn the_authority_is_that_of_the_brokers_directory() {
    let kept = |path: &str| Command::Authority { data: DataLocation::Directory(path.into()), hashed: None };
    assert_eq!(commanded(&["ca"]).unwrap(), kept("./tidelog-data"));
    assert_eq!(commanded(&["ca", "--data", "/kept"]).unwrap(), kept("/kept"));
    let file = file("data = \"/filed\"\nlimits = \"off\"");
    let path = file.path().to_str().unwrap();
    assert_eq!(commanded(&["ca", "--config", path]).unwrap(), kept("/filed"));
    assert_eq!(commanded(&["ca", "--config", path, "--data", "/kept"]).unwrap(), kept("/kept"));
    let hashed = Command::Authority {
        data: DataLocation::Directory("/kept".into()),
        hashed: Some("/certificates".into()),
    };
    assert_eq!(commanded(&["ca", "--data", "/kept", "--hashed", "/certificates"]).unwrap(), hashed);
    assert!(commanded(&["ca", "--listen", "127.0.0.1:0"]).is_err());
}

#[test]
fn arguments_of_cluster_commands_are_read() {
    let asked = |arguments: &[&str]| match commanded(&[&["cluster"], arguments].concat()) {
        Ok(Command::Cluster(command)) => Ok(command),
        Ok(other) => panic!("{arguments:?} is {other:?}"),
        Err(error) => Err(error.to_string()),
    };
    let status = ClusterCommand {
        at: "127.0.0.1:4568".into(),
        tls: None,
        output: Output::Table,
        action: Action::Status(None),
    };
    assert_eq!(asked(&["status"]), Ok(status.clone()));
    let waiting = Waiting { state: Wait::CaughtUp, patience: Duration::from_secs(9) };
    let waiting = ClusterCommand { action: Action::Status(Some(waiting)), ..status.clone() };
    assert_eq!(asked(&["status", "--wait", "caught-up", "--timeout=9"]), Ok(waiting));
    let elsewhere = ClusterCommand { at: "b:1".into(), output: Output::Json, ..status.clone() };
    assert_eq!(asked(&["status", "--at", "b:1", "--output=json"]), Ok(elsewhere.clone()));
    assert_eq!(asked(&["--at", "b:1", "--output=json", "status"]), Ok(elsewhere));
    let address = || "d:4568".to_owned();
    let changes: &[(&[&str], Change)] = &[
        (&["add", "4=d:4568"], Change::Add { id: 4, address: address() }),
        (&["remove", "3"], Change::Remove { id: 3 }),
        (&["replace", "3", "4=d:4568"], Change::Replace { old_id: 3, id: 4, address: address() }),
        (&["transfer", "--to=2"], Change::Transfer { groups: vec![], to: 2, from: None }),
        (
            &["transfer", "--to=2", "--group=0", "--group=6", "--from=1"],
            Change::Transfer { groups: vec![0, 6], to: 2, from: Some(1) },
        ),
    ];
    for (arguments, change) in changes {
        let expected = ClusterCommand { action: Action::Change(change.clone()), ..status.clone() };
        assert_eq!(asked(arguments), Ok(expected), "{arguments:?}");
    }
    for (arguments, part) in [
        (&[][..], "Usage: tidelog cluster"),
        (&["add", "4"][..], "ID=HOST:PORT"),
        (&["remove", "0"], "from 1 on"),
        (&["transfer"], "--to"),
        (&["transfer", "--to=1", "--group=7"], "0..=6"),
        (&["status", "--at", "4568"], "HOST:PORT"),
        (&["status", "--cluster-ca", "x"], "go together"),
    ] {
        let error = asked(arguments).unwrap_err();
        assert!(error.contains(part), "{arguments:?}: {error}");
    }
}

#[test]
fn wrong_flags_are_refused_by_name() {
    let cases: &[(&[&str], &str)] = &[
        (&["--listen", "4567"], "--listen"),
        (&["--limits", "fast"], "--limits"),
        (&["--limits", "write-bytes=0"], "above zero"),
        (&["--limits", "write-byte=1"], "`write-byte` is not one of"),
        (&["--control-limits", "slow"], "--control-limits"),
        (&["--control-limits", "shards=0"], "above zero"),
        (&["--control-limits", "rates=5"], "`on` or `off`"),
        (&["--control-limits", "cluster-shards=off"], "a whole number"),
        (&["--control-limits", "streams=5"], "`streams` is not one of"),
        (&["--lease-table-limits", "tables"], "`tables` is not part of a list"),
        (&["--lease-table-limits", "tables=0"], "above zero"),
        (&["--lease-table-limits", "items=many"], "`items` needs a whole number"),
        (&["--lease-table-limits", "bytes=1023KiB"], "1MiB to 32MiB"),
        (&["--lease-table-limits", "bytes=33MiB"], "1MiB to 32MiB"),
        (&["--lease-table-limits", "leases=5"], "`leases` is not one of"),
        (&["--transition-delay", "fast"], "0 to 600000"),
        (&["--transition-delay", "600001"], "0 to 600000"),
        (&["--transition-delay", "create-stream=1,split=2"], "`split` is not one of"),
        (&["--durability", "interval=0"], "1 to 60000"),
        (&["--durability", "interval=60001"], "1 to 60000"),
        (&["--durability", "never"], "--durability"),
        (&["--account", "12345"], "12 digits"),
        (&["--region", "EU WEST"], "--region"),
        (&["--log", "tidelog=loud"], "--log"),
        (&["--no-such-flag"], "--no-such-flag"),
        (&["no-such-command"], "no-such-command"),
    ];
    for (flags, part) in cases {
        let error = loaded(flags).unwrap_err();
        assert!(error.to_string().contains(part), "{flags:?}: {error}");
    }
}

#[test]
fn a_wrong_file_is_refused_in_one_line_that_names_it() {
    let cases = [
        ("retention = 5", "unknown key `retention`"),
        ("config = \"other.toml\"", "unknown key `config`"),
        ("help = true", "unknown key `help`"),
        ("[serve]\nregion = \"us-east-1\"", "unknown key `serve`"),
        ("region = 5", "gives `region` a number, where a string is expected"),
        ("listen = []", "gives `listen` a list"),
        ("listen = [1]", "a string or a list of strings"),
        ("ephemeral = \"yes\"", "true or false is expected"),
        ("account = \"12\"", "12 digits"),
        ("listen = \"nowhere\"", "--listen"),
        ("region = ", "is not TOML"),
    ];
    for (text, part) in cases {
        let file = file(text);
        let path = file.path().to_str().unwrap();
        let error = loaded(&["--config", path]).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains(path), "{text}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    let error = loaded(&["--config", "/no/such/file.toml"]).unwrap_err().to_string();
    assert!(error.contains("cannot read the configuration file /no/such/file.toml"), "{error}");
}

#[test]
fn help_and_version_are_asked_for_not_errors() {
    for flags in [&["--help"] as &[&str], &["--version"], &["serve", "--help"]] {
        let Err(ConfigError::Arguments(asked)) = loaded(flags) else { panic!("{flags:?}") };
        assert_eq!(asked.exit_code(), 0, "{flags:?}");
    }
}
