//! Via `webhook`: an ear on the server between two looks at it.
//!
//! Owns a listen stream that tells no event. Its end says that the server went away, be it for a moment: what it lost is
//! listed then. Where the server has no such stream, or the key no right to it, only the next look tells.

use std::time::Duration;

use super::client::{Client, Vendor};
use super::sweep::now;

/// A prefix that keys do not have; what the stream tells is not read.
const NOBODY: &str = "tidemill-nobody/";
/// Seconds between two heartbeats of the server, and without a byte for how long the stream is dead.
const PING: &str = "5";
const SILENCE: Duration = Duration::from_secs(20);

/// A server that ends the question for a stream sooner than this went away; one that lets it wait has no such stream.
const ASKED: Duration = Duration::from_secs(5);

/// Returns when the server has gone away; never where it gives no stream.
pub(super) async fn until_gone(client: &Client) {
    let began = now();
    let parameters = [("ping", PING), ("events", "s3:ObjectRemoved:*"), ("prefix", NOBODY), ("suffix", "")];
    match client.stream(&parameters).await {
        Ok((mut response, Vendor::Minio)) => {
            while let Ok(Ok(Some(_))) = tokio::time::timeout(SILENCE, response.chunk()).await {}
        }
        Err(error) if error.is_unreachable() && began.elapsed() < ASKED => {}
        _ => std::future::pending().await,
    }
}
