//! The template of `tail --format`: text with the parts of a record in braces.

use base64_simd::STANDARD;

use super::show::{Shown, line_of, visible};
use crate::command::shards::short;
use crate::command::time;

/// Names that may stand in braces, as the help and the error list them.
const NAMES: &str = "{time}, {stream}, {shard}, {sequence_number}, {part}, {key}, {data} and {base64}";

/// A template, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::command) struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(Field),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Time,
    Stream,
    Shard,
    SequenceNumber,
    Part,
    Key,
    Data,
    Base64,
}

impl Template {
    /// Reads a template. `{{` and `}}` are braces; `\n`, `\t` and `\\` are as in a shell's `printf`.
    pub(in crate::command) fn parse(text: &str) -> Result<Self, String> {
        let (mut pieces, mut plain) = (Vec::new(), String::new());
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            match (letter, letters.peek()) {
                ('{', Some('{')) | ('}', Some('}')) => plain.extend(letters.next()),
                ('{', _) => {
                    let rest: String = letters.clone().collect();
                    let Some((name, _)) = rest.split_once('}') else {
                        return Err("a `{` is not closed: write {{ for a brace".into());
                    };
                    letters.nth(name.chars().count());
                    let field = field(name).ok_or_else(|| {
                        format!("`{{{name}}}` is no part of a record: there are {NAMES}; {{{{ is a brace")
                    })?;
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    pieces.push(Piece::Field(field));
                }
                ('}', _) => return Err("a `}` stands alone: write }} for a brace".into()),
                ('\\', Some('n' | 't' | '\\')) => plain.extend(letters.next().map(|code| match code {
                    'n' => '\n',
                    't' => '\t',
                    other => other,
                })),
                (other, _) => plain.push(other),
            }
        }
        pieces.push(Piece::Text(plain));
        Ok(Self(pieces))
    }

    /// The record's line, with its end.
    pub(super) fn written(&self, shown: &Shown) -> String {
        let mut line = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => line.push_str(text),
                Piece::Field(field) => line.push_str(&value(*field, shown)),
            }
        }
        line.push('\n');
        line
    }
}

fn field(name: &str) -> Option<Field> {
    Some(match name {
        "time" => Field::Time,
        "stream" => Field::Stream,
        "shard" => Field::Shard,
        "sequence_number" => Field::SequenceNumber,
        "part" => Field::Part,
        "key" => Field::Key,
        "data" => Field::Data,
        "base64" => Field::Base64,
        _ => return None,
    })
}

fn value(field: Field, shown: &Shown) -> String {
    match field {
        Field::Time => time::written(shown.arrival),
        Field::Stream => shown.stream.as_deref().unwrap_or_default().to_owned(),
        Field::Shard => short(&shown.shard).to_owned(),
        Field::SequenceNumber => shown.sequence_number.clone(),
        Field::Part => shown.part.map(|part| part.to_string()).unwrap_or_default(),
        Field::Key => visible(&shown.key),
        Field::Data => line_of(&shown.data),
        Field::Base64 => STANDARD.encode_to_string(&shown.data),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidelog_kinesis::Timestamp;

    #[test]
    fn a_template_places_each_part_of_a_record() {
        let shown = Shown {
            stream: Some("clicks".into()),
            shard: "shardId-000000000007".into(),
            sequence_number: "4960".into(),
            part: Some(2),
            arrival: Timestamp(1_772_366_400_123),
            key: "ada\u{1b}".into(),
            hash_key: None,
            data: "one\ntwo".into(),
        };
        let cases = [
            ("{time} {shard} {key} {data}", "2026-03-01T12:00:00.123Z 7 ada\\u{1b} one\\ntwo\n"),
            ("{{{stream}}}\\t{part}\\\\{sequence_number}", "{clicks}\t2\\4960\n"),
            ("{base64}", "b25lCnR3bw==\n"),
            ("", "\n"),
        ];
        for (text, expected) in cases {
            let template = Template::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(template.written(&shown), expected, "{text}");
        }
    }

    #[test]
    fn a_wrong_template_is_refused_with_the_names_that_there_are() {
        for (text, expected) in [
            ("{keys}", "`{keys}` is no part of a record: there are {time}"),
            ("{}", "`{}` is no part"),
            ("a}", "stands alone"),
            ("{key", "is not closed"),
        ] {
            let error = Template::parse(text).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
