//! The service model as the build reads it, and the names that its parts get in Rust.

use std::collections::BTreeSet;

use serde_json::Value;

/// Operations whose answers are written record by record, or as events, and have no generated type.
const STREAMED_ANSWERS: [&str; 4] = ["GetRecords", "PutRecord", "PutRecords", "SubscribeToShard"];

/// The service model.
pub struct Model<'a> {
    document: &'a Value,
    /// Names of the operations, ascending.
    pub operations: Vec<&'a str>,
    /// Shapes that some request or generated answer has, directly or in another shape, ascending.
    pub reached: BTreeSet<&'a str>,
}

impl<'a> Model<'a> {
    pub fn new(document: &'a Value) -> Self {
        let operations = document["operations"].as_object().expect("operations by name");
        let operations = operations.keys().map(String::as_str).collect::<BTreeSet<_>>().into_iter().collect();
        let mut model = Self { document, operations, reached: BTreeSet::new() };
        // A part of streamed answers that is generated as well.
        let mut reached = BTreeSet::new();
        model.reach("ChildShard", &mut reached);
        for operation in &model.operations {
            model.reach(model.input(operation), &mut reached);
            model.output(operation).inspect(|output| model.reach(output, &mut reached));
        }
        model.reached = reached;
        model
    }

    /// The shape of an operation's request.
    pub fn input(&self, operation: &str) -> &'a str {
        self.document["operations"][operation]["input"].as_str().expect("every operation has a request")
    }

    /// The shape of an operation's answer, when the answer has members and a generated type.
    pub fn output(&self, operation: &str) -> Option<&'a str> {
        let output = self.document["operations"][operation]["output"].as_str();
        output.filter(|_| !STREAMED_ANSWERS.contains(&operation))
    }

    /// The exceptions that an operation declares, as a list of Rust.
    pub fn errors(&self, operation: &str) -> String {
        self.document["operations"][operation]["errors"].to_string()
    }

    /// Whether some structure or list for which something is generated has the shape.
    pub fn is_part(&self, shape: &str) -> bool {
        self.reached.iter().any(|name| {
            self.members(name).any(|(_, of)| of == shape)
                || (self.kind(name) == "list" && self.element(name) == shape)
        })
    }

    pub fn shape(&self, name: &str) -> &'a Value {
        &self.document["shapes"][name]
    }

    /// All shapes by name.
    pub fn shapes(&self) -> impl Iterator<Item = &'a Value> {
        self.document["shapes"].as_object().expect("shapes by name").values()
    }

    /// Name and shape of each member of a structure, in the order of the table of members: by name, in which
    /// violations have always been listed.
    pub fn table(&self, structure: &str) -> Vec<(&'a str, &'a str)> {
        self.members(structure).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Name and shape of each member of a structure, in the order of the model, in which answers are written.
    pub fn members(&self, structure: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let members = self.shape(structure)["members"].as_object().into_iter().flatten();
        members.map(|(name, shape)| (name.as_str(), shape.as_str().expect("a member names its shape")))
    }

    pub fn is_required(&self, structure: &str, member: &str) -> bool {
        let required = self.shape(structure)["required"].as_array();
        required.is_some_and(|required| required.iter().any(|name| name == member))
    }

    pub fn kind(&self, shape: &str) -> &'a str {
        self.shape(shape)["type"].as_str().expect("a shape has a type")
    }

    /// The shape of a list's elements.
    pub fn element(&self, list: &str) -> &'a str {
        self.shape(list)["member"].as_str().expect("a list has elements")
    }

    /// The values of an enumeration; none for a text that is none.
    pub fn choices(&self, shape: &str) -> Vec<&'a str> {
        let choices = self.shape(shape)["enum"].as_array().into_iter().flatten();
        choices.map(|choice| choice.as_str().expect("a choice is a text")).collect()
    }

    /// Adds a shape and all shapes inside it.
    fn reach(&self, name: &'a str, reached: &mut BTreeSet<&'a str>) {
        if !reached.insert(name) {
            return;
        }
        for (_, shape) in self.members(name) {
            self.reach(shape, reached);
        }
        if self.kind(name) == "list" {
            self.reach(self.element(name), reached);
        }
    }
}

/// The name of a table: `StreamARN` is `STREAM_ARN`, `MaxRecordSizeInKiB` is `MAX_RECORD_SIZE_IN_KIB`.
pub fn upper_snake(name: &str) -> String {
    snake(name).to_ascii_uppercase()
}

/// The name of a field.
pub fn field(member: &str) -> String {
    match member {
        // A word of the language.
        "Type" => "kind".to_owned(),
        member => snake(member),
    }
}

fn snake(name: &str) -> String {
    let name = name.replace("KiB", "Kib").replace("MiBps", "Mibps");
    let mut out = String::new();
    let mut before = 'A';
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !before.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
        before = letter;
    }
    out
}

/// The name of a variant: `ON_DEMAND` is `OnDemand`, `IncomingBytes` stays.
pub fn variant(choice: &str) -> String {
    if choice.chars().any(|letter| letter.is_ascii_lowercase()) {
        return choice.to_owned();
    }
    let word = |word: &str| {
        let (first, rest) = word.split_at(1);
        first.to_owned() + &rest.to_ascii_lowercase()
    };
    choice.split('_').map(word).collect()
}
