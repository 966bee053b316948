//! Names: the account and region that tables belong to, the names of tables, and the application behind a table.

use crate::fault::{Fault, Invalid};

/// The account and the region that a table belongs to, as the signature of a request names them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// Twelve digits.
    pub account: Box<str>,
    /// The region's name.
    pub region: Box<str>,
}

/// Characters of a table's name, and of an index's.
const NAME_CHARACTERS: std::ops::RangeInclusive<usize> = 3..=255;

/// Suffixes of the tables that KCL 3 keeps beside the leases.
const COMPANIONS: [&str; 2] = ["-CoordinatorState", "-WorkerMetricStats"];

impl Owner {
    /// An owner by its account and region.
    pub fn new(account: &str, region: &str) -> Self {
        Self { account: account.into(), region: region.into() }
    }

    /// The ARN of a table.
    pub fn arn(&self, table: &str) -> String {
        format!("arn:aws:dynamodb:{}:{}:table/{table}", self.region, self.account)
    }

    /// The name in `TableName`, which may be an ARN of this owner.
    ///
    /// # Errors
    /// [`Invalid`] for another form, [`Fault::OtherOwner`] for the ARN of another account or region.
    pub fn table_name(&self, text: &str, operation: &'static str) -> Result<Box<str>, Fault> {
        if text.starts_with("arn:") {
            return self.table_of_arn(text, operation);
        }
        check_name(text, "tableName")?;
        Ok(text.into())
    }

    /// The name of the table of an ARN.
    ///
    /// # Errors
    /// [`Invalid`] for another form, [`Fault::OtherOwner`] for the ARN of another account or region.
    pub fn table_of_arn(&self, arn: &str, operation: &'static str) -> Result<Box<str>, Fault> {
        let bad = || Invalid::BadArn { arn: arn.chars().take(200).collect() };
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let ["arn", _, "dynamodb", region, account, resource] = parts[..] else { return Err(bad().into()) };
        let name = resource.strip_prefix("table/").ok_or_else(bad)?;
        check_name(name, "tableName").map_err(|_| bad())?;
        if *account != *self.account || *region != *self.region {
            let account = self.account.to_string();
            return Err(Fault::OtherOwner { arn: arn.to_owned(), account, operation });
        }
        Ok(name.into())
    }
}

/// The application that a table belongs to: the tables `APP`, `APP-CoordinatorState` and `APP-WorkerMetricStats` are
/// those of `APP`, and live in one group, so that a transaction over them is one command.
pub fn application_of(table: &str) -> &str {
    let stripped = COMPANIONS.iter().find_map(|suffix| table.strip_suffix(suffix));
    stripped.filter(|application| !application.is_empty()).unwrap_or(table)
}

/// Checks the name of a table or an index.
pub(crate) fn check_name(name: &str, member: &str) -> Result<(), Invalid> {
    let is_taken =
        |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '.');
    let length = name.chars().count();
    if !name.is_empty() && !name.chars().all(is_taken) {
        return Err(Invalid::constraint(
            name,
            member,
            "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+",
        ));
    }
    if length < *NAME_CHARACTERS.start() {
        return Err(Invalid::constraint(name, member, "Member must have length greater than or equal to 3"));
    }
    if length > *NAME_CHARACTERS.end() {
        return Err(Invalid::constraint(name, member, "Member must have length less than or equal to 255"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn companions_belong_to_their_application() {
        for (table, application) in [
            ("orders", "orders"),
            ("orders-CoordinatorState", "orders"),
            ("orders-WorkerMetricStats", "orders"),
            ("orders-WorkerMetricStats-CoordinatorState", "orders-WorkerMetricStats"),
            ("-CoordinatorState", "-CoordinatorState"),
            ("orders-coordinatorstate", "orders-coordinatorstate"),
        ] {
            assert_eq!(application_of(table), application, "{table}");
        }
    }

    #[test]
    fn tables_have_names_or_arns() {
        let owner = Owner::new("000000000000", "us-east-1");
        let name = |text: &str| owner.table_name(text, "GetItem").map_err(|fault| fault.to_string());
        assert_eq!(name("a.b-c_D1"), Ok("a.b-c_D1".into()));
        assert_eq!(name(&owner.arn("leases")), Ok("leases".into()));
        let constraint = |value: &str, rule: &str| {
            Err(format!(
                "1 validation error detected: Value '{value}' at 'tableName' failed to satisfy constraint: Member must {rule}"
            ))
        };
        assert_eq!(name("ab"), constraint("ab", "have length greater than or equal to 3"));
        assert_eq!(name(""), constraint("", "have length greater than or equal to 3"));
        assert_eq!(name("a b"), constraint("a b", "satisfy regular expression pattern: [a-zA-Z0-9_.-]+"));
        let long = "x".repeat(256);
        assert_eq!(name(&long), constraint(&long[..200], "have length less than or equal to 255"));
        assert_eq!(name(&"x".repeat(255)).map(|name| name.len()), Ok(255));
        for arn in [
            "arn:aws:dynamodb:us-east-1:000000000000:stream/x",
            "arn:",
            "arn:aws:kinesis:us-east-1:000000000000:table/leases",
        ] {
            assert_eq!(
                name(arn),
                Err(format!("Invalid TableArn: Invalid ResourceArn provided as input {arn}"))
            );
        }
        let other = "arn:aws:dynamodb:us-east-1:111111111111:table/leases";
        let expected = "User: arn:aws:iam::000000000000:root is not authorized to perform: dynamodb:GetItem on resource: ";
        assert_eq!(name(other), Err(format!("{expected}{other}")));
    }
}
