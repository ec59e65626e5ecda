//! The snapshot: whole, resumed, joined to the log while others write.

use super::*;

async fn table(bench: &mut Bench) -> BTreeMap<String, String> {
    let mut conn = bench.second().await;
    let rows: Vec<(i64, i64, Option<String>)> = conn.query("SELECT id, n, x FROM t").await.unwrap();
    let row = |(id, n, x): (i64, i64, Option<String>)| {
        let x = x.map_or_else(|| "null".to_owned(), |x| format!("\"{x}\""));
        (id.to_string(), format!(r#"{{"id":{id},"n":{n},"x":{x}}}"#))
    };
    rows.into_iter().map(row).collect()
}

async fn fill(bench: &mut Bench, rows: usize) {
    bench.run_sql(&["CREATE TABLE t (id INT PRIMARY KEY, n INT NOT NULL, x VARCHAR(20))"]).await;
    let values: Vec<String> = (0..rows).map(|n| format!("({}, {n}, 'row {n}')", n * 3)).collect();
    for part in values.chunks(5000) {
        bench.run_sql(&[&format!("INSERT INTO t VALUES {}", part.join(", "))]).await;
    }
}

/// Writes until it is stopped: inserts, updates, deletes and changes of keys, in transactions and alone.
async fn write(mut conn: Conn, rows: usize, stop: CancellationToken) -> usize {
    let mut step = 0_usize;
    while !stop.is_cancelled() {
        let at = step * 7919 % (rows * 3);
        let statement = match step % 5 {
            0 => format!("UPDATE t SET n = n + 1 WHERE id BETWEEN {at} AND {at} + 9"),
            1 => format!("INSERT IGNORE INTO t VALUES ({at} + 1, -1, NULL)"),
            2 => format!("DELETE FROM t WHERE id = {at} - {at} % 3"),
            3 => format!("UPDATE IGNORE t SET id = {} WHERE id = {at} - {at} % 3", rows * 3 + step),
            _ => format!("REPLACE INTO t VALUES ({at}, -2, 'replaced')"),
        };
        conn.query_drop(statement).await.unwrap();
        step += 1;
    }
    step
}

/// Waits until a condition holds or the source has ended, as long as a large table takes.
async fn patiently(what: &str, running: &Running, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_mins(15);
    while !holds() && !running.task.is_finished() {
        assert!(tokio::time::Instant::now() < deadline, "{what}: not within a quarter of an hour");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Reads a table while others write, stopping again and again; what was told is what there is.
async fn check(bench: &mut Bench, rows: usize, stops: usize) {
    fill(bench, rows).await;
    let spec = Spec { snapshot: true, ..bench.spec() };
    let stop = CancellationToken::new();
    let writing: Vec<JoinHandle<usize>> = [bench.second().await, bench.second().await]
        .into_iter()
        .map(|conn| tokio::spawn(write(conn, rows, stop.clone())))
        .collect();
    let read = |bench: &Bench| bench.kinds().iter().filter(|kind| *kind == "read").count();
    let mut running = bench.start(spec.clone()).await;
    for part in 1..=stops {
        let least = rows * part / (stops + 2);
        patiently("rows are read", &running, || bench.ingress.count() >= least).await;
        running.end().await.unwrap();
        running = bench.start(spec.clone()).await;
    }
    patiently("the snapshot is whole", &running, || {
        let plan = bench.ingress.position(SNAPSHOT).and_then(|text| Plan::parse(&text));
        plan.is_some_and(|plan| plan.left.is_empty())
    })
    .await;
    stop.cancel();
    let mut writes = 0;
    for writing in writing {
        writes += writing.await.unwrap();
    }
    bench.run_sql(&["INSERT INTO t VALUES (-7, 0, 'last')"]).await;
    let mut conn = bench.second().await;
    let facts = server::facts(&mut conn).await.unwrap();
    let end = server::head(&mut conn, &facts).await.unwrap();
    patiently("all is read", &running, || {
        let read = bench.position();
        position::place(&read.file, read.pos) >= position::place(&end.file, end.pos)
    })
    .await;
    running.end().await.unwrap();
    let (told, there) = (replayed(&bench.ingress.events()), table(bench).await);
    let (reads, events) = (read(bench), bench.ingress.count());
    eprintln!(
        "{}: {reads} rows read, {events} events, {writes} statements, {} rows",
        bench.address,
        there.len()
    );
    let differ: Vec<_> = there.iter().filter(|(key, row)| told.get(*key) != Some(row)).take(5).collect();
    assert!(differ.is_empty(), "told otherwise: {differ:?}");
    assert_eq!(told.len(), there.len());
    assert_eq!(bench.health.poison(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_a_snapshot_joins_the_log_over_stops() {
    for mut bench in benches("a snapshot while others write").await {
        check(&mut bench, 20_000, 3).await;
    }
}

/// The whole size, some minutes:
/// `cargo nextest run --workspace --run-ignored only -E 'test(a_million_rows)'`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; heavy_a_snapshot_joins_the_log_over_stops does the same with fewer rows"]
async fn heavy_a_million_rows() {
    for mut bench in benches("a million rows").await {
        check(&mut bench, 1_000_000, 3).await;
    }
}

#[tokio::test]
async fn keys_of_any_kind_are_read_in_pieces() {
    for mut bench in benches("keys of any kind").await {
        bench
            .run_sql(&[
                "CREATE TABLE t (a VARCHAR(9) CHARACTER SET latin1, b DATETIME(3), c VARBINARY(4), d DECIMAL(9,2), \
                 PRIMARY KEY (a, b, c, d))",
                "CREATE TABLE blank (id INT PRIMARY KEY)",
                "CREATE TABLE `we``ird` (`i``d` BIGINT UNSIGNED PRIMARY KEY)",
                "INSERT INTO `we``ird` VALUES (18446744073709551615), (1)",
            ])
            .await;
        let row = |n: usize| {
            let (a, b, c, d) = (n / 400, n / 100 % 4, n / 10 % 10, n % 10);
            format!("('ü{a}', '2024-01-0{} 00:00:00.00{b}', 0xff0{c}, -{d}.5)", b + 1)
        };
        let rows: Vec<String> = (0..2500).map(row).collect();
        bench.run_sql(&[&format!("INSERT INTO t VALUES {}", rows.join(", "))]).await;
        let running = bench.start(Spec { snapshot: true, ..bench.spec() }).await;
        bench.count(2502).await;
        running.end().await.unwrap();
        let ids: std::collections::BTreeSet<Arc<str>> =
            bench.ingress.events().iter().map(|event| event.id.clone()).collect();
        assert_eq!(ids.len(), 2502);
        // It is not begun anew.
        let running = bench.start(Spec { snapshot: true, ..bench.spec() }).await;
        bench.run_sql(&["INSERT INTO blank VALUES (1)"]).await;
        bench.count(2503).await;
        running.end().await.unwrap();
    }
}

/// Keys whose order is not that of their texts, and numbers that are one as a double.
#[tokio::test]
async fn keys_are_compared_in_their_own_order() {
    const ROWS: usize = 2500;
    for mut bench in benches("keys in their own order").await {
        bench
            .run_sql(&[
                "CREATE TABLE e (e ENUM('z','m','a'), s SET('y','x'), b BIT(16), PRIMARY KEY (e, s, b))",
                "CREATE TABLE d (d DECIMAL(30,2), n INT, PRIMARY KEY (d, n))",
            ])
            .await;
        let of_names = |n: usize| format!("({}, {}, {n})", n % 3 + 1, n % 4);
        let of_numbers = |n: usize| format!("(1234567890123456789012345678.{:02}, {n})", n % 7);
        for (table, row) in [("e", &of_names as &dyn Fn(usize) -> String), ("d", &of_numbers)] {
            let rows: Vec<String> = (0..ROWS).map(row).collect();
            bench.run_sql(&[&format!("INSERT INTO {table} VALUES {}", rows.join(", "))]).await;
        }
        // Stopped within, so that the key comes out of its saved text too.
        let spec = Spec { snapshot: true, ..bench.spec() };
        let mut running = bench.start(spec.clone()).await;
        for least in [1000, 3500] {
            until("a part is read", || bench.ingress.count() >= least).await;
            running.end().await.unwrap();
            running = bench.start(spec.clone()).await;
        }
        bench.count(2 * ROWS).await;
        running.end().await.unwrap();
        let subjects: std::collections::BTreeSet<Arc<str>> =
            bench.ingress.events().iter().map(|event| event.id.clone()).collect();
        assert_eq!(subjects.len(), 2 * ROWS, "{}", bench.address);
    }
}

#[tokio::test]
async fn a_table_without_a_key_is_refused() {
    for mut bench in benches("no key").await {
        bench.run_sql(&["CREATE TABLE t (a INT)", "INSERT INTO t VALUES (1)"]).await;
        let error = bench.run(Spec { snapshot: true, ..bench.spec() }).task.await.unwrap().unwrap_err();
        assert_eq!(&*error.code, "mysql-snapshot-key", "{error:?}");
        // Its changes are told all the same.
        (bench.ingress, bench.health) = (Recorder::new(), Board::new());
        let running = bench.start(bench.spec()).await;
        bench.run_sql(&["UPDATE t SET a = 2"]).await;
        bench.count(1).await;
        assert_eq!(bench.ingress.events()[0].subject, None);
        running.end().await.unwrap();
    }
}
