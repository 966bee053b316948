//! Descriptions of tables as answers have them.

use super::table::{Index, Table};
use crate::json::{Structure, structure, write_text};
use crate::owner::Owner;
use crate::request::{Billing, IndexProjection, Throughput};
use crate::schema::KeySchema;

/// A body with the description of a table under the name of a member.
pub(super) fn table_body(member: &str, owner: &Owner, table: &Table, status: &str) -> Vec<u8> {
    structure(|out| {
        out.structure(member, |out| write_table(out, owner, table, status));
    })
}

fn write_table(out: &mut Structure<'_>, owner: &Owner, table: &Table, status: &str) {
    let arn = owner.arn(&table.name);
    let id = table.id;
    out.text("TableName", &table.name)
        .text("TableStatus", status)
        .text("TableArn", &arn)
        .text("TableId", &uuid(id))
        .number("CreationDateTime", seconds(table.created_ms))
        .number("ItemCount", table.items.len())
        .number("TableSizeBytes", table.item_bytes)
        .flag("DeletionProtectionEnabled", table.is_protected);
    write_schema(out, &table.schema);
    out.list("AttributeDefinitions", table.definitions(), |out, (name, kind)| {
        let mut out = Structure::begin(out);
        out.text("AttributeName", name).text("AttributeType", kind.name());
        out.end();
    });
    let units = match table.billing {
        Billing::PerRequest => Throughput { read: 0, write: 0 },
        Billing::Provisioned(units) => units,
    };
    write_throughput(out, units);
    if table.billing == Billing::PerRequest {
        out.structure("BillingModeSummary", |out| {
            out.text("BillingMode", "PAY_PER_REQUEST")
                .number("LastUpdateToPayPerRequestDateTime", seconds(table.created_ms));
        });
    }
    if !table.indexes.is_empty() {
        out.list("GlobalSecondaryIndexes", &table.indexes, |out, index| write_index(out, index, &arn));
    }
}

fn write_schema(out: &mut Structure<'_>, schema: &KeySchema) {
    out.list("KeySchema", schema.attributes().zip(["HASH", "RANGE"]), |out, (attribute, kind)| {
        let mut out = Structure::begin(out);
        out.text("AttributeName", &attribute.name).text("KeyType", kind);
        out.end();
    });
}

fn write_throughput(out: &mut Structure<'_>, units: Throughput) {
    out.structure("ProvisionedThroughput", |out| {
        out.number("NumberOfDecreasesToday", 0)
            .number("ReadCapacityUnits", units.read)
            .number("WriteCapacityUnits", units.write);
    });
}

fn write_index(out: &mut Vec<u8>, index: &Index, table_arn: &str) {
    let mut out = Structure::begin(out);
    out.text("IndexName", &index.spec.name)
        .text("IndexStatus", "ACTIVE")
        .text("IndexArn", &format!("{table_arn}/index/{}", index.spec.name))
        .number("ItemCount", index.entries.len())
        .number("IndexSizeBytes", index.entries.iter().map(|entry| entry.len()).sum::<usize>());
    write_schema(&mut out, &index.schema);
    out.structure("Projection", |out| match &index.spec.projection {
        IndexProjection::All => _ = out.text("ProjectionType", "ALL"),
        IndexProjection::KeysOnly => _ = out.text("ProjectionType", "KEYS_ONLY"),
        IndexProjection::Include(names) => {
            out.text("ProjectionType", "INCLUDE")
                .list("NonKeyAttributes", names, |out, name| write_text(out, name));
        }
    });
    write_throughput(&mut out, index.spec.throughput.unwrap_or(Throughput { read: 0, write: 0 }));
    out.end();
}

/// A UUID of version 4 in form; its bits come from names and a time.
fn uuid(id: u128) -> String {
    let id = id & !(0xf000 << 64) & !(0xc000 << 48) | 0x4000 << 64 | 0x8000 << 48;
    let digits = format!("{id:032x}");
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

/// An instant as DynamoDB writes it: seconds with three decimals.
fn seconds(time_ms: i64) -> String {
    format!("{}.{:03}", time_ms.div_euclid(1_000), time_ms.rem_euclid(1_000))
}

pub(super) fn continuous_backups_body(is_enabled: bool) -> Vec<u8> {
    structure(|out| {
        out.structure("ContinuousBackupsDescription", |out| {
            out.text("ContinuousBackupsStatus", "ENABLED").structure(
                "PointInTimeRecoveryDescription",
                |out| {
                    out.text("PointInTimeRecoveryStatus", if is_enabled { "ENABLED" } else { "DISABLED" });
                },
            );
        });
    })
}

pub(super) fn time_to_live_specification(attribute: &str, is_enabled: bool) -> Vec<u8> {
    structure(|out| {
        out.structure("TimeToLiveSpecification", |out| {
            out.flag("Enabled", is_enabled).text("AttributeName", attribute);
        });
    })
}

pub(super) fn time_to_live_body(table: &Table) -> Vec<u8> {
    structure(|out| {
        out.structure("TimeToLiveDescription", |out| {
            out.text("TimeToLiveStatus", if table.expiry.is_some() { "ENABLED" } else { "DISABLED" });
            if let Some(attribute) = &table.expiry {
                out.text("AttributeName", attribute);
            }
        });
    })
}

pub(super) fn tags_body(table: &Table) -> Vec<u8> {
    structure(|out| {
        out.list("Tags", &table.tags, |out, (key, value)| {
            let mut out = Structure::begin(out);
            out.text("Key", key).text("Value", value);
            out.end();
        });
    })
}
