//! `tidelog config`, and the warnings of misspelt variables at the start of a broker.

use std::path::Path;
use std::process::{Command, Stdio};

use tidelog_testkit::process::{Ran, Running, refused};

use crate::broker::tidelog;

fn config(arguments: &[&str]) -> Command {
    let mut command = tidelog();
    command.arg("config").args(arguments);
    command
}

fn written(directory: &Path, text: &str) -> String {
    let path = directory.join("tidelog.toml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn each_value_is_shown_with_its_origin() {
    let directory = tempfile::tempdir().unwrap();
    let file = written(directory.path(), "# mine\nregion = \"eu-west-1\"\ndurability = \"interval=5\"\n");
    let mut command = config(&["show", "--config", &file, "--account=123456789012", "--output", "json"]);
    command.env("TIDELOG_DURABILITY", "interval=9").env("CREATE_STREAM_DURATION", "1s");
    let ran = Ran::to_end(&mut command);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let json = ran.json();
    let settings = json["settings"].as_array().unwrap();
    let shown = |key: &str| settings.iter().find(|setting| setting["setting"] == key).unwrap().clone();
    let region = serde_json::json!({
        "setting": "region", "value": "eu-west-1", "from": "file", "file": file, "line": 2
    });
    assert_eq!(shown("region"), region);
    let durability = shown("durability");
    assert_eq!((&durability["value"], &durability["from"]), (&"interval=9".into(), &"variable".into()));
    assert_eq!(durability["variables"][0], "TIDELOG_DURABILITY");
    assert_eq!(shown("account")["from"], "flag");
    assert_eq!(shown("transition-delay")["variables"][0], "CREATE_STREAM_DURATION");
    assert_eq!((&shown("limits")["value"], &shown("limits")["from"]), (&"aws".into(), &"default".into()));
    assert_eq!(shown("config")["value"], *file);
    let table = Ran::to_end(&mut config(&["show", "--ephemeral"])).stdout;
    assert!(table.lines().any(|line| line.split_whitespace().eq(["ephemeral", "true", "flag"])), "{table}");
    assert!(table.lines().any(|line| line.split_whitespace().eq(["data", "-", "default"])), "{table}");
}

#[test]
fn every_fault_of_a_file_is_listed_with_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let file = written(
        directory.path(),
        "regoin = \"eu-west-1\"\naccount = \"12\"\n  ephemeral = \"yes\"\nlog = \"info\"\n",
    );
    let ran = Ran::to_end(&mut config(&["check", &file]));
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    let place = |line: u32, column: u32| format!("{file}, line {line}, column {column}");
    let faults: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(faults.len(), 3, "{faults:?}");
    for part in [format!("{}, has an unknown key `regoin`; did you mean `region`?", place(1, 1))]
        .into_iter()
        .chain([format!("{}, gives `ephemeral` a string", place(3, 15)), place(2, 1)])
    {
        assert!(faults.iter().any(|fault| fault.contains(&part)), "{part}: {faults:?}");
    }
    let file = written(directory.path(), "region = \"eu-west-1\"\nlisten = [\n");
    let ran = Ran::to_end(&mut config(&["check", &file]));
    assert!(
        ran.stdout.contains(&format!("{file}, line ")) && ran.stdout.contains("is not TOML"),
        "{}",
        ran.stdout
    );
    assert_eq!((ran.code, ran.stdout.lines().count()), (Some(3), 1), "{}", ran.stdout);
    let file = written(directory.path(), "ephemeral = true\ndata = \"/kept\"\n");
    let ran = Ran::to_end(config(&["check"]).env("TIDELOG_CONFIG", &file));
    assert!(ran.stdout.contains("exclude each other") && ran.code == Some(3), "{}", ran.stdout);
    let file = written(directory.path(), "listen = [\":0\", \"localhost:0\"]\n");
    let ran = Ran::to_end(&mut config(&["check", &file]));
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "the settings are valid\n"));
}

#[test]
fn variables_of_a_kubernetes_service_change_nothing_and_misspelt_ones_are_named() {
    let mut command = tidelog();
    command.args(["serve", "--ephemeral", "--listen", ":0,localhost:0"]).stderr(Stdio::piped());
    command.env("TIDELOG_PORT", "tcp://10.0.0.1:4567").env("TIDELOG_SERVICE_HOST", "10.0.0.1");
    command.env("TIDELOG_PORT_4567_TCP", "tcp://10.0.0.1:4567").env("TIDELOG_REGOIN", "eu-west-1");
    command.env("AWS_REGION", "eu-west-1");
    let broker = Running::start(&mut command);
    let printed = broker.printed().to_owned();
    assert!(printed.contains("AWS_REGION=us-east-1"), "{printed}");
    assert!(printed.matches("http://127.0.0.1:").count() >= 2, "{printed}");
    let (code, errors) = broker.terminate();
    assert_eq!(code, Some(0), "{errors}");
    assert!(
        errors.contains("TIDELOG_REGOIN is not a setting") && errors.contains("TIDELOG_REGION?"),
        "{errors}"
    );
    assert!(!errors.contains("TIDELOG_PORT") && !errors.contains("TIDELOG_SERVICE"), "{errors}");
}

#[test]
fn a_broken_configuration_stops_a_start_and_leaves_the_disk_alone() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let file = written(directory.path(), "limits = \"fast\"\n");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let cases = [
        (vec!["--config", &file], format!("{file}, line 1, column 1")),
        (vec!["--listen", "no-such-host.invalid:0"], "cannot resolve no-such-host.invalid".to_owned()),
    ];
    for (flags, part) in cases {
        let (code, errors) = refused(tidelog().arg("serve").arg("--data").arg(&data).args(&flags));
        assert!(errors.contains(&part) && code == Some(1), "{flags:?}: {code:?} {errors}");
        assert!(!data.exists(), "{flags:?}");
    }
    let address = taken.local_addr().unwrap().to_string();
    let (code, errors) = refused(tidelog().args(["serve", "--listen", &address, "--data"]).arg(&data));
    assert!(errors.contains(&address) && code == Some(1), "{code:?} {errors}");
}
