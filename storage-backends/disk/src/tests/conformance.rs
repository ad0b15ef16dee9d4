//! The suite that every backend must pass, on a real file system.

use std::sync::Arc;

use watershed_storage::LogStorage;
use watershed_storage::conformance::{Subject, run};

use super::config;
use crate::DiskStorage;
use crate::fs::RealFs;

fn subject() -> Subject {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    let open = move || DiskStorage::open_on(config(&path), Arc::new(RealFs), 64).unwrap();
    let first = open();
    let restart = move || -> watershed_storage::Fut<'static, Arc<dyn LogStorage>> {
        let storage: Arc<dyn LogStorage> = Arc::new(open());
        Box::pin(std::future::ready(Ok(storage)))
    };
    Subject::restartable(first, restart).keep(dir)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conforms() {
    run(|| async { subject() }).await;
}
