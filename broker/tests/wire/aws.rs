//! Services that share the port with Kinesis: CloudWatch's PutMetricData, STS's GetCallerIdentity, and the refusals of
//! all others, as bytes.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use tidelog_proto::{Codec, Document};

use crate::broker::{Answer, Broker, get};

const FORM: &str = "Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\n";
const CBOR: &str =
    "smithy-protocol: rpc-v2-cbor\r\nContent-Type: application/cbor\r\nx-amzn-query-mode: true\r\n";
const JSON: &str = "X-Amz-Target: GraniteServiceVersion20100801.PutMetricData\r\nContent-Type: application/x-amz-json-1.0\r\n";
const CBOR_PATH: &str = "/service/GraniteServiceVersion20100801/operation/PutMetricData";

async fn send(broker: &Broker, path: &str, headers: &str, body: &[u8]) -> Answer {
    let mut client = broker.client().await;
    let length = body.len();
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {length}\r\n\r\n");
    client.send([head.as_bytes(), body].concat()).await;
    client.answer().await
}

async fn post_form(broker: &Broker, headers: &str, form: &str) -> Answer {
    send(broker, "/", &format!("{FORM}{headers}"), form.as_bytes()).await
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn signed(key: &str, service: &str) -> String {
    format!(
        "Authorization: AWS4-HMAC-SHA256 Credential={key}/20261130/eu-west-1/{service}/aws4_request, \
         SignedHeaders=host, Signature=0\r\n"
    )
}

/// The text between two tags.
fn tagged<'a>(answer: &'a Answer, tag: &str) -> &'a str {
    let (_, rest) =
        answer.body.split_once(&format!("<{tag}>")).unwrap_or_else(|| panic!("{tag}: {answer:?}"));
    rest.split_once(&format!("</{tag}>")).unwrap().0
}

/// A sample of the page of metrics.
async fn sample(broker: &Broker, series: &str) -> Option<String> {
    let page = get(broker.address(), "/metrics").await.body;
    page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')).map(str::to_owned)
}

/// The form that KCL 2 sends.
const OF_KCL: &str = "Action=PutMetricData&Version=2010-08-01&Namespace=orders&MetricData.member.1.MetricName=\
    MillisBehindLatest&MetricData.member.1.Dimensions.member.1.Name=Operation&\
    MetricData.member.1.Dimensions.member.1.Value=ProcessTask&MetricData.member.1.Dimensions.member.2.Name=ShardId&\
    MetricData.member.1.Dimensions.member.2.Value=shardId-000000000000&MetricData.member.1.Unit=Milliseconds&\
    MetricData.member.1.StatisticValues.SampleCount=3.0&MetricData.member.1.StatisticValues.Sum=60.0&\
    MetricData.member.1.StatisticValues.Minimum=10.0&MetricData.member.1.StatisticValues.Maximum=30.0&\
    MetricData.member.1.Timestamp=2026-11-30T12%3A00%3A00Z";

#[tokio::test]
async fn metrics_come_in_three_protocols_and_are_series_of_the_page() {
    let broker = Broker::start().await;
    let answer = post_form(&broker, "", OF_KCL).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/xml")), "{answer:?}");
    assert!(answer.body.starts_with(
        "<PutMetricDataResponse xmlns=\"http://monitoring.amazonaws.com/doc/2010-08-01/\">\n  <ResponseMetadata>"
    ));
    assert_eq!(Some(tagged(&answer, "RequestId")), answer.header("x-amzn-requestid"));
    let zipped =
        send(&broker, "/", &format!("{FORM}Content-Encoding: gzip\r\n"), &gzip(OF_KCL.as_bytes())).await;
    assert_eq!(zipped.status, 200, "{zipped:?}");

    let set = [("SampleCount", 1.5), ("Sum", 6.0), ("Minimum", 2.0), ("Maximum", 4.0)];
    let dimension =
        |name: &str, value: &str| Document::structure([("Name", name.into()), ("Value", value.into())]);
    let datum = Document::structure([
        ("MetricName", "MillisBehindLatest".into()),
        ("Timestamp", Document::Timestamp(1_700_000_000_000)),
        ("Unit", "Milliseconds".into()),
        ("StatisticValues", Document::structure(set.map(|(name, value)| (name, Document::Double(value))))),
        (
            "Dimensions",
            vec![
                dimension("Operation", "ProcessTask"),
                dimension("ShardId", "shardId-000000000000"),
                dimension("WorkerIdentifier", "host:4c2f"),
            ]
            .into(),
        ),
    ]);
    let input = Document::structure([("Namespace", "orders".into()), ("MetricData", vec![datum].into())]);
    let cbor = Codec::Cbor.encode(&input);
    let answer = send(&broker, CBOR_PATH, CBOR, &cbor).await;
    let headers = ["content-type", "smithy-protocol"].map(|name| answer.header(name));
    assert_eq!(
        (answer.status, headers),
        (200, [Some("application/cbor"), Some("rpc-v2-cbor")]),
        "{answer:?}"
    );
    assert_eq!(&answer.bytes[..], [0xa0]);
    let answer = send(&broker, CBOR_PATH, &format!("{CBOR}Content-Encoding: gzip\r\n"), &gzip(&cbor)).await;
    assert_eq!(answer.status, 200, "{answer:?}");

    let json = r#"{"Namespace":"orders","MetricData":[{"MetricName":"MillisBehindLatest","Unit":"Milliseconds","Value":0,
        "Dimensions":[{"Name":"ShardId","Value":"shardId-000000000000"},{"Name":"Operation","Value":"ProcessTask"}]}]}"#;
    let answer = send(&broker, "/", JSON, json.as_bytes()).await;
    let received = (answer.status, answer.header("content-type"), answer.body.as_str());
    assert_eq!(received, (200, Some("application/x-amz-json-1.0"), "{}"));

    let labels = r#"{namespace="orders",metric="MillisBehindLatest",unit="Milliseconds",operation="ProcessTask",shard="shardId-000000000000"}"#;
    for (name, value) in [("sum", "132"), ("count", "10"), ("minimum", "0"), ("maximum", "0")] {
        let series = format!("tidelog_application_metric_{name}{labels}");
        assert_eq!(sample(&broker, &series).await.as_deref(), Some(value), "{series}");
    }
    let timed = "tidelog_request_seconds_count{operation=\"PutMetricData\",outcome=\"ok\"}";
    assert_eq!(sample(&broker, timed).await.as_deref(), Some("5"));
    broker.stop().await;
}

#[tokio::test]
async fn wrong_metrics_are_refused_in_the_protocol_of_the_call() {
    let broker = Broker::start().await;
    let form = OF_KCL.replace("Unit=Milliseconds", "Unit=%3CParsec%3E");
    let answer = post_form(&broker, "", &form).await;
    assert_eq!((answer.status, answer.header("content-type")), (400, Some("text/xml")), "{answer:?}");
    assert!(
        answer.body.contains("<ErrorResponse xmlns=\"http://monitoring.amazonaws.com/doc/2010-08-01/\">")
    );
    assert_eq!((tagged(&answer, "Type"), tagged(&answer, "Code")), ("Sender", "InvalidParameterValue"));
    assert!(tagged(&answer, "Message").contains("&lt;Parsec&gt;"), "{answer:?}");

    let answer = send(&broker, "/", JSON, br#"{"MetricData":[]}"#).await;
    assert_eq!((answer.status, answer.header("x-amzn-query-error")), (400, Some("MissingParameter;Sender")));
    let expected =
        r#"{"__type":"MissingRequiredParameterException","message":"The parameter Namespace is required."}"#;
    assert_eq!(answer.body, expected);

    let answer = send(&broker, CBOR_PATH, CBOR, &[0xa0]).await;
    assert_eq!((answer.status, answer.header("content-type")), (400, Some("application/cbor")));
    let named = Codec::Cbor.decode(&answer.bytes).unwrap();
    assert_eq!(named.get("__type"), Some(&"MissingRequiredParameterException".into()));

    for (headers, body) in [(JSON, &b"{"[..]), (CBOR, b"\xff"), (JSON, b"")] {
        let path = if headers == CBOR { CBOR_PATH } else { "/" };
        let answer = send(&broker, path, headers, body).await;
        assert_eq!(answer.status, 400);
        assert!(answer.body.contains("SerializationException"), "{answer:?}");
    }
    let answer = send(&broker, "/", &format!("{JSON}Content-Encoding: br\r\n"), b"{}").await;
    assert!(answer.status == 400 && answer.body.contains("Content-Encoding"), "{answer:?}");
    let page = get(broker.address(), "/metrics").await.body;
    assert!(!page.contains("tidelog_application_metric"), "nothing of a refused call counts");
    broker.assert_well().await;
    broker.stop().await;
}

#[tokio::test]
async fn content_is_bounded_inflated_or_not() {
    let broker = Broker::start().await;
    let bomb = gzip(&vec![b' '; 32 << 20]);
    assert!(bomb.len() < 64 << 10);
    let answer = send(&broker, "/", &format!("{JSON}Content-Encoding: gzip\r\n"), &bomb).await;
    assert_eq!(answer.status, 413, "{answer:?}");
    assert!(
        answer.body.contains("RequestEntityTooLargeException") && answer.body.contains("1048576"),
        "{answer:?}"
    );
    let answer = post_form(&broker, "", &" ".repeat((1 << 20) + 1)).await;
    assert_eq!((answer.status, tagged(&answer, "Code")), (413, "RequestEntityTooLarge"));
    let answer = post_form(&broker, "", &"a&".repeat(70_000)).await;
    assert_eq!((answer.status, tagged(&answer, "Code")), (400, "InvalidParameterValue"));
    let spoilt = &gzip(OF_KCL.as_bytes())[..40];
    let answer = send(&broker, "/", &format!("{FORM}Content-Encoding: gzip\r\n"), spoilt).await;
    assert_eq!((answer.status, tagged(&answer, "Code")), (400, "InvalidParameterValue"));
    broker.assert_well().await;
    broker.stop().await;
}

#[tokio::test]
async fn callers_learn_the_account_that_they_have_for_streams() {
    let broker = Broker::start().await;
    let form = "Action=GetCallerIdentity&Version=2011-06-15";
    for (key, account) in [("123456789012", "123456789012"), ("AKIDEXAMPLE", "000000000000")] {
        let answer = post_form(&broker, &signed(key, "sts"), form).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/xml")), "{answer:?}");
        assert!(answer.body.starts_with(
            "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  <GetCallerIdentityResult>"
        ));
        assert_eq!(tagged(&answer, "Arn"), format!("arn:aws:iam::{account}:root"));
        assert_eq!((tagged(&answer, "UserId"), tagged(&answer, "Account")), (account, account));
        assert_eq!(Some(tagged(&answer, "RequestId")), answer.header("x-amzn-requestid"));
    }
    let answer = post_form(&broker, "", "Action=AssumeRole&Version=2011-06-15&RoleArn=x").await;
    assert_eq!((answer.status, tagged(&answer, "Code")), (400, "InvalidAction"));
    assert!(answer.body.contains("xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\""), "{answer:?}");
    let message = tagged(&answer, "Message");
    let parts = ["GetCallerIdentity of STS", "(AssumeRole)", "AWS_ENDPOINT_URL_STS"];
    assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    broker.stop().await;
}

#[tokio::test]
async fn calls_of_absent_services_are_refused_in_their_form_with_the_variable_to_set() {
    let broker = Broker::start().await;
    let json =
        |target: &str| format!("X-Amz-Target: {target}\r\nContent-Type: application/x-amz-json-1.0\r\n");
    for (target, service, variable) in [
        ("DynamoDBStreams_20120810.ListStreams", "DynamoDB Streams", "AWS_ENDPOINT_URL_DYNAMODB_STREAMS"),
        ("AmazonSQS.SendMessage", "SQS (SendMessage)", "AWS_ENDPOINT_URL_SQS"),
        (
            "GraniteServiceVersion20100801.ListMetrics",
            "PutMetricData of CloudWatch",
            "AWS_ENDPOINT_URL_CLOUDWATCH",
        ),
        ("Unheard_20260101.Of", "this service (Of)", "AWS_ENDPOINT_URL_<SERVICE>"),
    ] {
        let answer = send(&broker, "/", &json(target), b"{}").await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (400, Some("application/x-amz-json-1.0")),
            "{target}"
        );
        assert!(
            answer.body.starts_with(r#"{"__type":"UnknownOperationException","message":"This is Tidelog"#)
        );
        assert!(answer.body.contains(service) && answer.body.contains(variable), "{target}: {answer:?}");
    }
    // Forms: by the version, then by the scope of the credential.
    for (form, scope, variable) in [
        ("Action=ListTopics&Version=2010-03-31", "sns", "AWS_ENDPOINT_URL_SNS"),
        ("Action=GetMetricStatistics&Version=2010-08-01", "monitoring", "AWS_ENDPOINT_URL_CLOUDWATCH"),
        ("Action=Other&Version=1", "iam", "AWS_ENDPOINT_URL_IAM"),
        ("Action=GetCallerIdentity&Version=1", "other", "AWS_ENDPOINT_URL_&lt;SERVICE&gt;"),
    ] {
        let answer = post_form(&broker, &signed("a", scope), form).await;
        assert_eq!((answer.status, tagged(&answer, "Code")), (400, "InvalidAction"), "{form}");
        assert!(tagged(&answer, "Message").contains(variable), "{form}: {answer:?}");
    }
    let answer =
        send(&broker, "/service/GraniteServiceVersion20100801/operation/GetMetricData", CBOR, &[0xa0]).await;
    let refused = Codec::Cbor.decode(&answer.bytes).unwrap();
    assert_eq!((answer.status, refused.get("__type")), (400, Some(&"UnknownOperationException".into())));
    // Paths of services that have no target.
    for (scope, content_type, part) in [
        ("lambda", "application/x-amz-json-1.0", "AWS_ENDPOINT_URL_LAMBDA"),
        ("s3", "text/xml", "AWS_ENDPOINT_URL_S3"),
    ] {
        let answer = send(&broker, "/2015-03-31/functions/f/invocations", &signed("a", scope), b"").await;
        assert_eq!((answer.status, answer.header("content-type")), (404, Some(content_type)));
        assert!(answer.body.contains(part), "{answer:?}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn kinesis_answers_what_it_always_did() {
    let broker = Broker::start().await;
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let targeted = format!("{form}X-Amz-Target: Kinesis_20131202.ListStreams\r\n");
    for (path, headers, status, part) in [
        ("/", targeted.as_str(), 403, "<AccessDeniedException>"),
        ("/", form, 404, "<UnknownOperationException/>"),
        (
            "/",
            "X-Amz-Target: ListStreams\r\nContent-Type: application/x-amz-json-1.1\r\n",
            400,
            "UnknownOperation",
        ),
        ("/elsewhere", "", 404, "NotFound"),
    ] {
        let answer = send(&broker, path, headers, b"{}").await;
        assert!(answer.status == status && answer.body.contains(part), "{headers}: {answer:?}");
    }
    broker.stop().await;
}
