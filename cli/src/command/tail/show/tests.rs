//! Records in each form, and aggregated ones from the bytes as KPL writes them.

use super::*;
use tidelog_kinesis::Blob;

fn record(data: &[u8]) -> Record {
    Record {
        sequence_number: "4960".into(),
        approximate_arrival_timestamp: Timestamp(1_772_366_400_123),
        data: Blob(Bytes::copy_from_slice(data)),
        partition_key: "ada".into(),
    }
}

fn shown(data: &[u8], form: &Form) -> String {
    let parts = Shown::parts("shardId-000000000007", &record(data), None);
    String::from_utf8_lossy(&parts.iter().flat_map(|part| written(part, form)).collect::<Vec<_>>())
        .into_owned()
}

const PIPE: Form = Form::Human(Screen { has_colour: false, is_terminal: false, width: None });
const NO_COLOUR: Form = Form::Human(Screen { has_colour: false, is_terminal: true, width: Some(80) });
const TERMINAL: Form = Form::Human(Screen { has_colour: true, is_terminal: true, width: Some(80) });

#[test]
fn each_form_shows_text_json_and_bytes() {
    let head = "2026-03-01T12:00:00.123Z  7  ada  ";
    let object = b"{\"b\":[1,\"x\"],\"a\":{}}";
    let cases: [(&[u8], Form, String); 9] = [
        (b"hello", PIPE, format!("{head}hello\n")),
        (object, PIPE, format!("{head}{{\"b\":[1,\"x\"],\"a\":{{}}}}\n")),
        (b"\xff\x00", PIPE, format!("{head}base64:/wA=\n")),
        (b"\x1b[2J\nx", PIPE, format!("{head}\\u{{1b}}[2J\\nx\n")),
        (b"{\"b\":[1,\"x\"]}", NO_COLOUR, format!("{head}{{\n  \"b\": [\n    1,\n    \"x\"\n  ]\n}}\n")),
        (b"\xff\x00\n", Form::Raw, String::from_utf8_lossy(b"\xff\x00\n\n").into_owned()),
        (
            b"{\"b\":1}",
            TERMINAL,
            "\u{1b}[90m2026-03-01T12:00:00.123Z  7\u{1b}[0m  \u{1b}[36mada\u{1b}[0m  \
             {\n  \u{1b}[36m\"b\"\u{1b}[0m: \u{1b}[33m1\u{1b}[0m\n}\n"
                .into(),
        ),
        (
            b"{\"b\":1}",
            Form::Json,
            "{\"arrival\":\"2026-03-01T12:00:00.123Z\",\"key\":\"ada\",\"sequence_number\":\"4960\",\
             \"shard\":\"shardId-000000000007\",\"data\":{\"b\":1}}\n"
                .into(),
        ),
        (
            b"\xff",
            Form::Json,
            "{\"arrival\":\"2026-03-01T12:00:00.123Z\",\"data_base64\":\"/w==\",\"key\":\"ada\",\
             \"sequence_number\":\"4960\",\"shard\":\"shardId-000000000007\"}\n"
                .into(),
        ),
    ];
    for (data, form, expected) in cases {
        assert_eq!(shown(data, &form), expected, "{form:?}");
    }
}

/// Two records, of the keys `a` and `b`, as KPL writes them; the digest is the MD5 of the message.
const AGGREGATED: &[u8] = b"\xf3\x89\x9a\xc2\
    \x0a\x01a\x0a\x01b\
    \x1a\x07\x08\x00\x1a\x03one\
    \x1a\x07\x08\x01\x1a\x03two\
    \x78\x96\x62\x6e\x4b\x54\x75\x0e\x07\xfc\xfe\xb4\x58\xe8\xa3\x7e";

#[test]
fn an_aggregated_record_is_shown_in_its_parts() {
    assert_eq!(
        shown(AGGREGATED, &PIPE),
        "2026-03-01T12:00:00.123Z  7/0  a  one\n2026-03-01T12:00:00.123Z  7/1  b  two\n"
    );
    // MD5 of `a` begins with 0c, that of `b` with 92.
    let lower = 0..=u128::MAX / 2;
    let parts = Shown::parts("shardId-000000000007", &record(AGGREGATED), Some(&lower));
    assert_eq!(parts.iter().map(|part| (part.part, part.key.as_str())).collect::<Vec<_>>(), [(Some(0), "a")]);
    let mut damaged = AGGREGATED.to_vec();
    damaged[20] ^= 1;
    assert_eq!(Shown::parts("7", &record(&damaged), None)[0].part, None);
}

#[test]
fn json_never_changes_a_record() {
    for text in ["{\"b\":18446744073709551617,\"a\":1e400,\"a\":1.50}", "[1.0, 2]", "{}"] {
        assert!(shown(text.as_bytes(), &Form::Json).ends_with(&format!(",\"data\":{text}}}\n")), "{text}");
    }
    // Texts that are no object or array on a line come as strings, so that none is taken for another.
    for text in ["{\"a\":\n1}", " {}", "{} ", "\"x\"", "x", "12", "null", "{", "[1]2]", "{\"a\":\"\r\"}"] {
        let line = shown(text.as_bytes(), &Form::Json);
        let object: Value = serde_json::from_str(&line).expect("an object");
        assert_eq!((object["data"].as_str(), line.matches('\n').count()), (Some(text), 1), "{line}");
    }
}
