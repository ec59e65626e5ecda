//! MinIO by the hundred thousand: what many hands upload while both sides are killed is counted exactly, by call and by ear.
//! Against a real server.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tidemill_integration_tests::http::Client;
use tidemill_integration_tests::server::Server;

use crate::minio::{called_and_heard, reaches, tags};
use crate::minio_server::{Hand, Minio};
use crate::support::{folder, get, until};

const COUNT: usize = 100_000;
const HANDS: usize = 16;
/// Anybody may upload: what uploads need not sign.
const OPEN: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["*"]},"Action":["s3:PutObject"],"Resource":["arn:aws:s3:::photos/*"]}]}"#;

/// Uploads objects, taking the next number until none is left; each until it is taken.
async fn upload(address: SocketAddr, next: Arc<AtomicUsize>) {
    let mut client = Client::new(address);
    loop {
        let n = next.fetch_add(1, Ordering::Relaxed);
        if n >= COUNT {
            return;
        }
        let path = format!("/photos/{}/{n}", n % 100);
        let headers = [("x-amz-content-sha256", "UNSIGNED-PAYLOAD")];
        while !client.call("PUT", &path, &headers, b"x").await.is_ok_and(|answer| answer.status == 200) {
            tokio::time::sleep(Duration::from_millis(50)).await;
            client = Client::new(address);
        }
    }
}

async fn count(server: &Server, trigger: &str) -> usize {
    let page = get(server, &format!("/executions?pageSize=1&count=true&trigger={trigger}")).await;
    page["total"].as_u64().unwrap() as usize
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: cargo nextest run --workspace --run-ignored all -E 'test(a_hundred_thousand_objects_over_kills)'"]
async fn heavy_a_hundred_thousand_objects_over_kills() {
    const LIMIT: Duration = Duration::from_mins(30);
    let Some(minio) = Minio::new("a hundred thousand objects") else { return };
    let folder = folder();
    let prepare = |hand: Hand| drop(hand.must("PUT", "photos?policy=", OPEN));
    let (mut server, mut minio) = called_and_heard(minio, folder.path(), prepare).await;
    let hand = minio.hand();
    let next = Arc::new(AtomicUsize::new(0));
    let hands: Vec<_> = (0..HANDS).map(|_| tokio::spawn(upload(minio.address, next.clone()))).collect();
    for (round, part) in [1, 3, 5, 7].into_iter().enumerate() {
        let least = COUNT * part / 9;
        until("some are uploaded", LIMIT, async || next.load(Ordering::Relaxed) >= least).await;
        if round % 2 == 0 {
            server.kill();
            server.restart().await;
        } else {
            minio.kill();
            reaches(&server, "/sources/heard", "state", "degraded").await;
            minio.start().await;
        }
    }
    for hand in hands {
        hand.await.unwrap();
    }
    let versions: BTreeSet<String> = hand.versions("photos").into_iter().collect();
    assert!(versions.len() >= COUNT, "{}", versions.len());
    for trigger in ["by-call", "by-ear"] {
        until(trigger, LIMIT, async || count(&server, trigger).await >= versions.len()).await;
        let found = tags(&server, trigger, "object").await;
        assert_eq!(found.len(), versions.len(), "{trigger} took a version twice");
        let found: BTreeSet<String> = found.into_iter().collect();
        assert!(
            found == versions,
            "{trigger}: {:?}",
            found.symmetric_difference(&versions).take(5).collect::<Vec<_>>()
        );
    }
}
