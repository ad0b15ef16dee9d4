//! What the derive refuses. What it writes is tested in `watershed-protocol`, against Kafka's definitions.
#![allow(clippy::unwrap_used, reason = "a test")]

use crate::expand::expand;

/// Why a struct is refused, or "" if it is not.
fn refusal(text: &str) -> String {
    let input = syn::parse_str(text).unwrap();
    expand(&input).err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn contradictions_are_refused() {
    for (fields, part_of_reason) in [
        (r#"#[field(versions = "0+")] a: i32"#, ""),
        (r#"#[field(versions = "0+", nullable = "1+")] a: Option<String>"#, ""),
        (r#"#[field(versions = "0+", nullable = "0+")] a: Records"#, ""),
        (r#"a: i32"#, "needs #[field(versions"),
        (r#"#[field(versions = "1-")] a: i32"#, "not a range of versions"),
        (r#"#[field(versions = "-3")] a: i32"#, "not a range of versions"),
        (r#"#[field(versions = "0+")] a: Option<String>"#, "only a nullable one"),
        (r#"#[field(versions = "0+", nullable = "0+")] a: String"#, "a nullable field is an Option"),
        (r#"#[field(versions = "0+", default = null)] a: i32"#, "only an Option defaults to null"),
        (r#"#[field(versions = "0+", nullable = "0+", default = 1)] a: Option<String>"#, "no default but null"),
        (r#"#[field(versions = "0+", tag = 0)] a: i32"#, "belong together"),
        (r#"#[field(versions = "0+", tag = 0, tagged = "0+", nullable = "0+")] a: Option<String>"#, "default = null"),
        (r#"#[field(versions = "0+", tag = 0, tagged = "0+")] a: Records"#, "cannot be a tagged field"),
        (r#"#[field(versions = "0+", colour = "red")] a: i32"#, "expected versions"),
        (
            r#"#[field(versions = "0+", tag = 1, tagged = "0+")] a: i32,
               #[field(versions = "0+", tag = 1, tagged = "0+")] b: i32"#,
            "this tag is taken",
        ),
    ] {
        let reason = refusal(&format!("struct S {{ {fields} }}"));
        assert!(reason.contains(part_of_reason), "{fields}: {reason:?}");
        assert_eq!(reason.is_empty(), part_of_reason.is_empty(), "{fields}: {reason:?}");
    }
}

#[test]
fn only_structs_with_a_whole_header_are_messages() {
    let whole = r#"#[message(api = 1, kind = "request", versions = "0+", flexible = "none")]"#;
    for (text, part_of_reason) in [
        (format!("{whole} struct ARequest {{}}"), ""),
        (format!("{whole} struct A {{}}"), "ends in Request"),
        ("#[message(api = 1)] struct A {}".into(), "needs kind, versions and flexible"),
        (whole.replace("request", "answer") + "struct A {}", "a \"request\" or \"response\" with an api"),
        (whole.replace("api = 1, ", "") + "struct ARequest {}", "with an api"),
        (whole.replace("request", "data") + "struct A {}", "or \"data\" without"),
        (whole.replace("api = 1, ", "").replace("request", "data") + "struct A {}", ""),
        ("enum A {}".into(), "is a struct"),
        ("struct A(i32);".into(), "has named fields"),
    ] {
        let reason = refusal(&text);
        assert!(reason.contains(part_of_reason), "{text}: {reason:?}");
        assert_eq!(reason.is_empty(), part_of_reason.is_empty(), "{text}: {reason:?}");
    }
}
