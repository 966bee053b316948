//! The order in which flag, variable and file decide.

use std::path::Path;

use super::*;

type Pairs<'a> = &'a [(&'a str, &'a str)];

fn resolved(flags: Pairs<'_>, environment: Pairs<'_>) -> Result<Settings, SettingsError> {
    let find = |pairs: Pairs<'_>, name: &str| {
        pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    };
    let arguments = ConnectionArguments {
        endpoint: find(flags, "endpoint"),
        region: find(flags, "region"),
        profile: find(flags, "profile"),
        ca: None,
    };
    Settings::resolve(&arguments, &|name| find(environment, name))
}

#[test]
fn the_endpoint_is_the_flags_then_the_variables_then_the_local_one() {
    let cases: [(Pairs<'_>, Pairs<'_>, &str); 5] = [
        (&[], &[], "http://127.0.0.1:4567"),
        (&[], &[("AWS_ENDPOINT_URL", "http://a:1")], "http://a:1"),
        (&[], &[("AWS_ENDPOINT_URL", "http://a:1"), ("AWS_ENDPOINT_URL_KINESIS", "https://b")], "https://b"),
        (&[("endpoint", "http://[::1]:9/")], &[("AWS_ENDPOINT_URL_KINESIS", "https://b")], "http://[::1]:9"),
        (&[], &[("AWS_ENDPOINT_URL_KINESIS", "")], "http://127.0.0.1:4567"),
    ];
    for (flags, environment, expected) in cases {
        let settings = resolved(flags, environment).expect("settings");
        assert_eq!(settings.endpoint_text(), expected);
        assert_eq!(settings.credentials, Credentials::of_nobody());
    }
    for wrong in [
        "",
        "localhost:4567",
        "ftp://a",
        "http://a/path",
        "http://",
        "http://u@a",
        "http://a?q",
        "http://a:65536",
        "http://a:0",
        "http://a:",
    ] {
        let error = resolved(&[("endpoint", wrong)], &[]).expect_err(wrong);
        assert!(matches!(error, SettingsError::Endpoint(_)), "{wrong}: {error}");
    }
}

#[test]
fn certificates_are_the_flags_or_the_variables() {
    let settings = resolved(&[], &[("AWS_CA_BUNDLE", "/own/ca.pem")]).expect("settings");
    assert_eq!(settings.ca.as_deref(), Some(Path::new("/own/ca.pem")));
    let flag = ConnectionArguments { ca: Some("ca.pem".into()), ..Default::default() };
    let own = |name: &str| (name == "AWS_CA_BUNDLE").then(|| "/own/ca.pem".into());
    assert_eq!(Settings::resolve(&flag, &own).expect("settings").ca, flag.ca);
}

#[test]
fn aws_itself_needs_keys_and_its_host_has_the_region() {
    let keys = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret")];
    let settings = resolved(&[("endpoint", "aws"), ("region", "eu-west-1")], &keys).expect("settings");
    assert_eq!(settings.endpoint_text(), "https://kinesis.eu-west-1.amazonaws.com");
    assert!(settings.is_aws());
    let settings = resolved(&[("endpoint", "aws"), ("region", "cn-north-1")], &keys).expect("settings");
    assert_eq!(settings.endpoint_text(), "https://kinesis.cn-north-1.amazonaws.com.cn");
    let error = resolved(&[("endpoint", "aws")], &[]).expect_err("no keys");
    assert!(matches!(error, SettingsError::Credentials(CredentialsError::None)), "{error}");
    let error = resolved(&[("endpoint", "aws")], &keys[..1]).expect_err("half a key");
    assert!(matches!(error, SettingsError::Credentials(CredentialsError::Half(..))), "{error}");
    let error = resolved(&[("region", "no region")], &[]).expect_err("no region");
    assert!(matches!(error, SettingsError::Region(_)), "{error}");
}

fn written(directory: &Path, file: &str, text: &str) -> String {
    let path = directory.join(file);
    std::fs::write(&path, text).expect("a directory of our own");
    path.to_str().expect("text").into()
}

#[test]
fn keys_and_region_come_from_the_files_of_the_profile() {
    let directory = std::env::temp_dir().join(format!("tidelog-profile-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory of our own");
    let config = "[default]\nregion = eu-central-1\n[profile work]\nregion = us-west-2\naws_access_key_id = old\n\
                  [profile sso]\nsso_session = corp\n";
    let config = written(&directory, "config", config);
    let credentials = "[work]\naws_access_key_id = W\naws_secret_access_key = S\naws_session_token = T\n";
    let credentials = written(&directory, "credentials", credentials);
    let files = [("AWS_CONFIG_FILE", config.as_str()), ("AWS_SHARED_CREDENTIALS_FILE", credentials.as_str())];
    let with = |more: Pairs<'static>| [&files[..], more].concat();

    let settings = resolved(&[], &with(&[])).expect("settings");
    assert_eq!(
        (settings.region.as_str(), &settings.credentials),
        ("eu-central-1", &Credentials::of_nobody())
    );

    let work = Credentials {
        access_key_id: "W".into(),
        secret_access_key: "S".into(),
        session_token: Some("T".into()),
    };
    let environment = with(&[("AWS_PROFILE", "work")]);
    let settings = resolved(&[], &environment).expect("settings");
    assert_eq!((settings.region.as_str(), &settings.credentials), ("us-west-2", &work));

    let keys =
        with(&[("AWS_ACCESS_KEY_ID", "E"), ("AWS_SECRET_ACCESS_KEY", "F"), ("AWS_REGION", "af-south-1")]);
    let settings = resolved(&[("profile", "work")], &keys).expect("settings");
    assert_eq!((settings.region.as_str(), &settings.credentials), ("af-south-1", &work));
    assert_eq!(resolved(&[], &keys).expect("settings").credentials.access_key_id, "E");

    let error = resolved(&[("profile", "none")], &with(&[])).expect_err("no such profile");
    assert!(matches!(error, SettingsError::Credentials(CredentialsError::NoSuchProfile(_))), "{error}");
    let error = resolved(&[("endpoint", "aws"), ("profile", "sso")], &with(&[])).expect_err("fetched keys");
    assert!(error.to_string().contains("aws configure export-credentials --profile sso"), "{error}");
    std::fs::remove_dir_all(&directory).expect("ours");
}
