//! The log: order, ids, positions, changes of schemas, and what is no change of rows.

use std::collections::BTreeSet;

use super::*;

fn numbers(bench: &Bench) -> Vec<String> {
    bench.data().iter().map(|data| data.get("after").unwrap().get("n").unwrap().to_string()).collect()
}

#[tokio::test]
async fn changes_come_in_order_and_resume_exactly() {
    for mut bench in benches("order and resume").await {
        bench.run_sql(&["CREATE TABLE t (id INT PRIMARY KEY, n INT)"]).await;
        let running = bench.start(bench.spec()).await;
        bench
            .run_sql(&[
                "INSERT INTO t VALUES (1, 0), (2, 0)",
                "BEGIN",
                "UPDATE t SET n = 1 WHERE id = 1",
                "SAVEPOINT s",
                "UPDATE t SET n = 9",
                "ROLLBACK TO s",
                "UPDATE t SET n = 2 WHERE id = 1",
                "COMMIT",
                "BEGIN",
                "DELETE FROM t",
                "ROLLBACK",
                "DELETE FROM t WHERE id = 2",
            ])
            .await;
        bench.count(5).await;
        let kinds = ["inserted", "inserted", "updated", "updated", "deleted"];
        assert_eq!(bench.kinds(), kinds);
        running.end().await.unwrap();
        let saved = bench.position();
        // While it does not run.
        bench
            .run_sql(&["INSERT INTO t VALUES (3, 3)", "FLUSH BINARY LOGS", "INSERT INTO t VALUES (4, 4)"])
            .await;
        let running = bench.start(bench.spec()).await;
        bench.count(7).await;
        let again = bench.position();
        assert_ne!((&saved.file, saved.pos), (&again.file, again.pos));
        // By file and place alone.
        running.end().await.unwrap();
        bench.ingress.save(BINLOG, &format!("{}:{}", saved.file, saved.pos));
        let running = bench.start(bench.spec()).await;
        bench.count(9).await;
        // By GTIDs alone.
        running.end().await.unwrap();
        bench.ingress.save(BINLOG, &saved.gtids.unwrap().to_string());
        let running = bench.start(bench.spec()).await;
        bench.count(11).await;
        running.end().await.unwrap();
        let ids: Vec<Arc<str>> = bench.ingress.events().iter().map(|event| event.id.clone()).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 7, "{ids:?}");
        assert_eq!((&ids[5..7], &ids[5..7]), (&ids[7..9], &ids[9..11]));
        let expected = bench.address.as_str();
        assert_eq!(bench.health.poison(), [""; 0], "{expected}");
    }
}

#[tokio::test]
async fn a_quiet_table_moves_on() {
    for mut bench in benches("a quiet table").await {
        bench
            .run_sql(&["CREATE TABLE t (id INT PRIMARY KEY)", "CREATE TABLE other (id INT PRIMARY KEY)"])
            .await;
        let quiet = TableFilter { include: vec![bench.tables(Some("t"))], exclude: Vec::new() };
        let running = bench.start(Spec { tables: quiet, ..bench.spec() }).await;
        let first = bench.position();
        bench
            .run_sql(&["INSERT INTO other VALUES (1)", "FLUSH BINARY LOGS", "INSERT INTO other VALUES (2)"])
            .await;
        until("the position moves", || {
            let moved = bench.position();
            position::place(&moved.file, moved.pos) > position::place(&first.file, u64::MAX)
        })
        .await;
        assert_eq!(bench.ingress.count(), 0);
        running.end().await.unwrap();
    }
}

#[tokio::test]
async fn a_schema_changes_in_between() {
    for mut bench in benches("a schema that changes").await {
        let running = bench.start(bench.spec()).await;
        bench
            .run_sql(&[
                "CREATE TABLE t (id INT PRIMARY KEY, a INT)",
                "INSERT INTO t VALUES (1, 1)",
                "ALTER TABLE t ADD COLUMN b VARCHAR(9) FIRST, DROP COLUMN a",
                "INSERT INTO t VALUES ('x', 2)",
                "CREATE TABLE u AS SELECT id, b FROM t",
                "RENAME TABLE t TO v",
                "UPDATE v SET b = 'y' WHERE id = 2",
                "TRUNCATE TABLE v",
                "DROP TABLE v, u",
            ])
            .await;
        bench.count(5).await;
        let afters: Vec<String> =
            bench.data().iter().map(|data| data.get("after").unwrap().to_string()).collect();
        let copied = [r#"{"id":1,"b":null}"#, r#"{"id":2,"b":"x"}"#];
        let expected =
            [r#"{"id":1,"a":1}"#, r#"{"b":"x","id":2}"#, copied[0], copied[1], r#"{"b":"y","id":2}"#];
        assert_eq!(afters, expected, "{}", bench.address);
        running.end().await.unwrap();
    }
}

#[tokio::test]
async fn partial_images_and_statements() {
    for mut bench in benches("partial images").await {
        bench.run_sql(&["CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT)"]).await;
        let running = bench.start(bench.spec()).await;
        bench
            .run_sql(&[
                "INSERT INTO t VALUES (1, 2, 3)",
                "SET SESSION binlog_row_image = 'MINIMAL'",
                "UPDATE t SET a = 5 WHERE id = 1",
                "SET SESSION binlog_format = 'STATEMENT'",
                "UPDATE t SET a = 6 WHERE id = 1",
                "SET SESSION binlog_format = 'ROW', binlog_row_image = 'FULL'",
                "DELETE FROM t WHERE id = 1",
            ])
            .await;
        bench.count(3).await;
        let data = &bench.data()[1];
        let shown = |name: &str| data.get(name).unwrap().to_string();
        assert_eq!((shown("before"), shown("after")), (r#"{"id":1}"#.into(), r#"{"a":5}"#.into()));
        let poison = bench.health.poison();
        assert_eq!(
            poison,
            ["a session wrote by statements and not by rows: UPDATE t SET a = 6 WHERE id = 1"]
        );
        running.end().await.unwrap();
    }
}

#[tokio::test]
async fn a_large_transaction_is_taken_in_parts_and_resumes_within() {
    const ROWS: usize = 5000;
    for mut bench in benches("a large transaction").await {
        bench.run_sql(&["CREATE TABLE t (id INT PRIMARY KEY, n INT)"]).await;
        bench.ingress = Recorder::closed();
        let running = bench.run(bench.spec());
        // The first position may be saved, and nothing else.
        bench.ingress.open();
        until("it runs", || bench.health.state() == "running").await;
        let values: Vec<String> = (0..ROWS).map(|n| format!("({n}, {n})")).collect();
        bench.run_sql(&["BEGIN"]).await;
        for part in values.chunks(1000) {
            bench.run_sql(&[&format!("INSERT INTO t VALUES {}", part.join(", "))]).await;
        }
        bench.run_sql(&["COMMIT"]).await;
        // Stopped somewhere within it, again and again.
        let mut running = Some(running);
        while bench.ingress.count() < ROWS {
            let least = (bench.ingress.count() + 700).min(ROWS);
            until("rows are taken", || bench.ingress.count() >= least).await;
            running.take().unwrap().end().await.unwrap();
            running = Some(bench.run(bench.spec()));
        }
        running.take().unwrap().end().await.unwrap();
        assert!(bench.ingress.batches().iter().all(|batch| batch.events.len() <= BATCH_RECORDS));
        // Each once, in order: also behind a stop the position tells what of it was taken.
        let expected: Vec<String> = (0..ROWS).map(|n| n.to_string()).collect();
        assert_eq!(numbers(&bench), expected, "{}", bench.address);
    }
}

#[tokio::test]
async fn compressed_transactions() {
    for mut bench in benches("compressed transactions").await {
        if bench.is_mariadb {
            continue;
        }
        bench.run_sql(&["CREATE TABLE t (id INT PRIMARY KEY, n INT)"]).await;
        let running = bench.start(bench.spec()).await;
        bench
            .run_sql(&[
                "SET SESSION binlog_transaction_compression = ON",
                "INSERT INTO t VALUES (1, 1), (2, 2)",
                "BEGIN",
                "UPDATE t SET n = 3 WHERE id = 1",
                "UPDATE t SET n = 4 WHERE id = 1",
                "COMMIT",
                "SET SESSION binlog_transaction_compression = OFF",
                "INSERT INTO t VALUES (3, 5)",
            ])
            .await;
        bench.count(5).await;
        assert_eq!(numbers(&bench), ["1", "2", "3", "4", "5"]);
        running.end().await.unwrap();
        let running = bench.start(bench.spec()).await;
        bench.run_sql(&["UPDATE t SET n = 6 WHERE id = 3"]).await;
        bench.count(6).await;
        running.end().await.unwrap();
    }
}

#[tokio::test]
async fn heavy_compressed_events_of_mariadb() {
    for mut bench in benches("compressed events").await {
        if !bench.is_mariadb {
            continue;
        }
        bench.run_sql(&["CREATE TABLE t (id INT PRIMARY KEY, n INT, x TEXT)"]).await;
        bench.run_sql(&["SET GLOBAL log_bin_compress = ON, GLOBAL log_bin_compress_min_len = 10"]).await;
        let running = bench.start(bench.spec()).await;
        bench
            .run_sql(&[
                "INSERT INTO t VALUES (1, 1, REPEAT('x', 2000)), (2, 2, REPEAT('y', 2000))",
                "UPDATE t SET n = 3 WHERE id = 1",
                "ALTER TABLE t ADD COLUMN long_name_of_a_column_that_makes_the_statement_long INT",
                "DELETE FROM t WHERE id = 2",
            ])
            .await;
        bench.count(4).await;
        running.end().await.unwrap();
        bench.run_sql(&["SET GLOBAL log_bin_compress = OFF"]).await;
        assert_eq!(bench.kinds(), ["inserted", "inserted", "updated", "deleted"]);
        let text = bench.data()[0].get("after").unwrap().get("x").unwrap().as_str().unwrap().len();
        assert_eq!((text, bench.health.poison()), (2000, Vec::new()));
    }
}

#[tokio::test]
async fn operations_and_tables_are_chosen() {
    for mut bench in benches("operations and tables").await {
        bench
            .run_sql(&["CREATE TABLE t (id INT PRIMARY KEY)", "CREATE TABLE audit (id INT PRIMARY KEY)"])
            .await;
        let operations = Operations { insert: true, update: false, delete: true };
        let exclude = vec![bench.tables(Some("audit"))];
        let tables = TableFilter { exclude, ..bench.spec().tables };
        let running = bench.start(Spec { tables, operations, ..bench.spec() }).await;
        bench
            .run_sql(&[
                "INSERT INTO t VALUES (1)",
                "INSERT INTO audit VALUES (1)",
                "UPDATE t SET id = 2",
                "DELETE FROM t",
            ])
            .await;
        bench.count(2).await;
        assert_eq!(bench.kinds(), ["inserted", "deleted"]);
        let source = format!("mysql://db:3306/{}/t", bench.database);
        assert!(bench.ingress.events().iter().all(|event| *event.source == *source));
        running.end().await.unwrap();
    }
}

#[tokio::test]
async fn credentials_are_told_and_may_come_later() {
    for mut bench in benches("credentials").await {
        let name = format!("u{}", NUMBERS.fetch_add(1, Ordering::Relaxed));
        let user = format!("'{name}_{}'@'%'", std::process::id());
        let login = user.trim_end_matches("@'%'").trim_matches('\'').to_owned();
        let plugin = if bench.is_mariadb { "" } else { "WITH caching_sha2_password " };
        bench.run_sql(&[&format!("CREATE USER {user} IDENTIFIED {plugin}BY 'right'")]).await;
        let spec = |password: &str| Spec { place: place(&bench.address, &login, password), ..bench.spec() };
        let refused = |spec: Spec| bench.run(spec).task;
        let error = refused(spec("wrong")).await.unwrap().unwrap_err();
        assert_eq!((&*error.code, error.permanent), ("mysql-auth", false), "{error:?}");
        let error = refused(spec("right")).await.unwrap().unwrap_err();
        assert_eq!(&*error.code, "mysql-denied", "{error:?}");
        let right = spec("right");
        let client = if bench.is_mariadb { "BINLOG MONITOR" } else { "REPLICATION CLIENT" };
        bench.run_sql(&[&format!("GRANT REPLICATION SLAVE, {client}, SELECT ON *.* TO {user}")]).await;
        bench.run_sql(&["CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)"]).await;
        // Reading the rows that are there takes no more rights.
        let running = bench.start(Spec { snapshot: true, ..right }).await;
        bench.run_sql(&["INSERT INTO t VALUES (2)"]).await;
        bench.count(2).await;
        running.end().await.unwrap();
        bench.run_sql(&[&format!("DROP USER {user}")]).await;
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let found = server::connect(&place(&address, "root", "")).await;
    assert_eq!(found.err().map(|error| error.code.to_string()).as_deref(), Some("mysql-unreachable"));
}

#[tokio::test]
async fn a_full_ingress_holds_the_log() {
    for mut bench in benches("a full ingress").await {
        bench.run_sql(&["CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, x TEXT)"]).await;
        let running = bench.start(bench.spec()).await;
        let first = bench.position();
        bench.ingress.refuse(3);
        let rows = vec!["(NULL, REPEAT('x', 100))"; 3000].join(", ");
        bench.run_sql(&[&format!("INSERT INTO t VALUES {rows}")]).await;
        until("it says that it is held", || bench.health.trouble().contains(&"source-held".to_owned())).await;
        assert_eq!(bench.position(), first);
        bench.count(3000).await;
        assert_eq!(bench.health.state(), "running");
        running.end().await.unwrap();
    }
}
