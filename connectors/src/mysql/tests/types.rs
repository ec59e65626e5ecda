//! Golden pairs: each type of column, as the log tells it and as a snapshot reads it.

use super::*;

/// Type, value, and what it becomes. Types that one server alone has are told apart below.
const TYPES: &[(&str, &str, &str)] = &[
    ("TINYINT", "-128", "-128"),
    ("TINYINT UNSIGNED", "255", "255"),
    ("SMALLINT", "-32768", "-32768"),
    ("SMALLINT UNSIGNED", "65535", "65535"),
    ("MEDIUMINT", "-8388608", "-8388608"),
    ("MEDIUMINT UNSIGNED", "16777215", "16777215"),
    ("INT", "-2147483648", "-2147483648"),
    ("INT UNSIGNED", "4294967295", "4294967295"),
    ("BIGINT", "-9223372036854775808", "-9223372036854775808"),
    ("YEAR", "2155", "2155"),
    ("YEAR", "0", "0"),
    ("TINYINT", "-1", "-1"),
    ("BIGINT UNSIGNED", "18446744073709551615", "18446744073709551615"),
    ("BOOLEAN", "TRUE", "1"),
    ("DECIMAL(10,2)", "-12345678.90", r#""-12345678.90""#),
    (
        "DECIMAL(65,30)",
        "12345678901234567890123456789012345.123456789012345678901234567890",
        r#""12345678901234567890123456789012345.123456789012345678901234567890""#,
    ),
    ("DECIMAL(5,0) ZEROFILL", "42", r#""42""#),
    ("DECIMAL(4,4)", "-0.0001", r#""-0.0001""#),
    ("FLOAT", "1.1", "1.1"),
    ("DOUBLE", "-1.7976931348623157e308", "-1.7976931348623157e+308"),
    ("BIT(1)", "b'1'", "1"),
    ("BIT(12)", "b'100000000001'", "2049"),
    ("BIT(64)", "0xffffffffffffffff", "18446744073709551615"),
    ("ENUM('small','large''s','ü')", "'large''s'", r#""large's""#),
    ("ENUM('a','b')", "'nonsense'", r#""""#),
    ("SET('a','b','c')", "'c,a'", r#"["a","c"]"#),
    ("SET('a','b','c')", "''", "[]"),
    ("DATE", "'2024-02-29'", r#""2024-02-29""#),
    ("DATE", "'0000-00-00'", r#""0000-00-00""#),
    ("DATE", "'2024-00-00'", r#""2024-00-00""#),
    ("DATETIME", "'9999-12-31 23:59:59'", r#""9999-12-31T23:59:59""#),
    ("DATETIME(6)", "'2024-02-29 01:02:03.000004'", r#""2024-02-29T01:02:03.000004""#),
    ("DATETIME(3)", "'0000-00-00 00:00:00'", r#""0000-00-00T00:00:00.000""#),
    ("TIMESTAMP NULL", "'2038-01-19 03:14:07'", r#""2038-01-19T03:14:07Z""#),
    ("TIMESTAMP(2) NULL", "'2024-02-29 01:02:03.45'", r#""2024-02-29T01:02:03.45Z""#),
    ("TIMESTAMP NULL", "'0000-00-00 00:00:00'", r#""0000-00-00T00:00:00Z""#),
    ("TIME", "'-838:59:59'", r#""-838:59:59""#),
    ("TIME(6)", "'-00:00:01.000001'", r#""-00:00:01.000001""#),
    ("TIME(1)", "'25:00:00.5'", r#""25:00:00.5""#),
    ("CHAR(10)", "'ab'", r#""ab""#),
    ("CHAR(255)", "'Grüße 🌊'", r#""Grüße 🌊""#),
    ("VARCHAR(20) CHARACTER SET latin1", "'Grüße €'", r#""Grüße €""#),
    ("VARCHAR(20) CHARACTER SET cp1251", "'Мир'", r#""Мир""#),
    ("VARCHAR(20) CHARACTER SET gbk", "'你好'", r#""你好""#),
    ("VARCHAR(20) CHARACTER SET ucs2", "'Grüße'", r#""Grüße""#),
    ("VARCHAR(20) CHARACTER SET utf16", "'🌊'", r#""🌊""#),
    ("VARCHAR(20) CHARACTER SET utf32", "'🌊'", r#""🌊""#),
    ("VARCHAR(300)", "REPEAT('x', 3)", r#""xxx""#),
    ("TINYTEXT", "'t'", r#""t""#),
    ("TEXT", "''", r#""""#),
    ("MEDIUMTEXT", "'m'", r#""m""#),
    ("LONGTEXT", "'l'", r#""l""#),
    ("BINARY(4)", "'a'", r#""YQAAAA==""#),
    ("VARBINARY(4)", "0x00ff", r#""AP8=""#),
    ("TINYBLOB", "0x01", r#""AQ==""#),
    ("BLOB", "0xff", r#""/w==""#),
    ("MEDIUMBLOB", "0x02", r#""Ag==""#),
    ("LONGBLOB", "''", r#""""#),
    ("POINT", "ST_GeomFromText('POINT(1 2)')", r#""AAAAAAEBAAAAAAAAAAAA8D8AAAAAAAAAQA==""#),
    ("INT", "NULL", "null"),
    ("VARCHAR(9)", "NULL", "null"),
];

/// Of MySQL: binary JSON. MariaDB keeps JSON as the text it was.
const JSON: &[(&str, &str)] = &[
    (
        r#"{"a": [1, -2, 3.5, "x", true, null], "b": {"c": "ü"}}"#,
        r#"{"a":[1,-2,3.5,"x",true,null],"b":{"c":"ü"}}"#,
    ),
    ("18446744073709551615", "18446744073709551615"),
    ("[]", "[]"),
    ("-70000", "-70000"),
];

#[tokio::test]
async fn every_type_is_the_same_by_log_and_by_snapshot() {
    for mut bench in benches("types").await {
        let mut columns: Vec<(String, String, String)> =
            TYPES.iter().map(|(t, v, e)| ((*t).into(), (*v).into(), (*e).into())).collect();
        if bench.is_mariadb {
            columns.push(("JSON".into(), r#"'{"a": 1}'"#.into(), r#""{\"a\": 1}""#.into()));
        } else {
            let json = |(text, read): &(&str, &str)| ("JSON".into(), format!("'{text}'"), (*read).to_owned());
            columns.extend(JSON.iter().map(json));
            let made = "JSON_OBJECT('d', CAST(1.50 AS DECIMAL(4,2)), 't', CAST('2015-01-15 23:24:25' AS DATETIME), 'b', CAST(0x07 AS BINARY))";
            columns.push((
                "JSON".into(),
                made.into(),
                r#"{"b":"base64:type15:Bw==","d":1.5,"t":"2015-01-15 23:24:25.000000"}"#.into(),
            ));
        }
        let made: Vec<String> =
            columns.iter().enumerate().map(|(n, (kind, ..))| format!("c{n} {kind}")).collect();
        let values: Vec<&str> = columns.iter().map(|(_, value, _)| value.as_str()).collect();
        let running = bench.start(bench.spec()).await;
        let create = format!("CREATE TABLE t (id INT PRIMARY KEY, {})", made.join(", "));
        let insert = format!("INSERT INTO t VALUES (1, {})", values.join(", "));
        bench.run_sql(&["SET SESSION sql_mode = 'ALLOW_INVALID_DATES'", &create, &insert]).await;
        bench.count(1).await;
        running.end().await.unwrap();
        let by_log = data(&bench.ingress.events()[0]);

        bench.ingress = Recorder::new();
        let running = bench.start(Spec { snapshot: true, ..bench.spec() }).await;
        bench.count(1).await;
        running.end().await.unwrap();
        let by_snapshot = data(&bench.ingress.events()[0]);
        for (n, (kind, value, expected)) in columns.iter().enumerate() {
            let of = |data: &Value| data.get("after").unwrap().get(&format!("c{n}")).unwrap().to_string();
            let server = &bench.address;
            assert_eq!(of(&by_log), *expected, "{kind} {value} of the log on {server}");
            assert_eq!(of(&by_snapshot), *expected, "{kind} {value} of the snapshot on {server}");
        }
        assert_eq!(by_log.get("columns"), by_snapshot.get("columns"));
        assert_eq!(by_log.get("primaryKey").unwrap().to_string(), r#"{"id":1}"#);
        assert_eq!(bench.health.poison(), [""; 0]);
    }
}

#[tokio::test]
async fn heavy_types_without_metadata_come_from_the_schema() {
    for mut bench in benches("types without metadata").await {
        let least = if bench.is_mariadb { "NO_LOG" } else { "MINIMAL" };
        bench.run_sql(&[&format!("SET GLOBAL binlog_row_metadata = '{least}'")]).await;
        bench
            .run_sql(&["CREATE TABLE t (id BIGINT UNSIGNED PRIMARY KEY, e ENUM('a','b'), s SET('x','y'), \
                        l VARCHAR(9) CHARACTER SET latin1, b BLOB, n TINYINT UNSIGNED)"])
            .await;
        let running = bench.start(bench.spec()).await;
        bench.run_sql(&["INSERT INTO t VALUES (18446744073709551615, 'b', 'y', 'ü', 0xff, 200)"]).await;
        bench.count(1).await;
        // What stands in the log before the schema is read anew may be of another one.
        bench.run_sql(&["ALTER TABLE t ADD COLUMN z INT", "UPDATE t SET z = 1"]).await;
        bench.count(2).await;
        running.end().await.unwrap();
        bench.run_sql(&["SET GLOBAL binlog_row_metadata = 'FULL'"]).await;
        let after = data(&bench.ingress.events()[0]).get("after").unwrap().to_string();
        assert_eq!(after, r#"{"id":18446744073709551615,"e":"b","s":["y"],"l":"ü","b":"/w==","n":200}"#);
        let second = &bench.ingress.events()[1];
        assert_eq!(data(second).get("after").unwrap().get("z").unwrap().to_string(), "1");
        assert_eq!(second.subject.as_deref(), Some("18446744073709551615"));
    }
}
