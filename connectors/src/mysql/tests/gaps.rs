//! Gaps: the log behind the saved position is gone.

use super::*;

/// Leaves the source behind, and throws away what it has not read.
async fn purge(bench: &mut Bench) {
    let running = bench.start(bench.spec()).await;
    bench.run_sql(&["INSERT INTO t VALUES (1)"]).await;
    bench.count(1).await;
    running.end().await.unwrap();
    bench.run_sql(&["INSERT INTO t VALUES (2)", "FLUSH BINARY LOGS", "INSERT INTO t VALUES (3)"]).await;
    // The server keeps what it sends to a source that has just ended until it notices.
    let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
    loop {
        let logs = server::logs(&mut bench.conn).await.unwrap();
        if logs.len() == 1 {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "the logs are not purged on {}", bench.address);
        bench.run_sql(&[&format!("PURGE BINARY LOGS TO '{}'", logs.last().unwrap().0)]).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The saved position in each of its forms.
fn forms(bench: &Bench) -> Vec<String> {
    let saved = bench.position();
    vec![
        saved.text().to_string(),
        format!("{}:{}", saved.file, saved.pos),
        saved.gtids.as_ref().unwrap().to_string(),
    ]
}

#[tokio::test]
async fn heavy_a_gap_is_refused_skipped_or_read_over() {
    for mut bench in benches("gaps").await {
        bench.run_sql(&["CREATE TABLE t (id INT PRIMARY KEY)"]).await;
        purge(&mut bench).await;
        for form in forms(&bench) {
            bench.ingress = Recorder::new();
            bench.ingress.save(BINLOG, &form);
            let error = bench.run(bench.spec()).task.await.unwrap().unwrap_err();
            assert_eq!((&*error.code, error.permanent), ("mysql-gap", true), "{form}: {error:?}");
            for choice in ["onGap: snapshot", "onGap: skip", "onGap: stop"] {
                assert!(error.help.contains(choice), "{}", error.help);
            }

            let running = bench.run(Spec { on_gap: OnGap::Skip, ..bench.spec() });
            bench.count(2).await;
            running.end().await.unwrap();
            assert_eq!(bench.kinds(), ["gap", "inserted"], "{form}");
            let skipped = bench.data()[1].get("after").unwrap().to_string();
            assert_eq!(skipped, r#"{"id":3}"#);
            // And no further.
            let running = bench.start(bench.spec()).await;
            running.end().await.unwrap();
            bench.count(2).await;

            bench.ingress = Recorder::new();
            bench.ingress.save(BINLOG, &form);
            let running = bench.run(Spec { on_gap: OnGap::Snapshot, ..bench.spec() });
            bench.count(3).await;
            running.end().await.unwrap();
            assert_eq!(bench.kinds(), ["read"; 3], "{form}");
        }
    }
}

#[tokio::test]
async fn positions_of_other_servers_are_gaps() {
    for bench in benches("other servers").await {
        let other = "00000000-0000-0000-0000-000000000001";
        let foreign = if bench.is_mariadb { "77-1-5".to_owned() } else { format!("{other}:1-5") };
        bench.ingress.save(BINLOG, &foreign);
        let error = bench.run(bench.spec()).task.await.unwrap().unwrap_err();
        assert_eq!(&*error.code, "mysql-gap", "{error:?}");
        bench.ingress.save(BINLOG, "nonsense");
        let error = bench.run(bench.spec()).task.await.unwrap().unwrap_err();
        assert_eq!((&*error.code, error.permanent), ("mysql-position", true));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_a_log_purged_during_a_snapshot() {
    const ROWS: usize = 6000;
    for mut bench in benches("a purge during a snapshot").await {
        bench.run_sql(&["CREATE TABLE t (id INT PRIMARY KEY)"]).await;
        let values: Vec<String> = (0..ROWS).map(|n| format!("({n})")).collect();
        bench.run_sql(&[&format!("INSERT INTO t VALUES {}", values.join(", "))]).await;
        let spec = Spec { snapshot: true, on_gap: OnGap::Snapshot, ..bench.spec() };
        let running = bench.run(spec.clone());
        until("a part is read", || bench.ingress.count() >= 1000).await;
        running.end().await.unwrap();
        let first = bench.ingress.count();
        bench
            .run_sql(&[
                "UPDATE t SET id = -1 WHERE id = 5999",
                "FLUSH BINARY LOGS",
                "DELETE FROM t WHERE id = 0",
            ])
            .await;
        let logs = server::logs(&mut bench.conn).await.unwrap();
        bench.run_sql(&[&format!("PURGE BINARY LOGS TO '{}'", logs.last().unwrap().0)]).await;
        // A new snapshot with a name of its own: every row that is there is told.
        let running = bench.run(spec);
        until("all is read", || bench.ingress.count() >= first + ROWS - 1).await;
        running.end().await.unwrap();
        let told: std::collections::BTreeSet<i64> =
            bench.data()[first..].iter().filter_map(|data| data.get("after")?.get("id")?.as_i64()).collect();
        assert_eq!(told.len(), ROWS - 1, "{}", bench.address);
        assert!(told.contains(&-1) && !told.contains(&5999) && !told.contains(&0));
    }
}
