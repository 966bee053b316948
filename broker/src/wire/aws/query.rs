//! Forms of the query protocol: names with dots, such as `MetricData.member.1.Value`, as one document.

use std::borrow::Cow;

use tidelog_proto::Document;

use super::refusal::Failure;

/// Fields of one form. A PutMetricData of a mebibyte has some 40,000.
const FIELDS_MAX: usize = 65_536;
/// Dots of a field's name that are read; the deepest name of CloudWatch has 5.
const DOTS_MAX: usize = 8;
/// Name of a list's elements.
const MEMBER: &str = "member";

/// Fields of a form, by name.
pub(super) struct Form<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Form<'a> {
    /// Reads a form.
    ///
    /// # Errors
    /// When it has too many fields.
    pub(super) fn read(body: &'a [u8]) -> Result<Self, Failure> {
        let mut fields: Vec<_> = form_urlencoded::parse(body).take(FIELDS_MAX + 1).collect();
        if fields.len() > FIELDS_MAX {
            return Err(Failure::invalid(format!("The form has more than {FIELDS_MAX} fields.")));
        }
        fields.retain(|(name, _)| name.bytes().filter(|byte| *byte == b'.').count() <= DOTS_MAX);
        fields.sort_by(|left, right| left.0.cmp(&right.0));
        Ok(Self(fields))
    }

    /// The field of that name.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| &**value)
    }

    /// All fields as one structure. A structure whose only member is called `member` is a list.
    pub(super) fn document(&self) -> Document {
        structure(&self.0, 0)
    }
}

/// The structure of fields, sorted by name, whose names are read from byte `from` on.
fn structure(mut fields: &[(Cow<'_, str>, Cow<'_, str>)], from: usize) -> Document {
    let mut members = Vec::new();
    while let Some((name, value)) = fields.first() {
        let rest = &name[from..];
        let Some((member, _)) = rest.split_once('.') else {
            members.push((Cow::Owned(rest.to_owned()), Document::Text(value.to_string())));
            fields = &fields[1..];
            continue;
        };
        let prefix = from + member.len() + 1;
        let same = fields.iter().take_while(|field| field.0.get(..prefix) == name.get(..prefix)).count();
        let (inner, others) = fields.split_at(same);
        members.push((Cow::Owned(member.to_owned()), list_or_structure(structure(inner, prefix))));
        fields = others;
    }
    Document::Map(members)
}

fn list_or_structure(value: Document) -> Document {
    let Document::Map(mut members) = value else { return value };
    if !matches!(members.as_slice(), [(name, Document::Map(_))] if name == MEMBER) {
        return Document::Map(members);
    }
    let Some((_, Document::Map(mut elements))) = members.pop() else { return Document::Map(members) };
    elements.sort_by_key(|(position, _)| position.parse::<u32>().unwrap_or(u32::MAX));
    Document::List(elements.into_iter().map(|(_, element)| element).collect())
}

#[cfg(test)]
mod tests {
    use tidelog_proto::Codec;

    use super::*;

    #[test]
    fn names_with_dots_are_structures_and_lists() {
        let form = "Action=Put+It&A.member.10.N=x%26y&A.member.2.N=b&A.member.2.V.member.1=1&B.C=3&D=&A-=z";
        let form = Form::read(form.as_bytes()).unwrap_or_else(|failure| panic!("{failure:?}"));
        assert_eq!(form.text("Action"), Some("Put It"));
        let shown = String::from_utf8(Codec::Json.encode(&form.document())).unwrap();
        let expected =
            r#"{"A-":"z","A":[{"N":"b","V":["1"]},{"N":"x&y"}],"Action":"Put It","B":{"C":"3"},"D":""}"#;
        assert_eq!(shown, expected);
    }

    #[test]
    fn depth_and_number_of_fields_are_bounded() {
        let deep = format!("{}=1&a=2", "x.".repeat(100_000));
        let Ok(form) = Form::read(deep.as_bytes()) else { panic!("it is read") };
        assert_eq!(form.document(), Document::structure([("a", "2".into())]));
        assert!(Form::read("&a".repeat(FIELDS_MAX + 1).as_bytes()).is_err());
        for odd in ["", "=", ".=1", "a..b=1", "member.1=2", "a.member.=1", "a=1&a=2&a.b=3", "%ff.é=%00"] {
            drop(Form::read(odd.as_bytes()).map(|form| form.document()));
        }
    }
}
