//! The one place where a new catalog takes the old one's place.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Catalog;

/// Holds the catalog that requests take.
#[derive(Debug, Default)]
pub struct Published {
    current: ArcSwap<Catalog>,
}

impl Published {
    /// Starts with a catalog.
    pub fn new(catalog: Catalog) -> Published {
        Published { current: ArcSwap::from_pointee(catalog) }
    }

    /// The catalog of this moment; keep it to the end of a request.
    pub fn snapshot(&self) -> Arc<Catalog> {
        self.current.load_full()
    }

    /// Puts a new catalog in place.
    pub fn publish(&self, catalog: Catalog) {
        self.current.store(Arc::new(catalog));
    }
}
