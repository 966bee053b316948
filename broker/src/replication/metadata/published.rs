//! The metadata group's state as readers see it: streams and consumer groups, each followed by itself.
//!
//! Members of consumer groups sync all the time. A sync must neither copy the catalog nor wake the tasks that
//! follow it.

use std::sync::Arc;

use tidelog_proto::stored::{self, meta_command};
use tokio::sync::watch;

use super::state::MetaState;
use crate::model::consumer_group::ConsumerGroups;
use crate::model::stream::Catalog;

/// Where each new state is shown.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// Streams, and the cluster's own settings.
    pub catalog: watch::Sender<Arc<Catalog>>,
    /// Consumer groups.
    pub consumer_groups: watch::Sender<Arc<ConsumerGroups>>,
}

impl Published {
    /// Shows the state after a command.
    pub fn show(&self, state: &MetaState, after: &stored::MetaCommand) {
        if !matches!(after.command, Some(meta_command::Command::ConsumerGroup(_))) {
            self.catalog.send_replace(Arc::new(state.catalog()));
        }
        self.show_groups(state);
    }

    /// Shows a state that may have nothing in common with the one before.
    pub fn show_all(&self, state: &MetaState) {
        self.catalog.send_replace(Arc::new(state.catalog()));
        self.show_groups(state);
    }

    fn show_groups(&self, state: &MetaState) {
        let newest = state.consumer_groups();
        self.consumer_groups.send_if_modified(|shown| {
            let is_new = !Arc::ptr_eq(shown, newest);
            if is_new {
                *shown = newest.clone();
            }
            is_new
        });
    }
}
