//! Requests made from the service model: a valid one of each operation, and values that break each bound of it.
//!
//! An addition to the model is covered without a change here, except that a new pattern needs a sample.

use serde_json::Value;
use tidelog_proto::Document;

/// Texts that patterns take, and a character that breaks them when it stands behind.
const SAMPLES: [(&str, &str, char); 20] = [
    (r"[a-zA-Z0-9_.-]+", "a", ' '),
    (r"[a-zA-Z0-9\.\_]+", "a", '-'),
    (r"[0-9a-z_]+", "a", 'A'),
    (r"[\.\-_/#A-Za-z0-9]+", "a", ' '),
    (r"[^:*]*", "a", ':'),
    (r"[0-9A-Za-z!\-_'.*()\/]+", "a", ' '),
    (r"[0-9A-Za-z!\-_'.*()\/=:{}]+", "a", ' '),
    (r"[a-z0-9]{20}-[a-z0-9]{3}", "abcdefghij0123456789-abc", 'd'),
    (r"\d{12}", "123456789012", '3'),
    (r"^(0|([1-9]\d{0,38}))$", "7", 'x'),
    (r"^(0|([1-9]\d{0,128}))$", "7", 'x'),
    (r"arn:aws.*:kinesis:.*:\d{12}:stream/\S+", STREAM_ARN, ' '),
    (r"arn:aws.*:kinesis:.*:\d{12}:channel/\S+", "arn:aws:kinesis:us-east-1:000000000000:channel/a", ' '),
    (r"arn:aws.*:kinesis:.*:\d{12}:queue/\S+", "arn:aws:kinesis:us-east-1:000000000000:queue/a", ' '),
    (r"arn:aws.*:kinesis:.*:\d{12}:.*(stream|channel|queue)/\S+", STREAM_ARN, ' '),
    (
        r"^(arn):aws.*:kinesis:.*:\d{12}:.*stream\/[a-zA-Z0-9_.-]+\/consumer\/[a-zA-Z0-9_.-]+:[0-9]+",
        "arn:aws:kinesis:us-east-1:000000000000:stream/a/consumer/b:1",
        'x',
    ),
    (r"arn:aws[-a-z0-9]*:s3:::[a-z0-9._-]{3,63}", "arn:aws:s3:::bucket", '/'),
    (
        r"arn:aws[-a-z0-9]*:s3tables:[-a-z0-9]+:\d{12}:bucket/[a-z0-9_-]{3,63}",
        "arn:aws:s3tables:us-east-1:000000000000:bucket/tables",
        '/',
    ),
    (
        r"arn:aws[-a-z0-9]*:glue:[-a-z0-9]+:\d{12}:schema/[-a-zA-Z0-9_$#.]+/[-a-zA-Z0-9_$#.]+",
        "arn:aws:glue:us-east-1:000000000000:schema/a/b",
        '/',
    ),
    (r"arn:aws[-a-z0-9]*:iam::\d{12}:role/[a-zA-Z_0-9+=,.@\-_/]+", "arn:aws:iam::000000000000:role/a", ' '),
];
/// The stream that ARNs of the samples name.
const STREAM_ARN: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/a";

/// A request that breaks a bound.
#[derive(Clone, Debug)]
pub struct Broken {
    pub request: Document,
    /// Such as `records.1.member.data`.
    pub path: String,
    /// The constraint in AWS's words.
    pub constraint: String,
}

impl Broken {
    fn new(request: Document, path: &str, constraint: impl Into<String>) -> Self {
        Self { request, path: path.to_owned(), constraint: constraint.into() }
    }

    /// Puts the broken value into the value that contains it.
    fn within(self, wrap: impl Fn(Document) -> Document) -> Self {
        Self { request: wrap(self.request), ..self }
    }
}

pub struct Model {
    model: Value,
}

impl Model {
    pub fn read() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/service-model.json");
        let text = std::fs::read_to_string(path).expect("the service model");
        Self { model: serde_json::from_str(&text).expect("JSON") }
    }

    /// Every operation, and the name of its input's shape.
    pub fn operations(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let operations = self.model["operations"].as_object().expect("operations by name");
        operations.iter().map(|(name, operation)| (name.as_str(), operation["input"].as_str()))
    }

    /// The members of an operation's request: names and shapes.
    pub fn members(&self, operation: &str) -> Vec<(&str, &str)> {
        self.model["operations"][operation]["input"].as_str().map_or_else(Vec::new, |input| self.parts(input))
    }

    /// The request with all that is required and nothing else.
    pub fn request(&self, operation: &str) -> Document {
        let input = self.model["operations"][operation]["input"].as_str();
        input.map_or_else(|| Document::Map(vec![]), |input| self.valid(input))
    }

    /// Every request that breaks one bound of the model by one.
    pub fn broken(&self, operation: &str) -> Vec<Broken> {
        let input = self.model["operations"][operation]["input"].as_str();
        input.map_or_else(Vec::new, |input| self.broken_structure(input, ""))
    }

    /// Every request with that value in one place, wherever `is_taken` says of the type of a place that it does not
    /// belong there.
    pub fn mistyped(
        &self,
        operation: &str,
        value: &Document,
        is_taken: &dyn Fn(&str) -> bool,
    ) -> Vec<Document> {
        let input = self.model["operations"][operation]["input"].as_str();
        input.map_or_else(Vec::new, |input| self.mistyped_inside(input, value, is_taken))
    }

    fn mistyped_inside(
        &self,
        shape: &str,
        value: &Document,
        is_taken: &dyn Fn(&str) -> bool,
    ) -> Vec<Document> {
        let at = |part: &str| {
            let itself = (!is_taken(self.kind(part))).then(|| value.clone());
            itself.into_iter().chain(self.mistyped_inside(part, value, is_taken)).collect::<Vec<_>>()
        };
        match self.kind(shape) {
            "structure" => {
                let member = |(name, part)| {
                    at(part).into_iter().map(move |inner| replaced(self.valid(shape), name, Some(inner)))
                };
                self.parts(shape).into_iter().flat_map(member).collect()
            }
            "list" => at(self.part(shape, "member")).into_iter().map(|inner| vec![inner].into()).collect(),
            "map" => {
                let entry = |inner| Document::Map(vec![("a".into(), inner)]);
                at(self.part(shape, "value")).into_iter().map(entry).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The type of a shape, such as `string`.
    fn kind(&self, shape: &str) -> &str {
        self.model["shapes"][shape]["type"].as_str().unwrap_or_else(|| panic!("{shape} is no shape"))
    }

    /// A document as JSON gives it with the instants and bytes that the members of that shape are.
    pub fn typed(&self, shape: &str, document: Document) -> Document {
        match (self.kind(shape), document) {
            ("structure", Document::Map(members)) => {
                let shapes = self.parts(shape);
                let typed = |(name, value): (std::borrow::Cow<'static, str>, Document)| {
                    let shape = shapes.iter().find(|(member, _)| *member == name);
                    let (_, shape) = shape.unwrap_or_else(|| panic!("no member {name}"));
                    (name, self.typed(shape, value))
                };
                Document::Map(members.into_iter().map(typed).collect())
            }
            ("list", Document::List(elements)) => {
                let element = self.part(shape, "member");
                Document::List(elements.into_iter().map(|value| self.typed(element, value)).collect())
            }
            ("blob", Document::Text(text)) => {
                Document::Blob(base64_simd::STANDARD.decode_to_vec(text).expect("base64").into())
            }
            ("timestamp", Document::Integer(seconds)) => Document::Timestamp(seconds * 1_000),
            (_, document) => document,
        }
    }

    fn shape(&self, name: &str) -> &Value {
        &self.model["shapes"][name]
    }

    fn part(&self, shape: &str, part: &str) -> &str {
        self.shape(shape)[part].as_str().unwrap_or_else(|| panic!("{shape} has no {part}"))
    }

    fn parts(&self, shape: &str) -> Vec<(&str, &str)> {
        let members = self.shape(shape)["members"].as_object().into_iter().flatten();
        members.map(|(name, shape)| (name.as_str(), shape.as_str().expect("the name of a shape"))).collect()
    }

    fn is_required(&self, shape: &str, member: &str) -> bool {
        let required = self.shape(shape)["required"].as_array();
        required.is_some_and(|required| required.iter().any(|name| name == member))
    }

    fn bound(&self, shape: &str, side: &str) -> Option<i64> {
        self.shape(shape)[side].as_i64()
    }

    fn sample(&self, shape: &str) -> Option<&'static (&'static str, &'static str, char)> {
        let pattern = self.shape(shape)["pattern"].as_str()?;
        let found = SAMPLES.iter().find(|(own, ..)| *own == pattern);
        Some(found.unwrap_or_else(|| panic!("the pattern {pattern} needs a sample")))
    }

    /// A value within all bounds.
    fn valid(&self, shape: &str) -> Document {
        match self.kind(shape) {
            "string" => {
                let choice = self.shape(shape)["enum"][0].as_str();
                let sample = self.sample(shape).map(|(_, sample, _)| *sample);
                choice.or(sample).unwrap_or("a").into()
            }
            "integer" => Document::Integer(self.bound(shape, "min").unwrap_or(1)),
            "boolean" => false.into(),
            "timestamp" => Document::Timestamp(1_700_000_000_000),
            "blob" => Document::Blob(bytes::Bytes::from_static(b"hi")),
            "list" => vec![self.valid(self.part(shape, "member"))].into(),
            "map" => Document::Map(vec![("a".into(), self.valid(self.part(shape, "value")))]),
            _ => {
                let required =
                    self.parts(shape).into_iter().filter(|(name, _)| self.is_required(shape, name));
                Document::Map(
                    required.map(|(name, part)| (name.to_owned().into(), self.valid(part))).collect(),
                )
            }
        }
    }

    fn broken_value(&self, shape: &str, path: &str) -> Vec<Broken> {
        match self.kind(shape) {
            "string" => self.broken_text(shape, path),
            "integer" => self.broken_number(shape, path),
            "blob" => {
                let sized = |length: usize| Document::Blob(vec![0; length].into());
                self.broken_length(shape, path, sized)
            }
            "structure" => self.broken_structure(shape, &format!("{path}.")),
            "list" => self.broken_list(shape, path),
            "map" => self.broken_map(shape, path),
            _ => Vec::new(),
        }
    }

    /// One too short and one too long, unless it has no such bound.
    fn broken_length(&self, shape: &str, path: &str, sized: impl Fn(usize) -> Document) -> Vec<Broken> {
        let min = self.bound(shape, "min").filter(|min| *min > 0).map(|min| {
            let constraint = format!("Member must have length greater than or equal to {min}");
            Broken::new(sized(min as usize - 1), path, constraint)
        });
        let max = self.bound(shape, "max").map(|max| {
            let constraint = format!("Member must have length less than or equal to {max}");
            Broken::new(sized(max as usize + 1), path, constraint)
        });
        min.into_iter().chain(max).collect()
    }

    fn broken_text(&self, shape: &str, path: &str) -> Vec<Broken> {
        let mut broken = self.broken_length(shape, path, |length| "a".repeat(length).into());
        if let Some((pattern, sample, breaking)) = self.sample(shape) {
            // AWS writes the pattern without the anchors and the group around some of them.
            let pattern =
                pattern.strip_prefix("^(").and_then(|text| text.strip_suffix(")$")).unwrap_or(pattern);
            let constraint = format!("Member must satisfy regular expression pattern: {pattern}");
            broken.push(Broken::new(format!("{sample}{breaking}").into(), path, constraint));
        }
        if let Some(choices) = self.shape(shape)["enum"].as_array() {
            let choices = choices.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
            let constraint = format!("Member must satisfy enum value set: [{choices}]");
            broken.push(Broken::new("NONE_OF_THEM".into(), path, constraint));
        }
        broken
    }

    fn broken_number(&self, shape: &str, path: &str) -> Vec<Broken> {
        let min = self.bound(shape, "min").map(|min| {
            let constraint = format!("Member must have value greater than or equal to {min}");
            Broken::new(Document::Integer(min - 1), path, constraint)
        });
        let max = self.bound(shape, "max").map(|max| {
            let constraint = format!("Member must have value less than or equal to {max}");
            Broken::new(Document::Integer(max + 1), path, constraint)
        });
        min.into_iter().chain(max).collect()
    }

    fn broken_list(&self, shape: &str, path: &str) -> Vec<Broken> {
        let element = self.part(shape, "member");
        let mut broken = self.broken_length(shape, path, |length| vec![self.valid(element); length].into());
        let elements = match (self.kind(element), self.bound(element, "max")) {
            ("string", Some(_)) => self.broken_inner_length(element, "Member", path),
            _ => self.broken_value(element, &format!("{path}.1.member")),
        };
        broken.extend(elements.into_iter().map(|inner| inner.within(|value| vec![value].into())));
        broken
    }

    fn broken_map(&self, shape: &str, path: &str) -> Vec<Broken> {
        let (key, value) = (self.part(shape, "key"), self.part(shape, "value"));
        let entry = |key: String| (key.into(), self.valid(value));
        let sized = |length: usize| Document::Map((0..length).map(|n| entry(n.to_string())).collect());
        let mut broken = self.broken_length(shape, path, sized);
        let keys = self.broken_inner_length(key, "Map keys", path).into_iter();
        broken.extend(keys.map(|inner| {
            inner.within(|key| match key {
                Document::Text(key) => Document::Map(vec![entry(key)]),
                other => panic!("a key is a text: {other:?}"),
            })
        }));
        let values = self.broken_inner_length(value, "Map value", path).into_iter();
        broken.extend(values.map(|inner| inner.within(|value| Document::Map(vec![("a".into(), value)]))));
        broken
    }

    /// Texts of wrong lengths within a list or a map, which AWS reports for the whole of it.
    fn broken_inner_length(&self, shape: &str, what: &str, path: &str) -> Vec<Broken> {
        let (min, max) = (self.bound(shape, "min").unwrap_or(0), self.bound(shape, "max").expect("a bound"));
        let constraint = format!(
            "{what} must satisfy constraint: [Member must have length less than or equal to {max}, Member must have \
             length greater than or equal to {min}]"
        );
        let lengths = min.checked_sub(1).filter(|length| *length >= 0).into_iter().chain([max + 1]);
        let broken = |length: i64| Broken::new("a".repeat(length as usize).into(), path, &*constraint);
        lengths.map(broken).collect()
    }

    /// Every member broken in every way, and every required one missing.
    fn broken_structure(&self, shape: &str, prefix: &str) -> Vec<Broken> {
        let mut broken = Vec::new();
        for (name, part) in self.parts(shape) {
            let path = format!("{prefix}{}", lower_camel(name));
            let with = |value| replaced(self.valid(shape), name, Some(value));
            broken.extend(self.broken_value(part, &path).into_iter().map(|inner| inner.within(with)));
            if self.is_required(shape, name) {
                let without = replaced(self.valid(shape), name, None);
                broken.push(Broken::new(without, &path, "Member must not be null"));
            }
        }
        broken
    }
}

/// A structure with another value for a member, or without it.
pub fn replaced(structure: Document, name: &str, value: Option<Document>) -> Document {
    let Document::Map(mut members) = structure else { panic!("a structure") };
    members.retain(|(member, _)| member != name);
    members.extend(value.map(|value| (name.to_owned().into(), value)));
    Document::Map(members)
}

fn lower_camel(name: &str) -> String {
    let (first, rest) = name.split_at(1);
    first.to_ascii_lowercase() + rest
}
