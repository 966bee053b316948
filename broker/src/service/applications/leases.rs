//! The leases of an application, read as of now.

use tidelog_tables::lease::{Lease, Lock};
use tidelog_tables::request::ApplicationChange;
use tidelog_tables::{Item, Owner};

use super::watch::ITEMS_PER_LOOK;
use super::{ApplicationError, Service};
use crate::service::group_of;

/// How the table of KCL 3.0 to 3.4 is called that holds the lock, behind the application's name.
pub(super) const COORDINATOR: &str = "-CoordinatorState";

/// Everything that the tables of an application say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Application {
    pub name: String,
    /// Names of its tables.
    pub tables: Vec<String>,
    /// Items of the table of leases.
    pub item_count: u64,
    /// In the order of their keys.
    pub leases: Vec<Lease>,
    pub lock: Option<Lock>,
}

/// The leases among items in the order of their keys, and the lock.
pub(super) fn leases_and_lock(items: &[Item]) -> (Vec<Lease>, Option<Lock>) {
    let mut leases: Vec<Lease> = items.iter().filter_map(Lease::of).collect();
    leases.sort_by(|one, other| one.key.cmp(&other.key));
    (leases, items.iter().find_map(Lock::of))
}

impl Application {
    /// A change of the application that changes nothing yet.
    pub(super) fn change(&self) -> ApplicationChange {
        ApplicationChange {
            application: self.name.as_str().into(),
            item_count: self.item_count,
            ..ApplicationChange::default()
        }
    }

    /// Whether the table tells of each item which kind it is, as KCL 3.5 does.
    pub(super) fn has_entities(&self) -> bool {
        self.leases.iter().any(|lease| lease.item.text("entityType").is_some())
    }
}

impl Service {
    /// Reads an application: everything that was committed before the call.
    pub(super) async fn application(
        &self,
        owner: &Owner,
        name: &str,
    ) -> Result<Application, ApplicationError> {
        if !self.lease_tables.are_served() {
            return Err(ApplicationError::Off);
        }
        let missing = || ApplicationError::NoSuchApplication(name.to_owned());
        let group = group_of(owner, name);
        let proposals = self.groups.proposals();
        // The read index comes first: pages are of the state that this node has applied.
        let tables = proposals.tables_of_application(group, owner.clone(), name.to_owned()).await?;
        let tables = tables.ok_or_else(missing)?;
        let (mut items, item_count) = self.items(owner, name).await?.ok_or_else(missing)?;
        let coordinator = format!("{name}{COORDINATOR}");
        if tables.contains(&coordinator) {
            items.extend(self.items(owner, &coordinator).await?.unwrap_or_default().0);
        }
        let (leases, lock) = leases_and_lock(&items);
        Ok(Application { name: name.to_owned(), tables, item_count, leases, lock })
    }

    /// The items of a table, and their number as it was at the end.
    async fn items(&self, owner: &Owner, table: &str) -> Result<Option<(Vec<Item>, u64)>, ApplicationError> {
        let (group, now_ms) =
            (group_of(owner, tidelog_tables::application_of(table)), self.lease_tables.now_ms());
        let mut items: Vec<Item> = Vec::new();
        loop {
            let (place, after) = ((owner.clone(), table.into()), items.last().cloned());
            let page =
                self.groups.proposals().table_page(group, place, after, ITEMS_PER_LOOK, now_ms).await?;
            let Some(page) = page else { return Ok(None) };
            items.extend(page.items);
            if !page.has_more {
                return Ok(Some((items, page.table_items)));
            }
        }
    }
}
