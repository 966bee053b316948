//! Bytes that RFC 8949 gives (appendix A), what AWS's SDKs make of an instant, and everything that must be refused.

use super::*;

/// From hexadecimal digits; spaces are for the eye.
fn bytes(text: &str) -> Bytes {
    let digits = text.bytes().filter(|byte| *byte != b' ').collect::<Vec<_>>();
    let pair = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

fn text(value: &str) -> Document {
    Document::Text(value.to_owned())
}

fn integers(values: &[i64]) -> Document {
    Document::List(values.iter().copied().map(Document::Integer).collect())
}

#[test]
fn the_examples_of_the_rfc_are_read() {
    use Document::{Bool, Double, Integer, Null};
    let nested = |inner: &[i64]| Document::List(vec![Integer(1), integers(&[2, 3]), integers(inner)]);
    let map = || Document::structure([("a", Integer(1)), ("b", integers(&[2, 3]))]);
    for (encoded, expected) in [
        ("00", Integer(0)),
        ("17", Integer(23)),
        ("1818", Integer(24)),
        ("1903e8", Integer(1_000)),
        ("1a000f4240", Integer(1_000_000)),
        ("1b000000e8d4a51000", Integer(1_000_000_000_000)),
        ("1bffffffffffffffff", Double(18_446_744_073_709_551_615.0)),
        ("3bffffffffffffffff", Double(-18_446_744_073_709_551_616.0)),
        ("20", Integer(-1)),
        ("3903e7", Integer(-1_000)),
        ("3b7fffffffffffffff", Integer(i64::MIN)),
        ("f90000", Double(0.0)),
        ("f93c00", Double(1.0)),
        ("f97bff", Double(65_504.0)),
        ("f90001", Double(5.960_464_477_539_063e-8)),
        ("f9c400", Double(-4.0)),
        ("fa47c35000", Double(100_000.0)),
        ("fb3ff199999999999a", Double(1.1)),
        ("fb7e37e43c8800759c", Double(1.0e300)),
        ("f97c00", Double(f64::INFINITY)),
        ("f4", Bool(false)),
        ("f5", Bool(true)),
        ("f6", Null),
        ("f7", Null),
        ("c074323031332d30332d32315432303a30343a30305a", text("2013-03-21T20:04:00Z")),
        ("c249010000000000000000", Document::Blob(bytes("010000000000000000"))),
        ("40", Document::Blob(Bytes::new())),
        ("4401020304", Document::Blob(bytes("01020304"))),
        ("60", text("")),
        ("6161", text("a")),
        ("62225c", text("\"\\")),
        ("64f0908591", text("\u{10151}")),
        ("80", integers(&[])),
        ("83010203", integers(&[1, 2, 3])),
        ("8301820203820405", nested(&[4, 5])),
        ("a0", Document::Map(vec![])),
        ("a26161016162820203", map()),
        ("5f42010243030405ff", Document::Blob(bytes("0102030405"))),
        ("7f657374726561646d696e67ff", text("streaming")),
        ("9fff", integers(&[])),
        ("9f018202039f0405ffff", nested(&[4, 5])),
        ("83019f0203ff820405", nested(&[4, 5])),
        ("bf61610161629f0203ffff", map()),
        ("bf 7f 6161 ff 01 6162820203 ff", map()),
    ] {
        assert_eq!(decode(&bytes(encoded)), Ok(expected), "{encoded}");
    }
}

#[test]
fn an_instant_is_tag_1_and_milliseconds() {
    for (encoded, value_ms) in [
        ("c1 1b0000018bcfe56807", 1_700_000_000_007),
        ("c1 fb4278bcfe56807000", 1_700_000_000_007),
        ("c1 fb3ff8000000000000", 2),
        ("c1 20", -1),
        ("c1 d9d9f7 00", 0),
    ] {
        assert_eq!(decode(&bytes(encoded)), Ok(Document::Timestamp(value_ms)), "{encoded}");
    }
    assert_eq!(encode(&Document::Timestamp(1_700_000_000_007)), bytes("c1 1b0000018bcfe56807"));
    assert_eq!(decode(&bytes("c1 6161")), Ok(text("a")));
}

#[test]
fn every_kind_is_written_in_its_shortest_form() {
    let document = Document::structure([
        ("b", true.into()),
        ("i", Document::Integer(-7)),
        ("d", Document::Double(0.5)),
        ("x", Document::Blob(Bytes::from_static(b"\xff\x00"))),
        ("l", vec![Document::Null, Document::List(vec![]), "é".into()].into()),
    ]);
    let expected = "a5 6162f5 616926 6164fb3fe0000000000000 617842ff00 616c83f68062c3a9";
    assert_eq!(encode(&document), bytes(expected));
}

#[test]
fn a_body_that_is_not_one_document_is_refused() {
    for encoded in [
        "",
        "ff",
        "a1",
        "a161",
        "a16161",
        "a1616101 00",
        "8201",
        "9f01",
        "bf616101",
        "bf6161ff",
        "1c",
        "fc",
        "fe",
        "e0",
        "f818",
        "f800",
        "a10101",
        "a1 4161 01",
        "a1f601",
        "61ff",
        "7f61ffff",
        "7f4161ff",
        "5f6161ff",
        "7f7f6161ffff",
        "c1",
        "5c",
        "dfff",
        "1f",
    ] {
        assert_eq!(decode(&bytes(encoded)), Err(Unreadable), "{encoded}");
    }
}

#[test]
fn a_length_that_is_only_announced_costs_nothing() {
    for head in ["9b", "bb", "5b", "7b", "5f5b", "7f7b"] {
        for length in ["7fffffffffffffff", "ffffffffffffffff", "0000000100000000"] {
            assert_eq!(decode(&bytes(&format!("{head}{length}"))), Err(Unreadable), "{head}{length}");
        }
    }
}

#[test]
fn depth_and_values_are_bounded() {
    let nested = |head: &str, depth: usize| bytes(&(head.repeat(depth) + "00"));
    for head in ["81", "a16161", "c1"] {
        assert!(decode(&nested(head, DEPTH_MAX)).is_ok());
        assert_eq!(decode(&nested(head, DEPTH_MAX + 1)), Err(Unreadable));
        assert_eq!(decode(&nested(head, 1_000_000)), Err(Unreadable));
    }
    let list = |elements: usize| Bytes::from([&[0x9f][..], &vec![0xf6; elements], &[0xff]].concat());
    assert!(decode(&list(VALUES_MAX - 1)).is_ok());
    assert_eq!(decode(&list(VALUES_MAX)), Err(Unreadable));
    let map = |members: usize| bytes(&format!("bf{}ff", "616100".repeat(members)));
    assert!(decode(&map(MEMBERS_MAX)).is_ok());
    assert_eq!(decode(&map(MEMBERS_MAX + 1)), Err(Unreadable));
}

#[test]
fn a_document_shares_the_memory_of_its_body() {
    let body = bytes("a1 6161 43010203");
    let document = decode(&body).unwrap();
    let Some(Document::Blob(blob)) = document.get("a") else { panic!("a blob: {document:?}") };
    assert!(body.as_ptr_range().contains(&blob.as_ptr()));
}
