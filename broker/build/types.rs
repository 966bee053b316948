//! Writes the types of requests and answers: a structure for each structure of the model, an enumeration for each of
//! its enumerations, and the enumerations of all requests and of all answers.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::model::{Model, field, variant};
use crate::tables::members_name;

/// All types, with how they are read and written.
pub fn write(model: &Model<'_>) -> String {
    let mut out = String::new();
    for name in &model.reached {
        match model.kind(name) {
            "structure" => write_structure(model, name, &mut out),
            "string" if !model.choices(name).is_empty() => write_enumeration(model, name, &mut out),
            _ => {}
        }
    }
    write_requests(model, &mut out);
    write_targets(model, &mut out);
    write_answers(model, &mut out);
    out
}

/// The type of a shape's contents.
fn rust_type(model: &Model<'_>, shape: &str) -> String {
    match model.kind(shape) {
        "string" if model.choices(shape).is_empty() => "String".to_owned(),
        "string" | "structure" => shape.to_owned(),
        "integer" => match model.shape(shape)["min"].as_i64() {
            Some(0..) => "u32".to_owned(),
            _ => "i32".to_owned(),
        },
        "boolean" => "bool".to_owned(),
        "timestamp" => "Timestamp".to_owned(),
        "blob" => "Blob".to_owned(),
        "list" => format!("Vec<{}>", rust_type(model, model.element(shape))),
        "map" => "TextMap".to_owned(),
        other => panic!("shape {shape} has the unknown type {other}"),
    }
}

/// Whether the type of a shape can derive Default.
fn has_default(model: &Model<'_>, shape: &str) -> bool {
    match model.kind(shape) {
        "string" => model.choices(shape).is_empty(),
        "blob" => false,
        "structure" => model
            .members(shape)
            .all(|(member, of)| !model.is_required(shape, member) || has_default(model, of)),
        _ => true,
    }
}

fn write_structure(model: &Model<'_>, name: &str, out: &mut String) {
    let default = if has_default(model, name) { "Default, " } else { "" };
    writeln!(out, "/// {name} of the service model.").unwrap();
    writeln!(out, "#[derive(Clone, Debug, {default}PartialEq)]\npub struct {name} {{").unwrap();
    let (mut reads, mut writes) = (String::new(), String::new());
    let table = model.table(name);
    for (member, shape) in model.members(name) {
        let position = table.iter().position(|(own, _)| *own == member).expect("a member of the table");
        let (field, of) = (field(member), rust_type(model, shape));
        let is_required = model.is_required(name, member);
        let of = if is_required { of } else { format!("Option<{of}>") };
        let remark = if is_required { "required" } else { "optional" };
        writeln!(out, "/// `{member}`, {remark}.\npub {field}: {of},").unwrap();
        let take = if is_required { "required" } else { "optional" };
        writeln!(reads, "{field}: fields.{take}({position})?,").unwrap();
        let value = match is_required {
            true => format!("Some(&self.{field})"),
            false => format!("self.{field}.as_ref()"),
        };
        writeln!(writes, ".member({member:?}, {value})").unwrap();
    }
    let fields = if reads.is_empty() { "_" } else { "mut fields" };
    writeln!(
        out,
        "}}
        impl Structure for {name} {{
            const MEMBERS: &'static [Member] = &{};
            fn read({fields}: Fields) -> Result<Self, Mismatch> {{ Ok(Self {{ {reads} }}) }}
            fn write(&self) -> Document {{ Members::default(){writes}.into() }}
        }}
        impl MemberValue for {name} {{
            fn from_value(value: Value) -> Result<Self, Mismatch> {{ structure(value) }}
            fn to_document(&self) -> Document {{ self.write() }}
        }}",
        members_name(name)
    )
    .unwrap();
}

fn write_enumeration(model: &Model<'_>, name: &str, out: &mut String) {
    let choices = model.choices(name);
    writeln!(out, "/// {name} of the service model.").unwrap();
    writeln!(out, "#[derive(Clone, Copy, Debug, PartialEq, Eq)]\npub enum {name} {{").unwrap();
    for choice in &choices {
        writeln!(out, "/// `{choice}`.\n{},", variant(choice)).unwrap();
    }
    writeln!(out, "}}\nimpl {name} {{").unwrap();
    writeln!(out, "/// All values, in the order of the model.").unwrap();
    writeln!(out, "pub const ALL: [Self; {}] = [", choices.len()).unwrap();
    for choice in &choices {
        writeln!(out, "Self::{},", variant(choice)).unwrap();
    }
    writeln!(out, "];\n}}\nimpl Choice for {name} {{").unwrap();
    writeln!(out, "const ALL: &'static [Self] = &Self::ALL;\nfn name(self) -> &'static str {{ match self {{")
        .unwrap();
    for choice in &choices {
        writeln!(out, "Self::{} => {choice:?},", variant(choice)).unwrap();
    }
    writeln!(
        out,
        "}} }}
        }}
        impl MemberValue for {name} {{
            fn from_value(value: Value) -> Result<Self, Mismatch> {{ choose(value) }}
            fn to_document(&self) -> Document {{ self.name().into() }}
        }}"
    )
    .unwrap();
}

/// The largest request has about 1 KiB.
const LARGE: &str =
    r#"#[expect(clippy::large_enum_variant, reason = "a request is made once and passed by reference")]"#;

fn write_requests(model: &Model<'_>, out: &mut String) {
    writeln!(out, "/// A request of any operation.\n#[derive(Clone, Debug, PartialEq)]\n{LARGE}").unwrap();
    writeln!(out, "pub enum Request {{").unwrap();
    for operation in &model.operations {
        writeln!(out, "/// A request of {operation}.\n{operation}({}),", model.input(operation)).unwrap();
    }
    writeln!(out, "}}\nimpl Request {{").unwrap();
    writeln!(out, "/// The operation that is asked for.").unwrap();
    writeln!(out, "#[must_use]\npub const fn operation(&self) -> Operation {{ match self {{").unwrap();
    for operation in &model.operations {
        writeln!(out, "Self::{operation}(_) => Operation::{operation},").unwrap();
    }
    writeln!(out, "}} }}\nfn read(operation: Operation, fields: Fields) -> Result<Self, Mismatch> {{")
        .unwrap();
    writeln!(out, "Ok(match operation {{").unwrap();
    for operation in &model.operations {
        writeln!(out, "Operation::{operation} => Self::{operation}(Structure::read(fields)?),").unwrap();
    }
    writeln!(out, "}}) }}\n/// The request as a document.").unwrap();
    writeln!(out, "#[must_use]\npub fn write(&self) -> Document {{ match self {{").unwrap();
    for operation in &model.operations {
        writeln!(out, "Self::{operation}(input) => input.write(),").unwrap();
    }
    writeln!(out, "}} }}\n}}\nimpl Operation {{").unwrap();
    writeln!(out, "/// The members of the operation's request.").unwrap();
    writeln!(out, "#[must_use]\npub const fn members(self) -> &'static [Member] {{ match self {{").unwrap();
    for operation in &model.operations {
        writeln!(out, "Self::{operation} => {}::MEMBERS,", model.input(operation)).unwrap();
    }
    writeln!(out, "}} }}\n}}").unwrap();
    for operation in &model.operations {
        let input = model.input(operation);
        writeln!(
            out,
            "impl From<{input}> for Request {{
                fn from(input: {input}) -> Self {{ Self::{operation}(input) }}
            }}"
        )
        .unwrap();
    }
}

/// Members by which a request names its subject, and how the trait calls them.
const TARGETS: [&str; 5] = ["ConsumerARN", "ResourceARN", "ShardId", "StreamARN", "StreamName"];

fn write_targets(model: &Model<'_>, out: &mut String) {
    writeln!(out, "impl Request {{\n/// What the request names.").unwrap();
    writeln!(out, "#[must_use]\npub fn targets(&self) -> &dyn Targets {{ match self {{").unwrap();
    for operation in &model.operations {
        writeln!(out, "Self::{operation}(input) => input,").unwrap();
    }
    writeln!(out, "}} }}\n}}").unwrap();
    for operation in &model.operations {
        let input = model.input(operation);
        writeln!(out, "impl Targets for {input} {{").unwrap();
        for (member, _) in model.members(input).filter(|(member, _)| TARGETS.contains(member)) {
            let field = field(member);
            let value = match model.is_required(input, member) {
                true => format!("Some(&self.{field})"),
                false => format!("self.{field}.as_deref()"),
            };
            writeln!(out, "fn {field}(&self) -> Option<&str> {{ {value} }}").unwrap();
        }
        writeln!(out, "}}").unwrap();
    }
}

fn write_answers(model: &Model<'_>, out: &mut String) {
    // Two operations may have answers of one type.
    let outputs: BTreeSet<_> =
        model.operations.iter().filter_map(|operation| model.output(operation)).collect();
    let variant = |output: &str| output.trim_end_matches("Output").to_owned();
    writeln!(out, "/// The answer of an operation, unless its answer is made of records or events.").unwrap();
    writeln!(out, "#[derive(Clone, Debug, PartialEq)]\npub enum Answer {{").unwrap();
    writeln!(out, "/// No members: the body of such an answer is empty.\nEmpty,").unwrap();
    for output in &outputs {
        writeln!(out, "/// {output} of the service model.\n{}({output}),", variant(output)).unwrap();
    }
    writeln!(out, "}}\nimpl Answer {{\n/// The answer as a document; `None` when it has no body.").unwrap();
    writeln!(out, "#[must_use]\npub fn write(&self) -> Option<Document> {{ match self {{").unwrap();
    writeln!(out, "Self::Empty => None,").unwrap();
    for output in &outputs {
        writeln!(out, "Self::{}(output) => Some(output.write()),", variant(output)).unwrap();
    }
    writeln!(out, "}} }}\n}}").unwrap();
    for output in &outputs {
        writeln!(
            out,
            "impl From<{output}> for Answer {{
                fn from(output: {output}) -> Self {{ Self::{variant}(output) }}
            }}
            impl TryFrom<Answer> for {output} {{
                type Error = Mismatch;
                fn try_from(answer: Answer) -> Result<Self, Mismatch> {{
                    match answer {{ Answer::{variant}(output) => Ok(output), _ => Err(Mismatch) }}
                }}
            }}",
            variant = variant(output)
        )
        .unwrap();
    }
    for operation in &model.operations {
        let (input, output) = (model.input(operation), model.output(operation).unwrap_or("()"));
        writeln!(out, "impl Input for {input} {{ type Output = {output}; }}").unwrap();
    }
}
