//! What is seldom done to tables, and what is told of it.

use super::*;

/// What is told of statements, a line an event: kind, table, subject, before and after.
async fn check(servers: &str, statements: &[&str], expected: &str) {
    for mut bench in benches("odd things").await {
        if !servers.contains(if bench.is_mariadb { "mariadb" } else { "mysql" }) {
            continue;
        }
        bench.run_sql(&["CREATE TABLE last (id INT PRIMARY KEY)"]).await;
        let running = bench.start(bench.spec()).await;
        bench.run_sql(statements).await;
        bench.run_sql(&["INSERT INTO last VALUES (1)"]).await;
        let is_last = |event: &Event| event.source.ends_with("/last");
        until("all is told", || bench.ingress.events().iter().any(is_last) || running.task.is_finished())
            .await;
        running.end().await.unwrap();
        let events = bench.ingress.events();
        let lines: Vec<String> = events.iter().filter(|event| !is_last(event)).map(line).collect();
        let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        assert_eq!(lines, expected, "{}", bench.address);
        assert_eq!(bench.health.poison(), [""; 0], "{}", bench.address);
    }
}

const BOTH: &str = "mariadb mysql";

fn line(event: &Event) -> String {
    let data = data(event);
    let row = |name: &str| data.get(name).unwrap().to_string();
    let end = |text: &str, mark: char| text.rsplit(mark).next().unwrap().to_owned();
    let (kind, table) = (end(&event.kind, '.'), end(&event.source, '/'));
    format!("{kind} {table} {} {} {}", event.subject.as_deref().unwrap_or("-"), row("before"), row("after"))
}

#[tokio::test]
async fn columns_that_are_computed_or_not_seen() {
    check(
        BOTH,
        &[
            "CREATE TABLE t (id INT PRIMARY KEY, a INT, v INT AS (a + 1) VIRTUAL, s INT AS (a + 2) STORED, \
             h INT INVISIBLE DEFAULT 7)",
            "INSERT INTO t (id, a) VALUES (1, 10)",
            "UPDATE t SET a = 11",
        ],
        r#"inserted t 1 null {"id":1,"a":10,"v":11,"s":12,"h":7}
           updated t 1 {"id":1,"a":10,"v":11,"s":12,"h":7} {"id":1,"a":11,"v":12,"s":13,"h":7}"#,
    )
    .await;
    let made = ["CREATE TABLE t (id INT PRIMARY KEY, a INT, INDEX ((a + 1)))", "INSERT INTO t VALUES (1, 2)"];
    check("mysql", &made, r#"inserted t 1 null {"id":1,"a":2}"#).await;
}

#[tokio::test]
async fn keys_that_change() {
    check(
        BOTH,
        &[
            "CREATE TABLE t (a INT, b VARCHAR(9), z INT, PRIMARY KEY (b, a))",
            "INSERT INTO t VALUES (1, 'x', 2)",
            "UPDATE t SET a = 2",
            "INSERT INTO t VALUES (2, 'x', 3) ON DUPLICATE KEY UPDATE z = 9",
            "REPLACE INTO t VALUES (2, 'x', 4)",
            "DELETE FROM t",
            "CREATE TABLE u (a INT UNIQUE, n INT)",
            "INSERT INTO u VALUES (NULL, 1)",
            "UPDATE u SET n = 3",
        ],
        r#"inserted t x,1 null {"a":1,"b":"x","z":2}
           updated t x,2 {"a":1,"b":"x","z":2} {"a":2,"b":"x","z":2}
           updated t x,2 {"a":2,"b":"x","z":2} {"a":2,"b":"x","z":9}
           updated t x,2 {"a":2,"b":"x","z":9} {"a":2,"b":"x","z":4}
           deleted t x,2 {"a":2,"b":"x","z":4} null
           inserted u - null {"a":null,"n":1}
           updated u - {"a":null,"n":1} {"a":null,"n":3}"#,
    )
    .await;
}

#[tokio::test]
async fn schemas_that_change_in_mid_stream() {
    check(
        BOTH,
        &[
            "CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT)",
            "INSERT INTO t VALUES (1, 1, 1)",
            "ALTER TABLE t ADD COLUMN c VARCHAR(3) DEFAULT 'x' AFTER id",
            "INSERT INTO t VALUES (2, 'c', 2, 2)",
            "ALTER TABLE t DROP COLUMN a",
            "ALTER TABLE t RENAME COLUMN b TO bb",
            "ALTER TABLE t MODIFY COLUMN bb VARCHAR(20)",
            "INSERT INTO t VALUES (4, 'c', 'four')",
            "ALTER TABLE t DROP PRIMARY KEY",
            "INSERT INTO t VALUES (5, NULL, NULL)",
            "RENAME TABLE t TO u",
            "INSERT INTO u VALUES (6, NULL, NULL)",
            "TRUNCATE TABLE u",
            "DROP TABLE u",
            "CREATE TABLE u (id INT PRIMARY KEY) PARTITION BY HASH (id) PARTITIONS 3",
            "INSERT INTO u VALUES (7)",
            "ALTER TABLE u TRUNCATE PARTITION p1",
            "INSERT INTO u VALUES (8)",
        ],
        r#"inserted t 1 null {"id":1,"a":1,"b":1}
           inserted t 2 null {"id":2,"c":"c","a":2,"b":2}
           inserted t 4 null {"id":4,"c":"c","bb":"four"}
           inserted t - null {"id":5,"c":null,"bb":null}
           inserted u - null {"id":6,"c":null,"bb":null}
           inserted u 7 null {"id":7}
           inserted u 8 null {"id":8}"#,
    )
    .await;
}

#[tokio::test]
async fn what_changes_besides_the_statement() {
    check(
        BOTH,
        &[
            "CREATE TABLE t (id INT PRIMARY KEY, n INT)",
            "CREATE TABLE copy (id INT PRIMARY KEY)",
            "CREATE VIEW v AS SELECT * FROM t",
            "CREATE TRIGGER tr AFTER INSERT ON t FOR EACH ROW INSERT INTO copy VALUES (NEW.id)",
            "INSERT INTO v VALUES (1, 1)",
            // What the engine does by a foreign key is not in the log.
            "CREATE TABLE c (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES t (id) ON DELETE CASCADE)",
            "INSERT INTO c VALUES (1, 1)",
            "DELETE FROM t",
        ],
        r#"inserted t 1 null {"id":1,"n":1}
           inserted copy 1 null {"id":1}
           inserted c 1 null {"id":1,"p":1}
           deleted t 1 {"id":1,"n":1} null"#,
    )
    .await;
}

#[tokio::test]
async fn transactions_of_other_kinds() {
    // Prepared is told, whatever becomes of it.
    check(
        BOTH,
        &[
            "CREATE TABLE t (id INT PRIMARY KEY)",
            "XA START 'a'",
            "INSERT INTO t VALUES (1)",
            "XA END 'a'",
            "XA PREPARE 'a'",
            "XA COMMIT 'a'",
            "XA START 'b'",
            "INSERT INTO t VALUES (2)",
            "XA END 'b'",
            "XA COMMIT 'b' ONE PHASE",
            "XA START 'c'",
            "INSERT INTO t VALUES (3)",
            "XA END 'c'",
            "XA PREPARE 'c'",
            "XA ROLLBACK 'c'",
            "INSERT INTO t VALUES (4)",
        ],
        r#"inserted t 1 null {"id":1}
           inserted t 2 null {"id":2}
           inserted t 3 null {"id":3}
           inserted t 4 null {"id":4}"#,
    )
    .await;
    check(
        BOTH,
        &[
            "CREATE TABLE m (id INT PRIMARY KEY, n INT) ENGINE=MyISAM",
            "INSERT INTO m VALUES (1, 1), (2, 2)",
            "UPDATE m SET n = 5 WHERE id = 2",
            "CREATE TEMPORARY TABLE tmp (id INT PRIMARY KEY)",
            "INSERT INTO tmp VALUES (1)",
            "INSERT INTO m SELECT id + 100, 0 FROM tmp",
        ],
        r#"inserted m 1 null {"id":1,"n":1}
           inserted m 2 null {"id":2,"n":2}
           updated m 2 {"id":2,"n":2} {"id":2,"n":5}
           inserted m 101 null {"id":101,"n":0}"#,
    )
    .await;
    check(
        "mariadb",
        &[
            "CREATE TABLE t (id INT PRIMARY KEY)",
            "CREATE TABLE m (id INT PRIMARY KEY) ENGINE=MyISAM",
            "BEGIN",
            "INSERT INTO t VALUES (1)",
            "INSERT INTO m VALUES (1)",
            "ROLLBACK",
        ],
        r#"inserted m 1 null {"id":1}"#,
    )
    .await;
}

#[tokio::test]
async fn names_and_many_columns() {
    check(
        BOTH,
        &[
            "CREATE TABLE `T` (`ID` INT PRIMARY KEY, `a b` INT, `ü` INT)",
            "CREATE TABLE t (id INT PRIMARY KEY)",
            "CREATE TABLE `a/b c` (id INT PRIMARY KEY)",
            "INSERT INTO `T` VALUES (1, 2, 3)",
            "INSERT INTO t VALUES (4)",
            "INSERT INTO `a/b c` VALUES (5)",
        ],
        r#"inserted T 1 null {"ID":1,"a b":2,"ü":3}
           inserted t 4 null {"id":4}
           inserted a%2Fb%20c 5 null {"id":5}"#,
    )
    .await;
    let many: Vec<String> = (0..1000).map(|n| format!("c{n}")).collect();
    let create =
        format!("CREATE TABLE t (id INT PRIMARY KEY, {} INT UNSIGNED)", many.join(" INT UNSIGNED, "));
    let insert = "INSERT INTO t (id, c7, c999) VALUES (1, 4294967295, 5)".to_string();
    let row: Vec<String> = many
        .iter()
        .map(|name| match name.as_str() {
            "c7" => format!(r#""{name}":4294967295"#),
            "c999" => format!(r#""{name}":5"#),
            _ => format!(r#""{name}":null"#),
        })
        .collect();
    let expected = format!(r#"inserted t 1 null {{"id":1,{}}}"#, row.join(","));
    check(BOTH, &[&create, &insert], &expected).await;
}

#[tokio::test]
async fn patterns_that_take_no_table_are_told() {
    for mut bench in benches("patterns without tables").await {
        bench.run_sql(&["CREATE TABLE orders (id INT PRIMARY KEY)"]).await;
        let filter =
            |table: &str| TableFilter { include: vec![bench.tables(Some(table))], exclude: Vec::new() };
        let mut conn = bench.second().await;
        let mut check = async |table: &str, near: Option<&str>| {
            let found = schema::absent(&mut conn, &filter(table)).await.unwrap();
            let name = |table: &str| format!("{}.{table}", bench.database);
            assert_eq!(found, Some((name(table), near.map(name))));
        };
        check("ordres", Some("orders")).await;
        check("Orders", Some("orders")).await;
        let running = bench.start(Spec { tables: filter("ordres"), ..bench.spec() }).await;
        until("it is told", || bench.health.trouble().contains(&"mysql-tables".to_owned())).await;
        let mut own = bench.second().await;
        for statement in ["CREATE TABLE ordres (id INT PRIMARY KEY)", "INSERT INTO ordres VALUES (1)"] {
            own.query_drop(statement).await.unwrap();
        }
        bench.count(1).await;
        running.end().await.unwrap();
        let found = schema::absent(&mut own, &filter("orders")).await.unwrap();
        assert_eq!(found, None);
    }
}
