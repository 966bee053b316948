//! The step that a starting node waits for, as a sentence: the parts of the start write it, the pages of the
//! client port show it.

use std::sync::{Arc, Mutex, MutexGuard};

/// The step that the node's start has come to. Clones share it.
#[derive(Clone, Debug)]
pub struct Stage(Arc<Mutex<String>>);

impl Stage {
    fn sentence(&self) -> MutexGuard<'_, String> {
        self.0.lock().expect("no code panics while it holds this lock")
    }

    /// The start has come to another stage.
    pub fn enter(&self, sentence: impl Into<String>) {
        *self.sentence() = sentence.into();
    }

    /// The stage that the start is in.
    pub fn current(&self) -> String {
        self.sentence().clone()
    }
}

impl Default for Stage {
    fn default() -> Self {
        Self(Arc::new(Mutex::new("The node is starting.".into())))
    }
}
