use super::*;

/// A member of a map: its name, its kind, its payload.
fn member(name: &str, kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, name.as_bytes());
    out.push(kind);
    put_bytes(&mut out, payload);
    out
}

fn item(json: &str) -> Item {
    Item::from_json(json.as_bytes()).unwrap_or_else(|fault| panic!("{json}: {fault}"))
}

#[test]
fn values_have_one_encoding() {
    let is_read = |bytes: &[u8]| Item::decode(bytes).is_ok();
    let (a, b) = (member("a", 1, b"x"), member("b", 5, b""));
    assert!(is_read(&[a.clone(), b.clone()].concat()));
    assert!(!is_read(&[b, a.clone()].concat()), "names in order");
    assert!(!is_read(&[a.clone(), a].concat()), "a name once");
    for (kind, payload) in [
        (0, &b""[..]),
        (1, b"\xff"),
        (2, b""),
        (2, b"\x02\x05\x01"),
        (4, b""),
        (4, b"\x02"),
        (5, b"x"),
        (7, b"\x01"),
        (8, b""),
        (8, b"\x01b\x01a"),
        (8, b"\x01a\x01a"),
        (8, b"\x01\xff"),
        (9, b"\x01\x09"),
        (11, b""),
    ] {
        assert!(!is_read(&member("a", kind, payload)), "{kind} {payload:?}");
    }
    for (kind, payload) in
        [(3, &b"\xff"[..]), (4, b"\x01"), (6, b""), (7, b""), (8, b"\x01a\x01b"), (10, b"\x00\x01a")]
    {
        assert!(is_read(&member("a", kind, payload)), "{kind} {payload:?}");
    }
    let nested = |levels: usize| {
        (1..levels).fold(vec![7, 0], |inner, _| {
            let mut out = vec![7];
            put_bytes(&mut out, &inner);
            out
        })
    };
    let in_item = |value: &[u8]| [&[1, b'a'], value].concat();
    assert!(is_read(&in_item(&nested(DEPTH_MAX))));
    assert!(!is_read(&in_item(&nested(DEPTH_MAX + 1))));
}

#[test]
fn sizes_are_those_that_dynamodb_counts() {
    for (json, size) in [
        (r#"{}"#, 0),
        (r#"{"é":{"S":"é"}}"#, 4),
        (r#"{"a":{"N":"0"}}"#, 2),
        (r#"{"a":{"N":"123"}}"#, 4),
        (r#"{"a":{"N":"-123"}}"#, 5),
        (r#"{"a":{"B":"AAEC"}}"#, 4),
        (r#"{"a":{"BOOL":true}}"#, 2),
        (r#"{"a":{"NULL":true}}"#, 2),
        (r#"{"a":{"L":[]}}"#, 4),
        (r#"{"a":{"L":[{"S":"xy"}]}}"#, 7),
        (r#"{"a":{"M":{"bc":{"S":"xy"}}}}"#, 9),
        (r#"{"a":{"SS":["xy","z"]}}"#, 4),
        (r#"{"a":{"NS":["1","23"]}}"#, 5),
    ] {
        let item = item(json);
        assert_eq!(item.size(), size, "{json}");
        assert!(!item.is_above(size) && (size == 0 || item.is_above(size - 1)), "{json}");
    }
    let lists = (1..31).fold(r#"{"L":[]}"#.to_owned(), |inner, _| format!(r#"{{"L":[{inner}]}}"#));
    let item = item(&format!(r#"{{"a":{lists}}}"#));
    assert!(item.is_above(item.size() - 1), "the quick look at its bytes misses none");
}

#[test]
fn changes_are_made_in_one_pass() {
    let old = item(r#"{"b":{"S":"1"},"d":{"S":"2"},"f":{"S":"3"}}"#);
    let value = Value::text("new");
    let changes: Changes<'_> = [
        ("a", Change::To(value.as_ref())),
        ("b", Change::Removed),
        ("c", Change::Made(value.clone())),
        ("d", Change::To(value.as_ref())),
        ("e", Change::Removed),
        ("g", Change::To(value.as_ref())),
    ]
    .into();
    let expected = r#"{"a":{"S":"new"},"c":{"S":"new"},"d":{"S":"new"},"f":{"S":"3"},"g":{"S":"new"}}"#;
    assert_eq!(old.with(&changes), item(expected));
    assert_eq!(old.with(&Changes::new()), old);
    assert_eq!(old.only(|name| name != "d"), item(r#"{"b":{"S":"1"},"f":{"S":"3"}}"#));
    assert_eq!((old.text("d"), old.text("e")), (Some("2"), None));
}
