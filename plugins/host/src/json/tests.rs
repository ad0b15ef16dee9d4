//! The walk against examples, and against a parser.
#![allow(clippy::unwrap_used)]

mod parser;

use proptest::prelude::*;

use super::json;

#[test]
fn one_field_comes_out() {
    for (document, path, want) in [
        (r#"{"a": "x", "b": 1}"#, "a", Some("x")),
        (r#"{"b": 17.50, "a": "x"}"#, "b", Some("17.50")),
        (r#"{"a": {"b": {"c": "deep"}}}"#, "a.b.c", Some("deep")),
        (r#"{"a": [1, {"x": true}]}"#, "a.1.x", Some("true")),
        (r#"["p", "q"]"#, "1", Some("q")),
        (r#"{"a": "tab\tq\u0041"}"#, "a", Some("tab\tqA")),
        (r#"{"a": {"b":1}}"#, "a", Some(r#"{"b":1}"#)),
        (r#"{"\u0061": 1}"#, "a", Some("1")),
        (r#"{"a": ""}"#, "a", Some("")),
        (r#"{"a": null}"#, "a", None),
        (r#"{"a": 1, "a": 2}"#, "a", Some("1")),
        (r#"{"a": {}, "a": {"b": 2}}"#, "a.b", None),
        (r#"{"a": 1} trailing"#, "a", Some("1")),
        (r#"{"x": oops, "a": 1}"#, "a", None),
        (r#"{"a": "unfinished"#, "a", None),
        (r#"{"a": [1]}"#, "a.1", None),
        (r#"{"a": [1]}"#, "a.x", None),
        (r#""text""#, "a", None),
        ("", "a", None),
        ("{}", "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a", None),
    ] {
        let seen = json(document.as_bytes(), path);
        assert_eq!(seen.as_deref(), want.map(str::as_bytes), "{path} of {document}");
    }
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(json(deep.as_bytes(), "0").map(|inner| inner.len()), Some(deep.len() - 2));
}

#[test]
fn what_stands_before_the_field_must_be_json() {
    let cases = [
        "1",
        "-0",
        "0",
        "01",
        "-",
        "1.",
        "1.5e",
        "1.5e+3",
        "1E-7",
        ".5",
        "+1",
        "true",
        "tru",
        "null",
        "nul",
        "[]",
        "[ ]",
        "[,]",
        "[1,]",
        "[1 2]",
        "[1,[2,{\"x\":[]}],3]",
        "{}",
        "{\"x\"}",
        "{\"x\":}",
        "{\"x\":1,}",
        "{x:1}",
        "{\"x\":1]",
        "[1}",
        "\"\\u00e9\"",
        "\"\\u00g9\"",
        "\"\\ud800\"",
        "\"\\x\"",
        "\"\t\"",
        "\"\u{1f}\"",
        "\"\u{7f}\"",
        "\"\\\"",
        "\"\\/\\b\\f\\n\\r\\t\\\\\\\"\"",
        "",
    ];
    for value in cases {
        for document in [
            format!("{{\"x\": {value}, \"a\": 7}}"),
            format!(" {{\"x\":[{value}],\"a\":7"),
            format!("{{\"x\":{{\"y\":{value}}}\n,\"a\" : 7 }}"),
            format!("{{\"a\": {value}}}"),
            format!("{{\"a\": {value}"),
            format!("{{{value}: 1, \"a\": 7}}"),
            format!("[{value}, 7]"),
        ] {
            for path in ["a", "x.y", "x.0", "1", "0", "+1", "01", ""] {
                assert_eq!(
                    json(document.as_bytes(), path),
                    parser::json(document.as_bytes(), path),
                    "{path} of {document}"
                );
            }
        }
    }
}

#[test]
fn what_is_passed_may_be_deep() {
    for depth in [63, 64, 65, 66, 200] {
        let nested = format!("{}1{}", "[{\"k\":".repeat(depth), "}]".repeat(depth));
        let document = format!("{{\"x\":{nested},\"a\":2}}");
        assert_eq!(json(document.as_bytes(), "a").as_deref(), Some(&b"2"[..]), "{depth}");
        let crossed = document.replacen("}]", "]}", 1);
        assert_eq!(json(crossed.as_bytes(), "a"), None, "{depth}");
    }
}

fn document() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?[0-9]{1,3}(\\.[0-9]{0,2})?(e[+-]?[0-9]{0,2})?",
        "\"[a-c\\\\nu00ed\u{1}\u{e9}]{0,6}\"",
        "\"\\PC{0,5}\"",
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let name = prop_oneof![8 => "[abc]", 1 => Just("\\u0061".to_owned()), 1 => "[a\\\\]{0,2}"];
        let space = "[ \n]{0,1}";
        prop_oneof![
            prop::collection::vec((space, inner.clone()), 0..4).prop_map(|all| format!(
                "[{}]",
                all.iter().map(|(s, v)| format!("{s}{v}{s}")).collect::<Vec<_>>().join(",")
            )),
            prop::collection::vec((name, space, inner), 0..4).prop_map(|all| format!(
                "{{{}}}",
                all.iter().map(|(n, s, v)| format!("{s}\"{n}\"{s}:{v}")).collect::<Vec<_>>().join(",")
            )),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_parser_finds_the_same(document in document(), path in "[abc01](\\.[abc01]){0,2}", flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..2)) {
        let mut bytes = document.into_bytes();
        prop_assert_eq!(json(&bytes, &path), parser::json(&bytes, &path));
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        prop_assert_eq!(json(&bytes, &path), parser::json(&bytes, &path), "{}", String::from_utf8_lossy(&bytes));
        bytes.truncate(bytes.len() / 2);
        prop_assert_eq!(json(&bytes, &path), parser::json(&bytes, &path), "{}", String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_bytes_are_survived(document: Vec<u8>, path in "[a.0]{0,8}") {
        prop_assert_eq!(json(&document, &path), parser::json(&document, &path));
    }
}
