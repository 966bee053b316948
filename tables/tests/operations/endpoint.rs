//! An endpoint of two nodes: each command goes through its bytes and is applied on both, which have to agree.

use serde_json::{Value, json};
use tidelog_tables::answer::{batch_get_body, batch_write_body, limits_body, list_tables_body};
use tidelog_tables::{Bounds, Command, Fault, Owner, Read, Request, Stamp, Tables, Write};

pub const NOW_MS: i64 = 1_764_500_000_123;

pub struct Endpoint {
    pub owner: Owner,
    pub now_ms: i64,
    pub bounds: Bounds,
    pub tables_elsewhere: u64,
    pub tables: Tables,
    other_node: Tables,
}

/// The exception and the message of a refused call.
pub type Refused = (String, String);

impl Endpoint {
    pub fn new() -> Self {
        let owner = Owner::new("000000000000", "us-east-1");
        let (tables, other_node) = (Tables::new(), Tables::new());
        Self { owner, now_ms: NOW_MS, bounds: Bounds::default(), tables_elsewhere: 0, tables, other_node }
    }

    /// An endpoint with the table of KCL, `leases` with the key `leaseKey`.
    pub fn with_leases() -> Self {
        let mut endpoint = Self::new();
        endpoint.create("leases", &[("leaseKey", "S")]);
        endpoint
    }

    /// Creates a table with one or two attributes of its key.
    pub fn create(&mut self, name: &str, key: &[(&str, &str)]) {
        let schema = key.iter().zip(["HASH", "RANGE"]);
        let schema: Vec<_> =
            schema.map(|((name, _), kind)| json!({"AttributeName": name, "KeyType": kind})).collect();
        let definitions =
            key.iter().map(|(name, kind)| json!({"AttributeName": name, "AttributeType": kind}));
        let definitions: Vec<_> = definitions.collect();
        self.ok(
            "CreateTable",
            json!({
                "TableName": name, "BillingMode": "PAY_PER_REQUEST",
                "KeySchema": schema, "AttributeDefinitions": definitions,
            }),
        );
    }

    pub fn put(&mut self, table: &str, item: Value) {
        self.ok("PutItem", json!({"TableName": table, "Item": item}));
    }

    /// The item of a text key, without the names around it.
    pub fn get(&mut self, table: &str, key: Value) -> Value {
        self.ok("GetItem", json!({"TableName": table, "Key": key}))
            .get("Item")
            .cloned()
            .unwrap_or(Value::Null)
    }

    /// Both nodes start again with their snapshots.
    pub fn restart(&mut self) {
        self.tables = Tables::read_snapshot(&self.tables.snapshot()).expect("a snapshot");
        self.other_node = Tables::read_snapshot(&self.other_node.snapshot()).expect("a snapshot");
    }

    /// Applies a write without a look at snapshots, for tests of many writes.
    pub fn apply_quietly(&mut self, operation: &str, body: Value) {
        let Ok(Request::Write(write)) = Request::parse(operation, body.to_string().as_bytes(), &self.owner)
        else {
            panic!("{operation} {body} is no write")
        };
        let stamp =
            Stamp { now_ms: self.now_ms, bounds: self.bounds, tables_elsewhere: self.tables_elsewhere };
        let command = Command { stamp, owner: self.owner.clone(), write };
        for tables in [&mut self.tables, &mut self.other_node] {
            tables.apply(&command).unwrap_or_else(|fault| panic!("{operation} {body}: {fault}"));
        }
    }

    pub fn apply(&mut self, write: Write) -> Result<Vec<u8>, Fault> {
        let stamp =
            Stamp { now_ms: self.now_ms, bounds: self.bounds, tables_elsewhere: self.tables_elsewhere };
        let command = Command { stamp, owner: self.owner.clone(), write };
        let bytes = command.encode();
        let decoded = Command::decode(&bytes).expect("just encoded");
        assert_eq!(decoded, command);
        let before = self.tables.clone();
        let outcome = self.tables.apply(&command);
        assert_eq!(self.other_node.apply(&decoded), outcome, "both nodes agree");
        if outcome.is_err() {
            assert_eq!(self.tables, before, "a refused command has changed nothing");
        }
        self.check_snapshot();
        outcome.map(tidelog_tables::Outcome::into_body)
    }

    /// Both nodes have the bytes of one snapshot, which is as long as they say and gives the state again.
    fn check_snapshot(&self) {
        let snapshot = self.tables.snapshot();
        assert_eq!(self.other_node.snapshot(), snapshot);
        assert_eq!(snapshot.len() as u64, self.tables.bytes());
        assert_eq!(Tables::read_snapshot(&snapshot).as_ref(), Ok(&self.tables));
    }

    fn read(&self, read: &Read) -> Result<Vec<u8>, Fault> {
        self.tables.read(&self.owner, read, self.now_ms)
    }

    pub fn send(&mut self, operation: &str, body: &[u8]) -> Result<Vec<u8>, Fault> {
        match Request::parse(operation, body, &self.owner)? {
            Request::Read(read) => self.read(&read),
            Request::Write(write) => self.apply(write),
            Request::BatchGet(reads) => {
                let lists = reads.iter().map(|read| Ok((read.table(), self.read(read)?)));
                Ok(batch_get_body(lists.collect::<Result<Vec<_>, Fault>>()?))
            }
            Request::BatchWrite(writes) => {
                writes.into_iter().try_for_each(|write| self.apply(write).map(|_| ()))?;
                Ok(batch_write_body())
            }
            Request::ListTables(list) => {
                Ok(list_tables_body(&list, self.tables.tables(&self.owner).map(tidelog_tables::Table::name)))
            }
            Request::DescribeLimits => Ok(limits_body()),
        }
    }

    pub fn call(&mut self, operation: &str, body: Value) -> Result<Value, Value> {
        match self.send(operation, &serde_json::to_vec(&body).expect("JSON")) {
            Ok(body) => Ok(serde_json::from_slice(&body).expect("an answer is JSON")),
            Err(fault) => {
                let body: Value = serde_json::from_slice(&fault.body()).expect("an error is JSON");
                assert_eq!(fault.status(), 400);
                let kind = body["__type"].as_str().expect("a type");
                assert_eq!(kind.rsplit_once('#').expect("a namespace").1, fault.exception());
                Err(body)
            }
        }
    }

    /// The answer of a call that is done.
    pub fn ok(&mut self, operation: &str, body: Value) -> Value {
        let shown = body.to_string();
        self.call(operation, body).unwrap_or_else(|fault| panic!("{operation} {shown}: {fault}"))
    }

    /// The exception and the message of a call that is refused.
    pub fn refused(&mut self, operation: &str, body: Value) -> Refused {
        let shown = body.to_string();
        let Err(fault) = self.call(operation, body) else { panic!("{operation} {shown} is not refused") };
        let kind = fault["__type"].as_str().expect("a type");
        let name = kind.rsplit_once('#').expect("a namespace").1;
        (name.to_owned(), fault["message"].as_str().expect("a message").to_owned())
    }

    /// The message of a call that is refused with a ValidationException.
    pub fn invalid(&mut self, operation: &str, body: Value) -> String {
        let (exception, message) = self.refused(operation, body);
        assert_eq!(exception, "ValidationException", "{message}");
        message
    }
}

/// The body with these members besides.
pub fn with(body: &Value, more: Value) -> Value {
    let (mut body, Value::Object(more)) = (body.clone(), more) else { panic!("a structure") };
    body.as_object_mut().expect("a structure").extend(more);
    body
}
