//! The server loop: HTTP/1.1 connections with bounded heads, and an orderly end.
//!
//! Owns sockets and their limits; knows no route.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::Service;

/// How long a head may take to come (limit `head-time`); idle connections are closed after it too.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// Bytes read ahead of a connection; a head that does not fit is answered with 431 by the protocol itself.
const READ_AHEAD: usize = 64 * 1024;
/// Connections open at once (limit `connections`); more wait to be accepted.
const CONNECTIONS: usize = 16_384;
/// How long requests in flight may take to end after the shutdown began.
const GRACE: Duration = Duration::from_secs(5);
/// How long accepting rests after it failed (no file handles left).
const REST: Duration = Duration::from_millis(50);

/// In the extensions of every request: cancelled when the server ends, so that streams end in time.
#[derive(Clone)]
pub struct Closing(pub CancellationToken);

/// In the extensions of every request: who is at the other end of the connection.
#[derive(Clone, Copy)]
pub struct Peer(pub IpAddr);

/// Serves until `shutdown`, then ends streams, lets requests in flight end and closes.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let closing = CancellationToken::new();
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = accept(&listener, &room) => accepted,
        };
        let Some((stream, peer, permit)) = accepted else {
            tokio::time::sleep(REST).await;
            continue;
        };
        let (router, closing) = (router.clone(), closing.clone());
        connections.spawn(async move {
            let _permit = permit;
            connection((stream, peer), router, closing).await;
        });
    }
    drop(listener);
    closing.cancel();
    let ended = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(GRACE, ended).await;
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> Option<(TcpStream, Peer, tokio::sync::OwnedSemaphorePermit)> {
    let permit = room.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, from)) => Some((stream, Peer(from.ip()), permit)),
        Err(error) => {
            tracing::warn!(%error, "cannot accept a connection");
            None
        }
    }
}

async fn connection((stream, peer): (TcpStream, Peer), router: Router, closing: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let token = Closing(closing.clone());
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(token.clone());
        request.extensions_mut().insert(peer);
        let answer = router.clone().call(request.map(Body::new));
        async move { Ok::<_, Infallible>(answer.await.unwrap_or_else(|never| match never {})) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(READ_AHEAD);
    let connection = server.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended");
    }
}
